"""A service that hands slots over: what Foreshard's hand-over hook is to talk to.

    python examples/hand_over.py --port 8080 --takes-s 2

It needs Python alone. Copying is played here by a clock; put your own in `copy_has_ended`. It
says what it does, one JSON line each, with the time of the machine's monotonic clock.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREPARE, MOVED, FAILED = (f"foreshard.slots.{step}.v1" for step in ("prepare", "moved", "failed"))


class Data:
    """What is on its way: by hand-over, since when it is copied."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.copying: dict[str, float] = {}
        self.lock = threading.Lock()

    def take(self, kind: str, order: dict[str, object]) -> tuple[int, dict[str, object]]:
        """Answer an event; the same one again gives the same answer, or a later one."""
        name = str(order["handover"])
        with self.lock:
            if kind == PREPARE:
                if name not in self.copying:
                    self.copying[name] = time.monotonic()
                    say("copying", order)
                if not self.copy_has_ended(name):
                    return 202, {"state": "preparing"}
                say("ready", order)
                return 200, {"state": "ready"}
            # `moved`: traffic is at the new cell, the old copy may go. `failed`: traffic stays,
            # the new copy may go. Either may come twice, or for a hand-over never heard of.
            if self.copying.pop(name, None) is not None:
                say("moved" if kind == MOVED else "failed", order)
            return 200, {}

    def copy_has_ended(self, name: str) -> bool:
        """Whether the new cell could answer for these slots now, and keeps up with the old."""
        return time.monotonic() - self.copying[name] >= self.takes_s


def say(what: str, order: dict[str, object]) -> None:
    """One line for people and for tests."""
    sys.stdout.write(json.dumps({"at_s": time.monotonic(), "did": what, **order}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Hand slots over when Foreshard asks.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--takes-s", type=float, default=2.0, help="how long copying takes")
    options = parser.parse_args()
    data = Data(options.takes_s)

    class Hook(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # noqa: N802 - http.server names it so
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if event["type"] in {PREPARE, MOVED, FAILED}:
                status, answer = data.take(event["type"], event["data"])
            else:
                status, answer = 400, {"because": f"type {event['type']} is not known here"}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silence the usual access log."""

    server = ThreadingHTTPServer(("127.0.0.1", options.port), Hook)
    sys.stdout.write(json.dumps({"listens": server.server_port}) + "\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
