"""Combinations of inputs that tests of single cases miss: cursors by filter, bodies by message, lengths by letter."""

import asyncio
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import pytest

from tests.handlers.world import PASSWORD, Account, World

LISTS = {
    "/api/v1/memos": {
        "voice": ("sam", "rachel"),
        "from": ("2026-03-01", "2026-03-02"),
        "to": ("2026-03-03", "2026-04-01"),
    },
    "/api/v1/usage": {
        "action": ("memo_created", "key_created"),
        "from": ("2026-03-01", "2026-03-02"),
        "to": ("2026-03-03", "2026-04-01"),
    },
}
EACH = [(path, name) for path, filters in LISTS.items() for name in filters]
OTHERS: list[Callable[[str, str], dict[str, str]]] = [
    lambda *_: {},
    lambda name, _: {name: ""},
    lambda name, other: {name: other},
]


@pytest.mark.parametrize(("path", "name"), EACH)
@pytest.mark.parametrize("others", OTHERS, ids=["left out", "empty", "changed"])
def test_cursor_is_bound_to_each_filter(
    world: World, ada: Account, path: str, name: str, others: Callable[[str, str], dict[str, str]]
) -> None:
    """A cursor continues its own list: with a filter left out, emptied or changed it is 400."""
    for _ in range(3):
        world.memo(ada.key, voice="sam")
    value, other = LISTS[path][name]
    query = {"limit": "1", name: value}
    first = world.get(path, token=ada.key, query=query).json
    assert first["nextCursor"] is not None
    at = {"cursor": first["nextCursor"]}
    assert world.get(path, token=ada.key, query=query | at).status == 200
    assert world.get(path, token=ada.key, query=query | at | {"limit": "2"}).status == 200
    answer = world.get(path, token=ada.key, query={"limit": "1"} | at | others(name, other))
    assert (answer.status, answer.error["details"]) == (400, {"field": "cursor"})


@pytest.mark.parametrize(("path", "name"), EACH)
def test_cursor_of_no_filter_refuses_each(world: World, ada: Account, path: str, name: str) -> None:
    """Adding a filter to a continued list is 400; an empty filter is none."""
    for _ in range(3):
        world.memo(ada.key, voice="sam")
    at = {"limit": "1", "cursor": world.get(path, token=ada.key, query={"limit": "1"}).json["nextCursor"]}
    assert world.get(path, token=ada.key, query=at | {name: ""}).status == 200
    assert world.get(path, token=ada.key, query=at | {name: LISTS[path][name][0]}).status == 400


def sent_in_parts(world: World, parts: Sequence[bytes], *, ends: bool = True) -> list[MutableMapping[str, Any]]:
    """Send a demo's body in several messages. Returns the answer's messages. `ends`: the last one ends the body."""
    sent: list[MutableMapping[str, Any]] = []
    messages: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": number < len(parts) or not ends}
        for number, part in enumerate(parts, 1)
    ]

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/demo",
        "scheme": "https",
        "query_string": b"",
        "headers": [],
        "client": ("203.0.113.7", 1),
    }
    asyncio.run(world.functions["memos"].asgi(scope, receive, send))
    return sent


BODY = b'{"text": "Hello", "voice": "sam"}'


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([BODY], 201),
        ([BODY[:5], BODY[5:20], BODY[20:]], 201),
        ([b"", BODY, b""], 201),
        ([BODY, b" " * 524_288, b" " * (524_288 - len(BODY))], 201),
        ([BODY, b" " * 524_288, b" " * (524_289 - len(BODY))], 413),
        ([BODY, b" " * 1_048_577, b" "], 413),
        ([BODY[:5], b"", BODY[20:]], 400),
    ],
)
def test_body_counts_as_a_whole_in_several_messages(world: World, parts: list[bytes], status: int) -> None:
    """Body and size are the sum of all messages: a mebibyte is served, a byte more is 413."""
    assert sent_in_parts(world, parts)[0]["status"] == status


@pytest.mark.parametrize("parts", [[], [BODY], [BODY[:5]], [BODY, b" "]])
def test_body_that_was_given_up_does_nothing(world: World, parts: list[bytes]) -> None:
    """A request whose body breaks off has no effect, even if the received part is a valid request."""
    assert sent_in_parts(world, parts, ends=False) == []
    assert not world.run(world.store.scan_counters()).rows


EMAIL = "a" * 64 + "@" + ".".join(["b" * 61] * 3) + ".com"


@pytest.mark.parametrize(
    ("email", "status"),
    [
        ("\N{GRINNING FACE}" * 121 + "@example.org", 201),
        ("\N{GRINNING FACE}" * 122 + "@example.org", 400),
        ("a" * 242 + "@example.org", 201),
        ("a" * 243 + "@example.org", 400),
        (EMAIL, 201),
        ("a@b@example.org", 400),
    ],
)
def test_email_has_254_code_units(world: World, email: str, status: int) -> None:
    """Lengths count UTF-16 code units: a letter beyond the first plane is two."""
    answer = world.post("/api/v1/auth/signup", json={"email": email, "password": PASSWORD})
    assert answer.status == status, answer


def test_empty_title_is_none(world: World, ada: Account) -> None:
    """`title: ""` is no title, on create and on PATCH, in the answer and in the list."""
    memo = world.memo(ada.key, title="")
    assert memo["title"] is None
    path = f"/api/v1/memo/{memo['id']}"
    assert world.patch(path, token=ada.key, json={"title": "A title"}).json["title"] == "A title"
    assert world.patch(path, token=ada.key, json={"title": ""}).json["title"] is None
    assert world.get("/api/v1/memos", token=ada.key).json["memos"] == [memo]


def test_revoked_key_counts_in_the_dashboards_total(world: World, ada: Account) -> None:
    """`apiKeys.total` is of all keys, `active` of those that work, and `maxAllowed` is the plan's."""
    other, _ = world.new_key(ada)
    world.delete(f"/api/keys/{other}", token=ada.session)
    stats = world.get("/api/v1/dashboard/stats", token=ada.session).json["stats"]
    assert stats["apiKeys"] == {"total": 2, "active": 1, "maxAllowed": 2}


def test_first_refusal_of_a_day_is_recorded_each_day(world: World, ada: Account) -> None:
    """Refusals are logged once on each day, with their code."""
    for _ in range(2):
        world.spend(ada, 100)
        for _ in range(3):
            assert world.post("/api/v1/memo", token=ada.key, json={"text": "x", "voice": "sam"}).status == 429
        world.later(days=1)
    logs = world.get("/api/v1/usage", token=ada.key, query={"action": "error_rate_limit"}).json["logs"]
    assert [log["metadata"]["code"] for log in logs] == ["DAILY_LIMIT_EXCEEDED"] * 2
