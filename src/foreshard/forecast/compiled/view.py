"""This module is views of arrays that nobody counts references to.

Numba counts the references to every slice that is handed on, by atomic additions of some twenty
cycles each, so that a loop over many short slices does little else. What is seen through such a
view is not counted. It is good as long as the array is: take it of an argument, which the caller
keeps, never of an array made in the same function, which Numba frees after its last use.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["uncounted"]


@intrinsic
def uncounted(_typing: Any, x: types.Array) -> tuple[Any, Any]:  # noqa: ANN401 - Numba's own types
    """The same array, in compiled code, without an owner."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        view = context.make_array(signature.return_type)(context, builder, args[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return x(x), generate
