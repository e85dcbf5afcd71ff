"""Input in unusual forms: empty parameters, dates, numbers, addresses and passwords."""

import json
import unicodedata
from typing import Any

import pytest

from shared.tables import Memos
from tests.handlers.world import PASSWORD, PUBLIC_URL, Account, World

SIGN_UP = "/api/v1/auth/signup"
LOG_IN = "/api/v1/auth/login"
COMPOSED = unicodedata.normalize("NFC", "josé")
DECOMPOSED = unicodedata.normalize("NFD", "josé")
LISTS = {
    "/api/v1/memos": ["limit", "cursor", "voice", "from", "to"],
    "/api/v1/usage": ["limit", "cursor", "action", "from", "to"],
    "/api/v1/usage/series": ["startTime", "endTime", "bucket", "groupBy"],
    "/api/v1/analytics/usage": ["startDate", "endDate"],
    "/api/v1/analytics/errors": ["startDate", "endDate"],
    "/api/v1/analytics/voices": ["startDate", "endDate"],
    "/api/v1/analytics/charts": ["days"],
    "/api/v1/analytics/export": ["days", "format"],
}


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in LISTS.items() for name in names])
def test_query_parameter_counts_as_absent_when_empty(world: World, ada: Account, path: str, name: str) -> None:
    """Forms send every field: an optional query parameter that is empty changes nothing."""
    world.memo(ada.key)
    empty, absent = (world.get(path, token=ada.session, query=query).body for query in ({name: ""}, {}))
    assert world.get(path, token=ada.session, query={name: ""}).status == 200
    if path != "/api/v1/usage/series":  # its default end is the current time, which has moved
        assert empty == absent


@pytest.mark.parametrize("days", ["5.0", "+5", "7_0", " 5", "5 ", "\u0665", "0x5", "1e1", "five"])
@pytest.mark.parametrize("path", ["/api/v1/analytics/charts", "/api/v1/analytics/export"])
def test_whole_number_is_plain_digits(world: World, ada: Account, path: str, days: str) -> None:
    """Integers in queries are plain digits; every other way to write a number is 400 and names the field."""
    answer = world.get(path, token=ada.key, query={"days": days})
    assert (answer.status, answer.error["code"]) == (400, "INVALID_INPUT")
    assert answer.error["details"]["field"] == "days"


@pytest.mark.parametrize(
    "text",
    [
        "2026-W10",
        "2026-W10-1",
        "2026W10",
        "2026-061",
        "20260302",
        "2026-03",
        "2026-03-02T10:00:00",
        "2026-03-02T10:00",
        "2026-03-02T25:00:00Z",
        "2026-03-02T10:00:00+01:60",
        "10:00:00Z",
        "٢٠٢٦-03-02",
        "1772409600",
    ],
)
@pytest.mark.parametrize("field", ["from", "to"])
def test_date_of_another_iso_form_is_refused(world: World, ada: Account, field: str, text: str) -> None:
    """Weeks, ordinal dates, basic forms and times without an offset are 400: a guess would be a wrong answer."""
    answer = world.get("/api/v1/memos", token=ada.key, query={field: text})
    assert (answer.status, answer.error["code"], answer.error["details"]) == (400, "VALIDATION_ERROR", {"field": field})


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31",
        "9999-12-31T23:59:59.999Z",
        "9999-12-31T23:59:59.999999999Z",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31t23:59:59z",
    ],
)
def test_date_at_the_end_of_time_means_the_last_moment(world: World, ada: Account, text: str) -> None:
    """Moments beyond the year 9999, also those that an offset moves there, mean the last one."""
    memo = world.memo(ada.key)
    listed = world.get("/api/v1/memos", token=ada.key, query={"to": text}).json
    assert [row["id"] for row in listed["memos"]] == [memo["id"]]
    assert world.get("/api/v1/memos", token=ada.key, query={"from": text}).json["memos"] == []


def test_date_before_the_first_year_means_the_beginning(world: World, ada: Account) -> None:
    """An offset that leaves year 1 downwards means the beginning, not an error."""
    memo = world.memo(ada.key)
    listed = world.get("/api/v1/memos", token=ada.key, query={"from": "0001-01-01T00:00:00+14:00"}).json
    assert [row["id"] for row in listed["memos"]] == [memo["id"]]


@pytest.mark.parametrize("expires_at", ["2026-W50", "2026-12-31T10:00:00"])
def test_expiry_of_another_iso_form_is_refused(world: World, ada: Account, expires_at: str) -> None:
    """A key's expiry takes the same forms of dates as a query."""
    answer = world.post("/api/keys", token=ada.session, json={"expiresAt": expires_at})
    assert (answer.status, answer.error["details"]) == (400, {"field": "expiresAt"})


