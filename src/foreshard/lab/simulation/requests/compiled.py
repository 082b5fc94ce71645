"""This module is how this room's kernels are compiled, and when a kept one is out of date.

Numba keeps a compiled function as long as the file it stands in is unchanged, also when what it
calls in other files has changed. Types are part of what a kept one is found by, so the digest of
all sources in the room is the name of a field of the record that every kernel is given
(`world.STATE`).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from numba import njit

__all__ = ["SOURCES", "entry", "kernel"]

T = TypeVar("T", bound=Callable[..., object])


def _digest() -> str:
    found = sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


SOURCES: Final = f"sources_{_digest()}"


# Division by zero gives infinity, as in arrays: a check at each would cost time and code.
KEPT: Final[dict[str, Any]] = {"cache": True, "error_model": "numpy"}
INSIDE: Final[dict[str, Any]] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def entry(function: T) -> T:
    """Compile on the first call, and keep it for later processes."""
    return cast("T", njit(**KEPT)(function))


def kernel(function: T) -> T:
    """As `entry`, but to be called by kernels only, which saves a fifth of the time to compile."""
    return cast("T", njit(**KEPT, **INSIDE)(function))
