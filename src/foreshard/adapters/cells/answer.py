"""This module is the body of an answer over HTTP, whole but never larger than we can hold.

One read gives what has arrived, which of a chunked answer is its first chunk; and a receiver
that talks without end must not fill our memory.
"""

from __future__ import annotations

import aiohttp

__all__ = ["ANSWER_BYTES", "body_of"]

# More than any state or reason needs.
ANSWER_BYTES = 64 * 1024


async def body_of(answer: aiohttp.ClientResponse, *, most: int = ANSWER_BYTES) -> bytes:
    """What it says, in however many pieces it comes; what is beyond `most` bytes is cut off."""
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) >= most:
            break
    return bytes(body[:most])
