"""This module is what may be said of request classes, in a file or over the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, PlainSerializer, model_validator

from foreshard.config.field import (
    CategoryName,
    GrpcMethod,
    HeaderKey,
    HeaderName,
    HeaderValue,
    Label,
    Name,
    Need,
    NotNegative,
    PathPrefix,
    PathTemplate,
    Positive,
    PriorityName,
    Strict,
    Url,
    Wait,
    Weight,
)
from foreshard.model.service_map import reached
from foreshard.model.workload import Match, Needs, OwnedData, RequestClass

__all__ = ["ClassSettings", "HandoverSettings", "MatchSettings", "ServiceMap"]

Names = Annotated[frozenset[str], PlainSerializer(sorted, when_used="json")]
ServiceMap = dict[str, list[str]]


class MatchSettings(Strict):
    """Which requests belong to a class; an empty field matches all."""

    method: str = Field(default="", description="HTTP method, upper case.", examples=["GET"])
    path_prefix: PathPrefix = Field(default="", description="Start of the path.")
    path_template: PathTemplate = Field(
        default="", description="The whole path; {name} stands for one part of it."
    )
    headers: dict[HeaderKey, HeaderValue] = Field(
        default_factory=dict,
        max_length=16,
        description="Value by name of a request header, the name in lower case; an empty value "
        "= any, but the header must be there.",
    )
    grpc_method: GrpcMethod = Field(
        default="",
        description="gRPC method, package.Service/Method, or package.Service for all of them.",
    )

    @model_validator(mode="after")
    def _meaningful(self) -> MatchSettings:
        self.noun()
        return self

    def noun(self) -> Match:
        """The match in the core's words."""
        return Match(**self.model_dump())


class HandoverSettings(Strict):
    """Who moves a class's data before its traffic moves."""

    webhook: Url = Field(description="URL that takes CloudEvents.")
    timeout_s: Wait = Field(
        default=30.0,
        description="Seconds from `prepare` to `ready`, and again from there to the switch.",
    )


class ClassSettings(Strict):
    """One request class: requests with the same needs and the same priority."""

    name: Label = Field(description="Unique among the classes.")
    priority: PriorityName = Field(
        description="Who is given up last: critical, normal or sheddable."
    )
    weight: Weight = Field(description="How much one bad request counts.")
    objective_s: Wait = Field(description="Seconds; a slower answer is bad.")
    timeout_s: Wait = Field(
        description="Seconds after which Envoy gives up; at least objective_s."
    )
    match: MatchSettings = Field(
        default=MatchSettings(),
        description="Which requests belong to it; the first class that matches takes a request.",
    )
    retriable: bool = Field(
        default=False,
        description="Whether a second cell may be asked after the first failed; only what may "
        "be done twice.",
    )
    key_header: HeaderName = Field(
        default="",
        description='Request header whose value binds a request to a cell; "" = free.',
    )
    regions: Names = Field(
        default=frozenset(), description="Regions that may serve it (residency); none = all."
    )
    residency: dict[Name, Names] = Field(
        default_factory=dict,
        description="By origin, regions that may serve what comes from there, where the keys of "
        "an origin may not leave some regions: {eu: [eu]}. An origin that is not named is free.",
    )
    transfer_kb: Positive = Field(
        default=10.0,
        description="Kilobytes of one answer, which cost something where a link does "
        "(egress_per_gb).",
    )
    cells: Names = Field(
        default=frozenset(),
        description="Cells that may serve it, within those regions; none = all.",
    )
    category: CategoryName | None = Field(
        default=None, description="What it costs, in a word of its owner's; null = unsaid."
    )
    dependencies: Names = Field(
        default=frozenset(), description="What it needs besides the cell itself, by name."
    )
    needs: dict[str, Need] = Field(
        default_factory=dict,
        description="Cost of one request by resource, as far as known (cpu: cpu seconds); "
        "learned from there.",
    )
    replicas: dict[str, list[str]] = Field(
        default_factory=dict,
        description="By cell, the cells that its slots may move to, most wanted first; a class "
        "that names some owns data.",
    )
    handover: HandoverSettings | None = Field(
        default=None,
        description="Who is told before traffic moves; without it slots move as soon as wanted.",
    )
    move_cost_s: NotNegative | None = Field(
        default=None,
        description="Seconds for which the requests of a moved key count as bad; null = 1 for a "
        "free class, 3 for a keyed one, 120 for one that owns data.",
    )

    @model_validator(mode="after")
    def _meaningful(self) -> ClassSettings:
        self.noun()
        return self

    def noun(self, service_map: Mapping[str, Sequence[str]] | None = None) -> RequestClass:
        """The class in the core's words.

        Args:
            service_map: What its dependencies need themselves; it then depends on all of that.
        """
        fields = self.model_dump(
            exclude={"match", "needs", "replicas", "handover", "category", "dependencies"}
        )
        data = None
        if self.replicas:
            data = OwnedData(
                replicas={cell: tuple(others) for cell, others in self.replicas.items()},
                handover_s=self.handover.timeout_s if self.handover else None,
            )
        return RequestClass(
            **fields,
            data=data,
            match=self.match.noun(),
            dependencies=reached(self.dependencies, service_map or {}),
            declared=Needs(per_request=self.needs),
        )
