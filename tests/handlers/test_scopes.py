"""The scopes of API keys: every route of every function with every set of scopes, against the contract's list."""

import re
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any, Final

import pytest

from tests.handlers.world import Account, World
from tools.local import FUNCTIONS

NewWorld = Callable[..., World]

SCOPES: Final = ("memo:write", "memo:read", "usage:read")
SETS: Final = [list(some) for count in (1, 2, 3) for some in combinations(SCOPES, count)]

NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "POST /api/v1/memo": ("memo:write",),
    "PATCH /api/v1/memo/{memo_id}": ("memo:write",),
    "DELETE /api/v1/memo/{memo_id}": ("memo:write",),
    "GET /api/v1/memo/{memo_id}": ("memo:read",),
    "GET /api/v1/memos": ("memo:read",),
    "GET /api/v1/usage": ("usage:read",),
    "GET /api/v1/usage/limits": ("usage:read",),
    "GET /api/v1/usage/series": ("usage:read",),
    "GET /api/v1/analytics/usage": ("usage:read",),
    "GET /api/v1/analytics/voices": ("usage:read",),
    "GET /api/v1/analytics/errors": ("usage:read",),
    "GET /api/v1/analytics/summary": ("usage:read",),
    "GET /api/v1/analytics/charts": ("usage:read",),
    "GET /api/v1/analytics/export": ("usage:read", "memo:read"),
    "GET /api/v1/dashboard/stats": ("usage:read",),
    "POST /v1/audio/speech": ("memo:write",),
    "GET /v1/models": (),
}
"""The scopes that the contract requires of an API key. A route not listed takes no API key, or is public."""


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each route of all functions, as `GET /path`, and its part of the OpenAPI document."""
    for function in FUNCTIONS.values():
        for path, item in function.app.openapi()["paths"].items():
            for method, operation in item.items():
                yield f"{method.upper()} {path}", operation


OPERATIONS: Final = dict(operations())


def scopes_shown(operation: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the scopes that the document names for an API key; None: the route takes no API key."""
    for requirement in operation.get("security", []):
        if "apiKey" in requirement:
            return tuple(requirement["apiKey"])
    return None


def test_openapi_shows_the_scopes_of_the_contract() -> None:
    """The document names the scopes of each route that takes an API key, and no other route takes one."""
    shown = {route: scopes_shown(operation) for route, operation in OPERATIONS.items()}
    assert {route: scopes for route, scopes in shown.items() if scopes is not None} == NEEDED


def test_openapi_names_no_scope_for_sessions() -> None:
    """A session may do everything, so it needs no scope."""
    for operation in OPERATIONS.values():
        for requirement in operation.get("security", []):
            assert requirement.get("session", []) == []


@pytest.mark.parametrize("scopes", SETS, ids=",".join)
@pytest.mark.parametrize("remembered", [False, True])
def test_scope_matrix(world: World, ada: Account, scopes: list[str], *, remembered: bool) -> None:
    """A key that lacks a scope of a route is 403 with its name, before the body; with it, it is not. Others are 401."""
    _, secret = world.new_key(ada, scopes=scopes)
    if remembered:
        for path in ("/api/v1/memos", "/api/v1/usage", "/api/v1/memo/x"):
            world.get(path, token=secret)
        world.post("/api/v1/memo", token=secret, json={"text": "Hello", "voice": "rachel"})
    for route, operation in OPERATIONS.items():
        method, path = route.split(" ")
        if not operation.get("security"):
            continue
        answer = world.send(method, re.sub(r"\{\w+\}", "x", path), token=secret, body='{"text": 7}')
        needed = NEEDED.get(route)
        if needed is None:
            assert answer.refusal[:2] == (401, "INVALID_API_KEY"), route
            continue
        lacking = [scope for scope in needed if scope not in scopes]
        if lacking:
            assert answer.refusal[:2] == (403, "FORBIDDEN"), route
            assert lacking[0] in str(answer.error), route  # OpenAI's envelope has no details
        else:
            assert answer.status in (200, 400, 404), (route, answer)


def test_sessions_and_whole_keys_have_every_scope(world: World, ada: Account) -> None:
    """A session, and a key made without scopes, are 403 nowhere."""
    for token in (ada.session, ada.key):
        for route in NEEDED:
            method, path = route.split(" ")
            assert world.send(method, re.sub(r"\{\w+\}", "x", path), token=token, body="{}").status != 403


def test_a_revocation_is_told_before_a_scope(world: World, ada: Account) -> None:
    """A revoked key without the scope is REVOKED_KEY, also in a container that remembers it."""
    key_id, secret = world.new_key(ada, scopes=["usage:read"])
    assert world.get("/api/v1/memos", token=secret).refusal[:2] == (403, "FORBIDDEN")
    world.delete(f"/api/keys/{key_id}", token=ada.session)
    for method, path in (("GET", "/api/v1/memos"), ("POST", "/api/v1/memo")):
        assert world.send(method, path, token=secret, body="{}").refusal[:2] == (403, "REVOKED_KEY")


def test_a_refusal_by_scope_counts_nothing(world: World, ada: Account) -> None:
    """It names the scope, and takes none of the owner's limit."""
    _, secret = world.new_key(ada, scopes=["memo:read"])
    answer = world.post("/api/v1/memo", token=secret, json={"text": "Hello", "voice": "rachel"})
    assert answer.error["details"] == {"requiredScope": "memo:write"}
    assert world.get("/api/v1/usage/limits", token=ada.session).json["daily"]["used"] == 0


def test_a_keys_scopes_are_shown_in_their_order(world: World, ada: Account) -> None:
    """Each scope is shown once. A key made without scopes has all of them."""
    key_id, _ = world.new_key(ada, scopes=["usage:read", "memo:read", "memo:read"])
    shown = {key["id"]: key["scopes"] for key in world.get("/api/keys", token=ada.session).json["keys"]}
    assert shown == {key_id: ["memo:read", "usage:read"], ada.key_id: list(SCOPES)}


@pytest.mark.parametrize("scopes", [[], ["memo"], ["memo:read", "MEMO:WRITE"], ["*"]])
def test_unknown_or_no_scopes_are_refused(world: World, ada: Account, scopes: list[str]) -> None:
    """The refusal names the valid scopes."""
    answer = world.post("/api/keys", token=ada.session, json={"scopes": scopes})
    assert answer.refusal[:2] == (400, "VALIDATION_ERROR")
    assert answer.error["details"] == {"field": "scopes", "validOptions": list(SCOPES)}


@pytest.mark.parametrize(
    ("scopes", "expected", "provided"),
    [("memo:read", "array", "string"), ({}, "array", "object"), ([7], "string", "number")],
)
def test_scopes_of_a_wrong_type_are_refused(
    world: World, ada: Account, scopes: object, expected: str, provided: str
) -> None:
    """The refusal names the field and the type."""
    answer = world.post("/api/keys", token=ada.session, json={"scopes": scopes})
    assert answer.refusal == (400, "INVALID_INPUT", f"Invalid scopes: expected {expected}")
    assert answer.error["details"]["providedType"] == provided


def test_many_wrong_scopes_cost_no_more_than_one(world: World, ada: Account) -> None:
    """The first wrong one is the answer: half a million fit into a body, and took 800 MB and 15 seconds."""
    body = '{"scopes": [' + "1," * 300_000 + "1]}"
    world.post("/api/keys", token=ada.session, json={"scopes": [1]})
    began = time.process_time()
    answer = world.post("/api/keys", token=ada.session, body=body)
    assert time.process_time() - began < 0.5
    assert answer.refusal[:2] == (400, "INVALID_INPUT")
