"""The API against requests that are made of its own OpenAPI: none of them breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import ignored_auth, positive_data_acceptance
from schemathesis.core.result import Ok

from foreshard.model.catalogue import Role
from tests.api.counter import Counter, described, opened

OPERATIONS: list[Any] = [
    each.ok() if isinstance(each, Ok) else pytest.fail(str(each))
    for each in schemathesis.openapi.from_dict(described()).get_all_operations()
]
EXAMPLES = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
# What two keys must agree on no schema can say, so that a request may fit and be refused. The
# other one leaves our token in what it sends "without": strangers have a test of their own.
BEYOND = [positive_data_acceptance, ignored_auth]

pytestmark = [pytest.mark.timeout(300)]

of_every_address = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.label)
in_both_modes = pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with opened(tmp_path_factory.mktemp("api")) as made:
        yield made


def test_every_address_is_there() -> None:
    assert len(OPERATIONS) == 23


@of_every_address
@in_both_modes
def test_no_request_breaks_it(operation: Any, mode: GenerationMode, counter: Counter) -> None:  # noqa: ANN401 - untyped there
    known = {"authorization": f"Bearer {counter.secrets[Role.ADMIN]}", "if-match": "*"}

    @EXAMPLES
    @given(case=operation.as_strategy(generation_mode=mode))
    def tried(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(
            base_url=str(counter.client.base_url), headers=known, excluded_checks=BEYOND
        )

    tried()


@of_every_address
def test_a_stranger_learns_and_changes_nothing(operation: Any, counter: Counter) -> None:  # noqa: ANN401 - as above
    stranger = {"authorization": "Bearer foreshard_nobody", "if-match": "*"}
    before = counter.version()

    @EXAMPLES
    @given(case=operation.as_strategy())
    def tried(case: schemathesis.Case[Any]) -> None:
        answer = case.call(base_url=str(counter.client.base_url), headers=stranger)
        assert answer.status_code in {401, 404, 405, 413, 422}

    tried()
    assert counter.version() == before
