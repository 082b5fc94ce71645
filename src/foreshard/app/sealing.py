"""This module is the key that says whose the plans are that relays keep."""

from __future__ import annotations

from foreshard.adapters.routing.seal import Seal
from foreshard.config import Settings
from foreshard.config.plain_file import read_bytes
from foreshard.model.errors import ConfigError

__all__ = ["seal_of"]

# Half of what SHA-256 can use; less is guessed sooner than broken.
SHORTEST_KEY = 16
# Longer keys are hashed; nobody has one that long.
LONGEST_FILE = 64 * 1024


def seal_of(settings: Settings) -> Seal:
    """The seal of a configuration: a signature with a key, a checksum without.

    Raises:
        ConfigError: The key file cannot be read, or holds too little.
    """
    file = settings.envoy.relay_key_file
    if file is None:
        return Seal()
    try:
        key = read_bytes(file, most=LONGEST_FILE).strip()
    except OSError as error:
        raise ConfigError(
            f"envoy.relay_key_file is {file}: cannot be read ({error.strerror}); write a secret "
            "into it, or leave the setting out"
        ) from error
    if len(key) < SHORTEST_KEY:
        raise ConfigError(
            f"envoy.relay_key_file is {file}: holds {len(key)} bytes, must be {SHORTEST_KEY} or "
            "more; `openssl rand -hex 32` makes a good one"
        )
    return Seal(key)
