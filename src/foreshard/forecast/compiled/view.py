"""This module is views of arrays that nobody counts references to.

Numba counts the references to every slice that is handed on, by atomic additions of some twenty
cycles each, so that a loop over many short slices does little else. What is seen through such a
view is not counted. It is good as long as the array is: take it of an argument, which the caller
keeps, never of an array made in the same function, which Numba frees after its last use.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["uncounted"]


def _typed(_typing: Any, x: types.Array) -> tuple[Any, Any]:  # noqa: ANN401 - Numba's own types
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        view = context.make_array(signature.return_type)(context, builder, args[0])
        view.meminfo = view.meminfo.type(None)
        view.parent = view.parent.type(None)
        return view._getvalue()  # noqa: SLF001 - the name that Numba gives it

    return x(x), generate


_without_owner: Any = intrinsic(_typed)


@njit(cache=True, nogil=True)
def uncounted(x: NDArray[Any]) -> NDArray[Any]:
    """The same array without an owner; only in compiled code."""
    view: NDArray[Any] = _without_owner(x)
    return view
