"""This module is the standard files, which whoever started us may have closed.

Their numbers would go to the next file that is opened, and what is logged would be written into
a database. So each that is missing leads to nowhere.
"""

from __future__ import annotations

import os
import sys

__all__ = ["complete_streams"]

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def complete_streams() -> None:
    """Open what is closed of standard input, output and error; call it before all else."""
    for number, (name, mode) in enumerate(STREAMS):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, mode))
