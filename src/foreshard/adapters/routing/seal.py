"""This module is the seal on what leaves the control plane to be kept elsewhere."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from foreshard.adapters.routing.table_json import canonical_json
from foreshard.model.errors import SinkError

__all__ = ["Seal"]


class Seal:
    """What shows that an edition is whole, and with a key also whose it is.

    Args:
        key: Shared by everybody who makes and reads editions; b"" = none. Without a key the seal
            is a checksum: it finds what a disk or a crash did, not what a person did. With one
            nobody who lacks it can make an edition or change one. An old edition stays valid.
    """

    def __init__(self, key: bytes = b"") -> None:
        self._key = key

    def of(self, header: Mapping[str, object]) -> str:
        """The seal of a header."""
        content = canonical_json(header)
        if self._key:
            return f"hmac-sha256:{hmac.new(self._key, content, hashlib.sha256).hexdigest()}"
        return f"sha256:{hashlib.sha256(content).hexdigest()}"

    def check(self, header: Mapping[str, object], found: str) -> None:
        """Compare.

        Raises:
            SinkError: It is another one.
        """
        due = self.of(header)
        if hmac.compare_digest(due, found):
            return
        kind, given = due.partition(":")[0], found.partition(":")[0]
        if kind != given:
            raise SinkError(
                f"its seal is {given or 'missing'}, must be {kind}; give `serve` and `relay` the "
                "same envoy.relay_key_file, or neither"
            )
        raise SinkError("its seal does not fit: it is damaged, or was made with another key")
