"""This module is a disk as a ledger: logs grow with requests and rotate, a fault fills the rest.

Known weakness: no file is written. Twelve cells on one machine would fill its disk, not theirs.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DISK_LIMIT_BYTES", "Disk"]

MEBIBYTE: Final = 1024 * 1024
DISK_LIMIT_BYTES: Final = 1024 * MEBIBYTE
# Programs and data that are always there.
BASE_BYTES: Final = 300 * MEBIBYTE
LOG_BYTES_PER_REQUEST: Final = 4096
ROTATED_AT_BYTES: Final = 24 * MEBIBYTE


class Disk:
    """Bytes on a disk of `limit_bytes`."""

    def __init__(self) -> None:
        self.limit_bytes = DISK_LIMIT_BYTES
        self._log_bytes = 0
        self._filled_bytes = 0

    def log_request(self) -> None:
        """Write one request's log lines; the log starts anew when it is long enough."""
        self._log_bytes += LOG_BYTES_PER_REQUEST
        if self._log_bytes >= ROTATED_AT_BYTES:
            self._log_bytes = 0

    def fill(self, ratio: float) -> None:
        """Let something else take that share, in [0, 1], of the room beside base."""
        self._filled_bytes = round(ratio * (self.limit_bytes - BASE_BYTES))

    @property
    def used_bytes(self) -> int:
        """Bytes in use, at most the limit."""
        return min(self.limit_bytes, BASE_BYTES + self._log_bytes + self._filled_bytes)

    @property
    def is_full(self) -> bool:
        """Whether a write fails."""
        return self.used_bytes >= self.limit_bytes
