from __future__ import annotations

import json

import pytest

from foreshard.app.masking import LEFT_OUT, mask, mask_text

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
