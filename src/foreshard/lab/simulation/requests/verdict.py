"""This module is how a try can end, as a proxy sees it.

Envoy tells answers of a server from what it notices itself, and counts them apart (outlier
detection with `split_external_local_origin_errors`).
"""

from __future__ import annotations

from typing import Final

__all__ = ["BROKEN", "LATE", "OK", "REFUSED", "TURNED_AWAY", "UNREACHED"]

OK: Final = 0
# A 503 of the cell's.
REFUSED: Final = 1
# A reset: how far the work went is not known.
BROKEN: Final = 2
# The deadline: never retried.
LATE: Final = 3
# A 429 of the proxy's own; neither a proxy nor a client tries that again.
TURNED_AWAY: Final = 4
# No connection: nothing was asked, so any class may be asked of another.
UNREACHED: Final = 5
