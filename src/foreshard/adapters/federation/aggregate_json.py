"""This module is an aggregate as JSON: what regions send each other."""

from __future__ import annotations

import json
from collections.abc import Mapping

from foreshard.model.errors import InvalidValueError, SourceError
from foreshard.model.federation import Aggregate

__all__ = ["decode", "encode"]

FORMAT = 1
"""Rises when an aggregate of the old form can no longer be read."""

# Whatever is sent must end as a `SourceError`: a peer that is no longer asked is lost for good.
# A number of 400 digits overflows, a thousand brackets are too deep.
NONSENSE = (
    InvalidValueError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RecursionError,
)


def encode(one: Aggregate) -> str:
    """An aggregate as text."""
    return json.dumps(
        {
            "format": FORMAT,
            "region": one.region,
            "made_at_s": one.made_at_s,
            "offers": dict(one.offers),
            "uses": dict(one.uses),
            "grants": {peer: dict(amounts) for peer, amounts in one.grants.items()},
        },
        allow_nan=False,
    )


def decode(text: str, *, region: str) -> Aggregate:
    """The aggregate that `encode` wrote.

    Args:
        text: As it came.
        region: Whose it must be.

    Raises:
        SourceError: It is damaged, of another format, or another region's.
    """
    try:
        values = json.loads(text)
        if values["format"] != FORMAT:
            raise SourceError(f"peer {region}: its format is {values['format']}, must be {FORMAT}")
        if values["region"] != region:
            raise SourceError(
                f"peer {region}: its answer is of region {values['region']!r}; is the address "
                "that of another one?"
            )
        return Aggregate(
            region=region,
            made_at_s=float(values["made_at_s"]),
            offers=_amounts(values["offers"]),
            uses=_amounts(values["uses"]),
            grants={str(peer): _amounts(each) for peer, each in values["grants"].items()},
        )
    except NONSENSE as error:
        raise SourceError(f"peer {region}: what it says is no aggregate: {error!r}") from error


def _amounts(values: Mapping[str, object]) -> Mapping[str, float]:
    return {str(name): float(str(amount)) for name, amount in values.items()}
