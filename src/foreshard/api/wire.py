"""This module is what the API answers: the shapes that its OpenAPI promises."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from foreshard.model.catalogue import Role

__all__ = [
    "Category",
    "ClassList",
    "ClassRead",
    "Cost",
    "CostReport",
    "CostReports",
    "Deed",
    "DeedList",
    "Dependence",
    "Difference",
    "EndpointAcceptance",
    "EndpointChange",
    "EndpointChoice",
    "EndpointList",
    "EndpointRead",
    "Made",
    "MatchQuestion",
    "Matched",
    "Move",
    "Problem",
    "Profile",
    "Proposal",
    "Reported",
    "Revoked",
    "Standing",
    "Step",
    "TokenList",
    "TokenMade",
    "TokenRead",
    "TokenWish",
    "Uncounted",
    "Version",
    "VersionList",
    "VersionRead",
]


class _Wire(BaseModel):
    """A shape in which nothing stands that is not promised."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Problem(_Wire):
    """Why something was refused (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str = Field(description="Names the thing, the value and the way out.")


class Cost(_Wire):
    """What one request takes of one resource."""

    per_request: float | None = Field(description="null = the data do not tell.")
    low: float | None
    high: float | None = Field(description="null = nothing bounds it.")
    because: str


class Dependence(_Wire):
    """What a class needs besides its cell."""

    dependency: str
    source: str
    confidence: float
    evidence: str


class Profile(_Wire):
    """What the requests of a class cost."""

    at_s: float = Field(description="When the engine said so, seconds since the epoch.")
    rate_rps: float
    costs: dict[str, Cost]
    unidentified: list[str] = Field(description="Which classes cannot be told apart from it.")
    depends: list[Dependence]


class Category(_Wire):
    """Of which category a class is, and who says so."""

    holds: str = Field(description='The tag\'s, else what was found, else declared; "" = none.')
    declared: str | None
    found: str | None = Field(description="What its costs say.")
    confidence: float = Field(description="Of what was found, 0 to 1.")
    tag: dict[str, Any] | None = Field(description="What a person said.")
    disagreement: str = Field(description='How they differ, in words; "" = they do not.')


class ClassRead(_Wire):
    """One class."""

    name: str
    is_default: bool
    definition: dict[str, Any] = Field(description="Its keys, as in the configuration.")
    category: Category
    profile: Profile | None = Field(description="null = no engine has seen it yet.")


class ClassList(_Wire):
    """All classes."""

    version: int
    default_class: str
    service_map: dict[str, list[str]]
    classes: list[ClassRead] = Field(description="In order of match.")


class Move(_Wire):
    """What becomes of the requests of one class from one region."""

    origin: str
    request_class: str = Field(alias="class")
    demand_rps: float
    moved_ratio: float
    before: dict[str, float]
    after: dict[str, float]
    shed_before: float
    shed_after: float


class Uncounted(_Wire):
    """A new class of which nobody knows how many requests it takes."""

    request_class: str = Field(alias="class")
    at_most_rps: float


class Proposal(_Wire):
    """What a change would move; nothing was changed."""

    version: int = Field(description="That holds now.")
    planned_at_s: float
    demand_rps: float
    moved_ratio: float = Field(description="Part of the fleet's traffic, 0 to 1.")
    shed_more_ratio: float = Field(description="Part that would be turned away and is not now.")
    says: str = Field(examples=["this change would move 4.0 % of the traffic"])
    moves: list[Move]
    uncounted: list[Uncounted]


class Made(_Wire):
    """A change that was kept; the engine takes it up by itself."""

    version: int
    etag: str
    action: str


class Version(_Wire):
    """One version of the classes."""

    version: int
    at_s: float | None
    by: str
    role: str | None
    action: str
    follows_file: bool = Field(description="Whether it is what the configuration file says.")
    damage: str = Field(
        default="", description="Why it cannot be read or rolled back to; empty = it can."
    )


class VersionList(_Wire):
    """Versions, the newest first."""

    versions: list[Version]


class VersionRead(Version):
    """One version with its classes."""

    catalogue: dict[str, Any]


class Step(_Wire):
    """One difference."""

    path: str
    before: Any
    after: Any


class Difference(_Wire):
    """What must be changed to make of one version the other."""

    from_version: int = Field(alias="from")
    to_version: int = Field(alias="to")
    changes: list[Step]


class Deed(_Wire):
    """One line of the record."""

    id: int
    at_s: float
    by: str
    role: str
    action: str
    version: int | None


class DeedList(_Wire):
    """The record, the newest first."""

    deeds: list[Deed]


class TokenWish(_Wire):
    """A key that is to be made."""

    name: str = Field(
        min_length=1, max_length=100, pattern=r"^[ -~]+$", description="Who is to have it."
    )
    role: Role = Role.VIEWER
    days: float | None = Field(
        default=None, gt=0.0, le=36_500.0, description="How long it is good; null = for ever."
    )


class TokenRead(_Wire):
    """A key without its secret."""

    id: str
    name: str
    role: Role
    created_s: float
    expires_s: float | None
    revoked_s: float | None


class TokenMade(TokenRead):
    """A key with its secret, which is told this once."""

    secret: str


class TokenList(_Wire):
    """Every key that was ever made."""

    tokens: list[TokenRead]


class Revoked(_Wire):
    """A key that opens nothing any more."""

    id: str


class MatchQuestion(_Wire):
    """A request of which the class is asked."""

    method: str = Field(default="GET", max_length=40, examples=["GET"])
    path: str = Field(max_length=8_192, examples=["/users/7"])
    headers: dict[str, str] = Field(default_factory=dict)


class Matched(_Wire):
    """Its class."""

    request_class: str = Field(alias="class")
    is_default: bool = Field(description="Whether no class matches, and it goes to the default.")


class EndpointRead(_Wire):
    """Requests of one method and route template that no class takes."""

    method: str
    template: str = Field(description="With what varies in braces.")
    requests: float = Field(description="That were seen; proxies tell one of some.")
    confidence: float = Field(description="That it is right and here to stay, 0 to 1.")
    first_s: float
    evidence: str
    costs: dict[str, float] = Field(description="Per request, as the service says; {} = unsaid.")
    resembles: str | None = Field(description="Category that costs about as much; null = none.")
    declined: bool = Field(description="Whether a person left it to the default class.")
    proposed: dict[str, Any] | None = Field(description="The class that it would get.")
    because: str = Field(description='Why none is proposed; "" = one is.')


class EndpointChange(_Wire):
    """That an endpoint was found, or is none any more."""

    at_s: float
    text: str


class EndpointList(_Wire):
    """What was found among the requests that match no class."""

    at_s: float | None = Field(description="When the engine said so; null = it never did.")
    served_by: str = Field(description="The default class, until they have their own.")
    endpoints: list[EndpointRead] = Field(description="Most requests first.")
    more_endpoints: int = Field(description="That are not told, having fewer requests.")
    left_out_requests: float = Field(description="Of paths for which there was no room.")
    changes: list[EndpointChange]
    declined: list[str]


class EndpointChoice(_Wire):
    """An endpoint that a person decides on."""

    method: str = Field(max_length=20, pattern="^[A-Z]+$", examples=["GET"])
    template: str = Field(max_length=500, pattern=r"^/[!-~]*$", examples=["/users/{id}"])


class EndpointAcceptance(EndpointChoice):
    """An endpoint that is to have a class of its own."""

    name: str = Field(
        default="",
        max_length=63,
        pattern="^[A-Za-z0-9_-]*$",
        description='Of the class; "" = the one proposed.',
    )


class CostReport(_Wire):
    """What requests cost: those of a class, or those of a path, whose class is then found."""

    request_class: str | None = Field(
        default=None, alias="class", max_length=63, description="Their class, or null: by path."
    )
    method: str = Field(default="GET", max_length=20, pattern="^[A-Z]+$")
    path: str | None = Field(
        default=None, max_length=500, pattern="^/[!-~]*$", examples=["/users/7"]
    )
    headers: dict[str, str] = Field(
        default_factory=dict, max_length=20, description="By which classes may be told apart."
    )
    requests: int = Field(default=1, ge=1, le=1_000_000_000, description="How many they were.")
    costs: dict[str, Annotated[float, Field(ge=0.0, le=1e15, allow_inf_nan=False)]] = Field(
        max_length=16,
        description="By gauge, the sum over them: cpu seconds, or bytes times the seconds that "
        "they are held.",
        examples=[{"cpu": 0.023}],
    )


class CostReports(_Wire):
    """Many reports; all of them are taken, or none."""

    reports: list[CostReport] = Field(min_length=1, max_length=1_000)


class Reported(_Wire):
    """What was taken in; the engine reads it within seconds."""

    requests: int
    classes: dict[str, int] = Field(description="How many of them, by class.")


class Standing(_Wire):
    """How things stand."""

    version: int = Field(description="That holds.")
    flown_version: int | None = Field(description="That the engine flies; null = it never said.")
    passed_over: str = Field(description="Why newer versions do not fly.")
    engine_age_s: float | None
    engine_lives: bool
    file_is_ignored: bool = Field(
        description="Whether the configuration file has changed its classes since, in vain."
    )
