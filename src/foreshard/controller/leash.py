"""This module is a leash: a script that becomes another program which dies with its parent.

Run as `python -I -S leash.py PARENT_PID PROGRAM ARGS...`. The kernel's "parent death signal"
(prctl(2), PR_SET_PDEATHSIG) survives exec, so it works for programs that know nothing of it,
and setting it here instead of between fork and exec is safe beside threads. The signal is
bound to the *thread* that forked: start children from one that lives as long as they should.
"""

import ctypes
import os
import signal
import sys

__all__ = ["main"]

PR_SET_PDEATHSIG = 1
CANNOT_START = 127


def main(argv: list[str]) -> int:
    """Bind this process to its parent, then become the program; returns only on failure.

    Args:
        argv: Own name, pid of the parent, then the program and its arguments.
    """
    parent, program = int(argv[1]), argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        sys.stderr.write(f"prctl: {os.strerror(ctypes.get_errno())}\n")
        return CANNOT_START
    # A parent that died before the line above leaves nobody to send the signal.
    if os.getppid() != parent:
        sys.stderr.write(f"parent {parent} is gone already\n")
        return CANNOT_START
    # Python ignores SIGPIPE, and what is ignored stays ignored across exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(program[0], program)  # noqa: S606 - becoming that program is the point
    except OSError as error:
        sys.stderr.write(f"cannot start {program[0]}: {error.strerror}\n")
    return CANNOT_START


if __name__ == "__main__":
    sys.exit(main(sys.argv))
