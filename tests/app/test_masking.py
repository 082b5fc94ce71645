from __future__ import annotations

import json

import pytest

from foreshard.app.masking import LEFT_OUT, mask, mask_lines, mask_text

SECRET = "h3r-Secret.42"

TEXTS = (
    f"https://bob:{SECRET}@hooks/x",
    f"https://bob:a@{SECRET}@hooks/x",
    f"postgres://{SECRET}@db",
    f"GET /x?a=1&access_token={SECRET}&b=2",
    f"Authorization: Bearer {SECRET}",
    f"authorization=Basic {SECRET}",
    f'{{"password": "{SECRET}"}}',
    f'{{"client_secret":"a\\"{SECRET}"}}',
    f"DB_PASSWORD={SECRET}",
    f"db.password: '{SECRET}'",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\n{SECRET} cut short",
    f"token eyJhbGciOi.{SECRET}",
    f"x-api-key: {SECRET}",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_secret_in_a_text_is_left_out(text: str) -> None:
    masked = mask_text(text)
    assert SECRET not in masked
    assert LEFT_OUT in masked


@pytest.mark.parametrize(
    "name", ["password", "dbPassword", "api_key", "X-Api-Key", "client-secret", "token", "dsn"]
)
def test_what_stands_under_a_secret_name_is_left_out_whatever_it_is(name: str) -> None:
    for value in (SECRET, [SECRET], {"value": SECRET}):
        assert SECRET not in json.dumps(mask({"outer": [{name: value}]}))


def test_what_is_no_secret_stays_readable() -> None:
    plain = {
        "key_header": "x-customer",
        "keys": 4000,
        "address": "http://127.0.0.1:8080/events",
        "text": "memory reaches its limit in 40 s (80 %: 30 s to 55 s); half of its work leaves",
        "token": None,
        "mail": "ops@example",
    }
    assert mask(plain) == plain


@pytest.mark.parametrize(
    "value",
    [
        {"header": {"key": "x-api-key", "value": SECRET}},
        {"name": "x-internal-token", "string_match": {"exact": SECRET}},
        {"name": "PGPASSWORD", "value": SECRET},
        {"webhook": f"https://hooks.example/services/T0/{SECRET}"},
        {"handover_url": f"https://hooks.slack.com/services/T0/{SECRET}"},
        {"inline_code": f"request:headers():add('x-api-key', '{SECRET}')"},
        {"apiKeys": [SECRET], "x-api-key-1": SECRET, "client_secret_v2": SECRET},
        {"password": 314159265},
        f"Authorization: Token {SECRET}",
        f'Authorization: Digest username="x", response="{SECRET}"',
        f"--password {SECRET}",
        f"the password is {SECRET}",
        f"redis://:a/b{SECRET}@host:6379",
        f'{{"key":"authorization","value":"{SECRET}"}}',
        f"headers:add('x-api-key', '{SECRET}')",
    ],
)
def test_secrets_of_ordinary_shapes_are_left_out(value: object) -> None:
    masked = json.dumps(mask(value))
    assert SECRET not in masked
    assert "314159265" not in masked
    assert "left" in masked


def test_amounts_stay_numbers_so_that_a_configuration_can_still_be_read() -> None:
    needs = {"classes": [{"name": "chat", "needs": {"cpu": 0.01, "tokens": 0.5}}]}
    assert mask(needs) == needs


def test_a_line_of_json_is_masked_value_by_value_and_stays_json() -> None:
    line = json.dumps({"event": "x", "error": f'Authorization: Token "{SECRET}"', "n": 1})
    text = mask_lines(f"{line}\nplain token={SECRET}\n")
    assert SECRET not in text
    assert json.loads(text.splitlines()[0])["n"] == 1


def test_a_long_line_is_masked_in_a_time_that_grows_with_its_length() -> None:
    # A pattern that looks back over all of it would take minutes and meet the test's limit.
    assert mask_text("a-" * 100_000) == "a-" * 100_000
    assert mask_text("://" + "a" * 200_000).endswith("a")
