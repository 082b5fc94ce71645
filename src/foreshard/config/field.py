"""This module is the kinds of values that settings are made of, each refusable by itself.

A kind says its whole range in its JSON Schema too, so that an editor refuses what Foreshard
would refuse; what two settings must agree on stands in `consistency`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from foreshard.model.workload import Priority

__all__ = [
    "NO_TRUTH",
    "TAGS",
    "WORDS",
    "Address",
    "CategoryName",
    "Count",
    "GrpcMethod",
    "HeaderKey",
    "HeaderName",
    "HeaderValue",
    "Label",
    "MaybeUrlPath",
    "MetricName",
    "Name",
    "Need",
    "NodeAddress",
    "NotNegative",
    "Number",
    "Part",
    "PathPrefix",
    "PathTemplate",
    "Positive",
    "PriorityName",
    "Ratio",
    "ScenarioName",
    "Strict",
    "Url",
    "UrlPath",
    "Wait",
    "Weight",
]

PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"


ADDRESS = rf"^[A-Za-z0-9._-]+:{PORT}$"
NODE = rf"^{BYTE}(\.{BYTE}){{3}}:{PORT}$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
CATEGORY = r"^[_-]*[a-z0-9][a-z0-9_-]*$"
LABEL = r"^[_-]*[A-Za-z0-9][A-Za-z0-9_-]*$"
HEADER = r"^[A-Za-z0-9_-]*$"
PATH = r"^/\S*$"
MAYBE_PATH = r"^(/\S*)?$"
PREFIX = r"^(/.*)?$"
TEMPLATE = r"^((/([^{}/\s]*|\{[A-Za-z_][A-Za-z0-9_-]*\}))+)?$"
GRPC = r"^([A-Za-z_][A-Za-z0-9_.]*(/[A-Za-z_][A-Za-z0-9_]*)?)?$"
KEY = r"^[a-z0-9_-]+$"
VALUE = r"^[\x21-\x7e]?([\x20-\x7e]*[\x21-\x7e])?$"
METRIC = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"
SCENARIO = r"^[a-z][a-z0-9-]*$"
URL = rf"^https?://([^/\s@]*@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:{PORT})?([/?#]\S*)?$"
PORTS = "the port 1 to 65535"
WORDS = {
    ADDRESS: f"must be host:port, {PORTS}, for example 127.0.0.1:9901",
    NODE: f"must be an IPv4 address and a port, {PORTS}, for example 10.0.1.7:8080",
    NAME: "must be letters, digits, '.', '-' and '_'",
    CATEGORY: "use lower-case letters, digits, '-' and '_'",
    LABEL: "use letters, digits, '-' and '_'",
    HEADER: "must be a header name, for example x-customer",
    PATH: "must start with '/' and hold no white space",
    MAYBE_PATH: "must start with '/' and hold no white space, or be empty",
    PREFIX: "must start with '/' and be one line, or be empty",
    TEMPLATE: "must be a path whose parts are plain text or one {name}, such as /users/{id}",
    GRPC: "must be package.Service/Method, or package.Service for all of its methods",
    KEY: "must be the name of a header in lower case, for example x-customer",
    VALUE: "must be plain characters of ASCII that do not begin or end with a space",
    METRIC: "must be the name of a metric, for example process_open_fds",
    SCENARIO: "must be lower-case letters, digits and '-', and begin with a letter",
    URL: f"must be http:// or https://, a host and perhaps {PORTS}, without white space",
}
"""What would be right, by pattern."""
TAGS = frozenset({"as a metric", "as a number", "as a quantile"})
"""Which part of a union was meant; no part of a path."""


PRIORITIES = {each.name.lower(): each for each in Priority}


def _priority(value: object) -> object:
    if isinstance(value, str):
        if value not in PRIORITIES:
            raise ValueError(f"must be one of {', '.join(PRIORITIES)}")
        return PRIORITIES[value]
    return value


def _no_truth(value: object) -> object:
    """`yes` and `on` are truth values in YAML, and would count as 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic collects ValueErrors
    return value


NO_TRUTH = BeforeValidator(_no_truth)
"""For numbers with bounds of their own, behind the bounds."""
Address = Annotated[str, Field(pattern=ADDRESS, examples=["127.0.0.1:9901"], max_length=261)]
"""`host:port`; the host is a name or an IPv4 address."""
NodeAddress = Annotated[str, Field(pattern=NODE, examples=["10.0.1.7:8080"])]
"""`ip:port`: Envoy is told addresses and resolves no names."""
Name = Annotated[str, Field(pattern=NAME, max_length=63, examples=["eu-1"])]
"""A name that is safe in headers, file names and the names of clusters."""
Label = Annotated[str, Field(pattern=LABEL, max_length=63, examples=["checkout"])]
"""A name that is also a part of a counter's name, so without a dot."""
CategoryName = Annotated[str, Field(pattern=CATEGORY, max_length=63, examples=["heavy-cpu"])]
ScenarioName = Annotated[str, Field(pattern=SCENARIO, max_length=63, examples=["keyed-leak"])]
HeaderName = Annotated[str, Field(pattern=HEADER, max_length=100)]
UrlPath = Annotated[str, Field(pattern=PATH)]
MaybeUrlPath = Annotated[str, Field(pattern=MAYBE_PATH)]
PathPrefix = Annotated[str, Field(pattern=PREFIX, examples=["/search"])]
PathTemplate = Annotated[str, Field(pattern=TEMPLATE, examples=["/users/{id}"], max_length=1024)]
GrpcMethod = Annotated[str, Field(pattern=GRPC, examples=["shop.v1.Payments/Pay"], max_length=512)]
HeaderKey = Annotated[str, Field(pattern=KEY, max_length=100)]
HeaderValue = Annotated[str, Field(pattern=VALUE, max_length=1024)]
MetricName = Annotated[str, Field(pattern=METRIC, examples=["process_resident_memory_bytes"])]
Url = Annotated[str, Field(pattern=URL, examples=["http://127.0.0.1:8080/events"])]
# The bound stands before the validator: behind it, it would be missing in the JSON Schema.
Wait = Annotated[float, Field(gt=0.0, le=86_400.0), NO_TRUTH]
"""Seconds that somebody waits; a day is more than anybody does, and all that Envoy can be told."""
Count = Annotated[int, Field(ge=1), NO_TRUTH]
Number = Annotated[float, NO_TRUTH]
Positive = Annotated[float, Field(gt=0.0), NO_TRUTH]
NotNegative = Annotated[float, Field(ge=0.0), NO_TRUTH]
Ratio = Annotated[float, Field(ge=0.0, le=1.0), NO_TRUTH]
Weight = Annotated[float, Field(gt=0.0, le=1e6), NO_TRUTH]
"""What one bad request counts; with more, one class would drown all others in the sums."""
Need = Annotated[float, Field(ge=0.0, le=1e15), NO_TRUTH]
"""What one request costs of a resource: up to a petabyte, far below where sums lose digits."""
PriorityName = Annotated[
    Priority,
    BeforeValidator(_priority),
    PlainSerializer(lambda priority: priority.name.lower(), when_used="json"),
    WithJsonSchema({"type": "string", "enum": list(PRIORITIES)}),
]
Part = Annotated[float, Field(gt=0.0, le=1.0), NO_TRUTH]
"""A ratio that is not 0."""


class Strict(BaseModel):
    """Settings in which an unknown key, infinity and "not a number" are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
