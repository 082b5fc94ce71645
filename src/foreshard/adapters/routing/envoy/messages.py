"""This module is the few shapes that every Envoy message is built from."""

from __future__ import annotations

from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from foreshard.model.errors import SinkError

__all__ = ["ads", "duration", "packed", "socket"]

NANOS = 1_000_000_000
# google/protobuf/duration.proto: about 10,000 years.
LONGEST_S = 315_576_000_000


def packed(message: Message) -> AnyMessage:
    """The message wrapped with its type address; equal messages give equal bytes."""
    wrapped = AnyMessage()
    wrapped.Pack(message, deterministic=True)
    return wrapped


def duration(seconds: float) -> Duration:
    """Seconds as protobuf has them, to the nanosecond.

    Raises:
        SinkError: They are more than a `Duration` may hold.
    """
    if not seconds <= LONGEST_S:
        raise SinkError(f"a duration of {seconds:g} s is more than Envoy takes ({LONGEST_S:g} s)")
    nanos = round(seconds * NANOS)
    return Duration(seconds=nanos // NANOS, nanos=nanos % NANOS)


def socket(host: str, port: int) -> Address:
    """A TCP address."""
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def ads() -> ConfigSource:
    """Discovery over the one stream of all types, so that updates arrive in order."""
    return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
