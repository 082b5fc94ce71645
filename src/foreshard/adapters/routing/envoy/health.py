"""This module is the standard gRPC health service: whether a proxy should ask here.

By hand, because it is two bytes: the package for it would be one more to install.
https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

from collections.abc import Callable

import grpc

__all__ = ["health_handler"]

# HealthCheckResponse: field 1, enum; SERVING = 1, NOT_SERVING = 2.
SERVING = b"\x08\x01"
NOT_SERVING = b"\x08\x02"


def health_handler(has_something: Callable[[], bool]) -> grpc.GenericRpcHandler[bytes, bytes]:
    """Handler of `grpc.health.v1.Health/Check`.

    Args:
        has_something: Whether there is a plan to serve. Without one a proxy is better off with
            whoever has one, or waiting.
    """

    async def check(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return SERVING if has_something() else NOT_SERVING

    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
    )
