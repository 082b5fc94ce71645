"""This module is the normal distribution's tail, accurate far out where `1 - Phi` is all rounding.

`erfcx(z) = exp(z^2) erfc(z)` is approximated for z >= 0 as `t exp(f(t))` with `t = 2 / (2 + z)`,
which maps the half line onto (0, 1] and leaves a smooth f; f is a Chebyshev series of degree 14,
fitted at the Chebyshev nodes. Relative error below 5e-10 for every z >= 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["erfcx", "log_ndtr", "ndtr"]

Array = NDArray[np.float64]

_SERIES = (
    -0.6513268598908548,
    0.6419697923564903,
    0.01947647320418592,
    -0.009561514786808686,
    -0.0009465953444816754,
    0.0003668394978527789,
    4.252332480833532e-05,
    -2.027857811975636e-05,
    -1.624290005040419e-06,
    1.303655947998787e-06,
    1.562612884400218e-08,
    -8.523899034251808e-08,
    6.535940114863783e-09,
    5.056949468812117e-09,
    -1.087832109571047e-09,
)
# The series as a plain polynomial in (2 t - 1): half the work, and |2 t - 1| <= 1 keeps it stable.
POLYNOMIAL = tuple(float(c) for c in np.polynomial.chebyshev.cheb2poly(_SERIES))
_HALF_SQRT = float(np.sqrt(0.5))


def erfcx(z: ArrayLike) -> Array:
    """The scaled complementary error function `exp(z^2) erfc(z)` for z >= 0.

    Args:
        z: Any shape; negative values are taken as 0.

    Returns:
        The same shape, in (0, 1].
    """
    t = 2.0 / (2.0 + np.maximum(np.asarray(z, dtype=np.float64), 0.0))
    x = 2.0 * t - 1.0
    f = np.full_like(x, POLYNOMIAL[-1])
    for c in POLYNOMIAL[-2::-1]:
        f *= x
        f += c
    result: Array = t * np.exp(f)
    return result


def ndtr(x: ArrayLike) -> Array:
    """The standard normal distribution function, relative error below 1e-9 in the lower tail."""
    at = np.asarray(x, dtype=np.float64)
    z = np.abs(at) * _HALF_SQRT
    tail = 0.5 * np.exp(-np.minimum(z * z, 745.0)) * erfcx(z)
    result: Array = np.where(at > 0.0, 1.0 - tail, tail)
    return result


def log_ndtr(x: ArrayLike) -> Array:
    """The logarithm of the standard normal distribution function, finite for any finite x."""
    at = np.asarray(x, dtype=np.float64)
    z = np.abs(at) * _HALF_SQRT
    log_tail = np.log(0.5 * erfcx(z)) - z * z
    upper = np.log1p(-np.exp(np.minimum(log_tail, 0.0)))
    result: Array = np.where(at > 0.0, upper, log_tail)
    return result