@pytest.mark.parametrize(("first", "second"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_password_is_compared_in_nfc(world: World, first: str, second: str) -> None:
    """A password typed composed and decomposed is one password."""
    account = world.sign_up(password=first * 3)
    answer = world.post(LOG_IN, json={"email": account.email, "password": second * 3})
    assert answer.status == 200


def test_password_length_is_that_of_its_nfc(world: World) -> None:
    """Seven composed characters are too few, however they are typed."""
    answer = world.post(SIGN_UP, json={"email": "short@example.org", "password": unicodedata.normalize("NFD", "é" * 7)})
    assert (answer.status, answer.error["details"]) == (400, {"field": "password"})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"{COMPOSED}@example.org", f"{DECOMPOSED}@example.org"),
        (f"{COMPOSED.upper()}@EXAMPLE.org", f" {DECOMPOSED}@example.org "),
        ("me@bücher.example", "me@xn--bcher-kva.example"),
        ("me@\uff42ücher.example", "me@xn--bcher-kva.example"),
        ("me@BÜCHER.example", "me@bücher.example"),
    ],
)
def test_email_in_two_spellings_is_one_account(world: World, first: str, second: str) -> None:
    """NFC and NFD, upper and lower case or full width, an international domain and its `xn--` form name one mailbox."""
    world.sign_up(first)
    answer = world.post(SIGN_UP, json={"email": second, "password": PASSWORD})
    assert answer.status == 409
    assert world.post(LOG_IN, json={"email": second, "password": PASSWORD}).status == 200


@pytest.mark.parametrize(
    "email",
    [
        "a,victim@example.org",
        "<victim@example.org",
        "victim@example.org>",
        '"a b"@example.org',
        "a@b@example.org",
        "a..b@example.org",
        ".a@example.org",
        "a.@example.org",
        "a b@example.org",
        "a\u200bb@example.org",
        "x@-.-",
        "x@-a.example",
        "x@a-.example",
        "x@a_b.example",
        "x@[127.0.0.1]",
        "x@127.0.0.1",
        "x@localhost",
        "x@example..org",
        "x@example.org.",
        f"x@{'a' * 64}.example",
        "x@xn--zzzzzz99999.example",
        "x@\u2603\u200d.example",
    ],
)
def test_email_that_is_no_address_is_refused(world: World, email: str) -> None:
    """Anything that a mail header could read as another recipient, or that no domain name can be, is 400."""
    answer = world.post(SIGN_UP, json={"email": email, "password": PASSWORD})
    assert (answer.status, answer.error["code"], answer.error["details"]) == (
        400,
        "VALIDATION_ERROR",
        {"field": "email"},
    )


@pytest.mark.parametrize(
    "email", ["o'brien+memo@example.org", "用户@例子.example", "a/b=c{d}@example.org", "x@1.example"]
)
def test_email_that_is_unusual_is_accepted(world: World, email: str) -> None:
    """Dot-atoms and UTF-8 local parts are addresses (RFC 5322, RFC 6531)."""
    assert world.post(SIGN_UP, json={"email": email, "password": PASSWORD}).status == 201


def test_memo_of_an_unknown_voice_is_listed(world: World, ada: Account) -> None:
    """A memo with an unknown voice and an absolute audio URL is read like any other."""
    memo = world.memo(ada.key)
    row = world.run(Memos(world.store).load(ada.id, memo["id"]))
    old = row.model_copy(update={"id": "f" + row.id[1:], "voice": "nova", "audio_url": "https://cdn.example/a.mp3"})
    world.run(Memos(world.store).add(old))
    listed: list[dict[str, Any]] = world.get("/api/v1/memos", token=ada.key).json["memos"]
    assert [(memo["voice"]["id"], memo["audio"]["url"]) for memo in listed] == [
        ("nova", "https://cdn.example/a.mp3"),
        ("rachel", PUBLIC_URL + row.audio_url),
    ]


@pytest.mark.parametrize("field", ["text", "title"])
def test_lone_surrogate_is_400_and_names_its_field(world: World, ada: Account, field: str) -> None:
    """Half of a surrogate pair is no text: it can be neither spoken nor stored."""
    fields = {"text": "Hello", "voice": "adam"} | {field: "\ud800"}
    answer = world.post("/api/v1/memo", token=ada.key, body=json.dumps(fields))
    assert answer.refusal == (400, "VALIDATION_ERROR", f"{field} is not valid Unicode text")
    assert answer.error["details"] == {"field": field}


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"voice": "unknown"}, "INVALID_VOICE", "Unknown voice"),
        ({"title": "x" * 1000}, "VALIDATION_ERROR", "title must have at most "),
    ],
)
def test_message_names_the_field_that_is_wrong(
    world: World, ada: Account, fields: dict[str, str], code: str, message: str
) -> None:
    """A message begins with the field's name; an unknown voice has the contract's own words."""
    answer = world.post("/api/v1/memo", token=ada.key, json={"text": "Hello", "voice": "adam"} | fields)
    assert (answer.status, answer.error["code"]) == (400, code)
    assert answer.error["message"].startswith(message)
    assert answer.error["details"]["field"] == next(iter(fields))
