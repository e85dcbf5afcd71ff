"""Limits of a key's own, through whole events."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.handlers.world import Account, Answer, World

NewWorld = Callable[..., World]

MEMO = "/api/v1/memo"
SAY = {"text": "Hello", "voice": "rachel"}
NONE = {"memosPerDay": None, "charactersPerDay": None, "charactersPerMonth": None}


def limit(world: World, account: Account, key_id: str, **limits: Any) -> Answer:
    return world.patch(f"/api/keys/{key_id}", token=account.session, json={"limits": limits})


def shown(world: World, account: Account, key_id: str) -> Any:
    return world.get(f"/api/keys/{key_id}", token=account.session).json["key"]


def used(world: World, account: Account) -> int:
    count: int = world.get("/api/v1/usage/limits", token=account.session).json["daily"]["used"]
    return count


@pytest.mark.parametrize(
    ("name", "most", "unit", "resets"),
    [
        ("memosPerDay", 2, "memos a day", "2026-03-03T00:00:00.000Z"),
        ("charactersPerDay", 14, "characters a day", "2026-03-03T00:00:00.000Z"),
        ("charactersPerMonth", 10, "characters a month", "2026-04-01T00:00:00.000Z"),
    ],
)
def test_a_keys_limit_refuses_and_says_which(
    world: World, ada: Account, name: str, most: int, unit: str, resets: str
) -> None:
    """The refusal has the limit, its used part and its end; the owner is charged only for made memos."""
    key_id, secret = world.new_key(ada, limits={name: most})
    for _ in range(2):
        world.memo(secret, text="Hello")
    answer = world.post(MEMO, token=secret, json=SAY)
    assert answer.refusal == (
        429,
        "DAILY_LIMIT_EXCEEDED",
        f"This API key's limit of {most} {unit} is reached",
    )
    assert answer.error["details"] == {"limit": most, "used": 2 if name == "memosPerDay" else 10, "resetAt": resets}
    assert used(world, ada) == 2
    assert shown(world, ada, key_id)["usageCount"] == 2
    world.memo(ada.key)


def test_limits_are_shown_with_what_is_used(world: World, ada: Account) -> None:
    """A single key and the list show them alike. Use without a limit is not counted."""
    key_id, secret = world.new_key(ada, limits={"memosPerDay": 5, "charactersPerMonth": 500})
    world.memo(secret, text="Hello")
    key = shown(world, ada, key_id)
    assert key["limits"] == NONE | {"memosPerDay": 5, "charactersPerMonth": 500}
    assert key["used"] == {"memosToday": 1, "charactersToday": None, "charactersThisMonth": 5}
    assert world.get("/api/keys", token=ada.session).json["keys"][0] == key
    world.later(days=1)
    world.memo(secret, text="Hello")
    assert shown(world, ada, key_id)["used"] == {"memosToday": 1, "charactersToday": None, "charactersThisMonth": 10}


def test_limits_are_changed_at_once_and_merged(world: World, ada: Account) -> None:
    """A new limit binds the next request of a container that remembers the key; null ends one; other limits stay."""
    world.memo(ada.key)
    assert limit(world, ada, ada.key_id, memosPerDay=1).json["key"]["limits"] == NONE | {"memosPerDay": 1}
    world.memo(ada.key)
    assert world.post(MEMO, token=ada.key, json=SAY).status == 429
    both = limit(world, ada, ada.key_id, charactersPerDay=100).json["key"]["limits"]
    assert both == NONE | {"memosPerDay": 1, "charactersPerDay": 100}
    assert limit(world, ada, ada.key_id, memosPerDay=2).status == 200
    world.memo(ada.key)
    assert world.post(MEMO, token=ada.key, json=SAY).status == 429
    assert limit(world, ada, ada.key_id, memosPerDay=None).json["key"]["limits"] == NONE | {"charactersPerDay": 100}
    world.memo(ada.key)
    assert used(world, ada) == 4


def test_a_limit_counts_from_when_it_was_set(world: World, ada: Account) -> None:
    """Memos made before are not counted."""
    for _ in range(3):
        world.memo(ada.key)
    limit(world, ada, ada.key_id, memosPerDay=1)
    assert shown(world, ada, ada.key_id)["used"]["memosToday"] == 0
    world.memo(ada.key)
    assert world.post(MEMO, token=ada.key, json=SAY).status == 429


def test_a_name_and_limits_are_changed_together(world: World, ada: Account) -> None:
    """One PATCH does both; limits alone leave the name."""
    answer = world.patch(
        f"/api/keys/{ada.key_id}", token=ada.session, json={"name": "Agent", "limits": {"memosPerDay": 9}}
    )
    assert (answer.json["key"]["name"], answer.json["key"]["limits"]["memosPerDay"]) == ("Agent", 9)
    limit(world, ada, ada.key_id, memosPerDay=8)
    assert shown(world, ada, ada.key_id)["name"] == "Agent"


@pytest.mark.parametrize(("limits", "missing"), [("{}", "limits"), ("null", "name")])
def test_a_change_needs_something_to_change(world: World, ada: Account, limits: str, missing: str) -> None:
    """A body without a name and a limit is refused: the error names the empty field, or the name."""
    answer = world.patch(f"/api/keys/{ada.key_id}", token=ada.session, body=f'{{"limits": {limits}}}')
    assert answer.refusal == (400, "MISSING_FIELD", f"Missing required field: {missing}")


@pytest.mark.parametrize(
    ("most", "code"),
    [
        (0, "VALIDATION_ERROR"),
        (-1, "VALIDATION_ERROR"),
        (2**53 + 1, "VALIDATION_ERROR"),
        (1.5, "INVALID_INPUT"),
        (True, "INVALID_INPUT"),
        ("5", "INVALID_INPUT"),
    ],
)
def test_limits_are_whole_numbers_from_one(world: World, ada: Account, most: object, code: str) -> None:
    """Anything else is 400, for PATCH and for POST, and names the limit."""
    for answer in (
        limit(world, ada, ada.key_id, charactersPerDay=most),
        world.post("/api/keys", token=ada.session, json={"limits": {"charactersPerDay": most}}),
    ):
        assert answer.refusal[:2] == (400, code)
        assert answer.error["details"]["field"] == "charactersPerDay"
    assert shown(world, ada, ada.key_id)["limits"] == NONE


@pytest.mark.parametrize("limits", [[], ["memosPerDay"], "x", 5, True])
def test_limits_that_are_no_object_are_refused(world: World, ada: Account, limits: object) -> None:
    """They are 400 for PATCH and for POST, and leave the key unchanged."""
    for answer in (
        world.patch(f"/api/keys/{ada.key_id}", token=ada.session, json={"limits": limits}),
        world.post("/api/keys", token=ada.session, json={"limits": limits}),
    ):
        assert answer.status == 400
        assert answer.error["details"]["field"] == "limits"
    assert shown(world, ada, ada.key_id)["limits"] == NONE


def test_all_limits_may_be_given_and_any_of_them_null(world: World, ada: Account) -> None:
    """PATCH and POST take all limits at once, and null means no limit."""
    every = {"memosPerDay": 3, "charactersPerDay": 300, "charactersPerMonth": 3000}
    assert limit(world, ada, ada.key_id, **every).json["key"]["limits"] == NONE | every
    key_id, _ = world.new_key(ada, limits=every | {"memosPerDay": None})
    assert shown(world, ada, key_id)["limits"] == NONE | every | {"memosPerDay": None}


def test_a_test_key_has_limits_of_its_own(world: World, ada: Account) -> None:
    """They bound its simulated memos, and spend none of the owner's."""
    key_id, secret = world.new_key(ada, test=True, limits={"memosPerDay": 1})
    world.memo(secret)
    assert world.post(MEMO, token=secret, json=SAY).refusal[:2] == (429, "DAILY_LIMIT_EXCEEDED")
    assert (used(world, ada), shown(world, ada, key_id)["used"]["memosToday"]) == (0, 1)


def test_an_invalid_memo_takes_none_of_a_keys_limit(world: World, ada: Account) -> None:
    """A text that is too long and an unknown voice are 400 and count nothing."""
    key_id, secret = world.new_key(ada, limits={"memosPerDay": 1})
    for body in ({"text": "x" * 5001, "voice": "rachel"}, {"text": "Hello", "voice": "nobody"}):
        assert world.post(MEMO, token=secret, json=body).status == 400
    assert shown(world, ada, key_id)["used"]["memosToday"] == 0
    world.memo(secret)


def test_verify_says_that_a_keys_limit_is_spent(world: World, ada: Account) -> None:
    """The key at its limit is LIMIT_EXCEEDED, while another key of the owner is VALID."""
    _, secret = world.new_key(ada, limits={"memosPerDay": 1})
    codes = []
    for _ in range(2):
        codes.append(world.post("/api/keys/verify", token=ada.session, json={"key": secret}).json["code"])
        world.post(MEMO, token=secret, json=SAY)
    assert codes == ["VALID", "LIMIT_EXCEEDED"]
    assert world.post("/api/keys/verify", token=ada.session, json={"key": ada.key}).json["code"] == "VALID"


def test_a_change_of_limits_is_a_log_of_the_owner(world: World, ada: Account) -> None:
    """The log contains the limits as given; a renaming writes none."""
    limit(world, ada, ada.key_id, memosPerDay=5, charactersPerDay=None)
    world.patch(f"/api/keys/{ada.key_id}", token=ada.session, json={"name": "Agent"})
    logs = world.get("/api/v1/usage", token=ada.session, query={"action": "key_limited"}).json["logs"]
    assert [(log["apiKeyId"], log["metadata"]) for log in logs] == [
        (ada.key_id, {"limits": {"memosPerDay": 5, "charactersPerDay": None}})
    ]


def test_first_refusal_of_a_keys_window_is_recorded(world: World, ada: Account) -> None:
    """On one day the key's refusals are one log and the owner's another one. The log names the limit."""
    _, secret = world.new_key(ada, limits={"memosPerDay": 1})
    for _ in range(4):
        world.post(MEMO, token=secret, json=SAY)
    world.spend(ada, 100)
    for _ in range(2):
        world.post(MEMO, token=ada.key, json=SAY)
    logs = world.get("/api/v1/usage", token=ada.session, query={"action": "error_rate_limit"}).json["logs"]
    assert [(log["apiKeyId"] == ada.key_id, log["metadata"].get("of")) for log in logs] == [
        (True, None),
        (False, "key"),
    ]


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        ({"memosPerDay": 0}, ("VALIDATION_ERROR", "memosPerDay must be at least 1")),
        ({}, ("MISSING_FIELD", "Missing required field: limits")),
    ],
)
def test_refusal_says_what_a_limit_may_be(world: World, limits: dict[str, int], refusal: tuple[str, str]) -> None:
    ada = world.sign_up()
    answer = world.patch(f"/api/keys/{ada.key_id}", token=ada.session, json={"limits": limits})
    assert answer.refusal == (400, *refusal)


@pytest.mark.parametrize("limits", [{"memosPerDya": 1}, {"memosPerDay": 1, "memos_per_day": 1}, {"\ud800": None}])
def test_misspelt_limit_is_refused(world: World, ada: Account, limits: dict[str, Any]) -> None:
    """It would leave the key without the limit that its owner wanted. Other unknown fields are ignored."""
    for answer in (
        world.post("/api/keys", token=ada.session, json={"limits": limits}),
        world.patch(f"/api/keys/{ada.key_id}", token=ada.session, json={"limits": limits}),
    ):
        assert answer.refusal[:2] == (400, "VALIDATION_ERROR")
        assert answer.error["details"] == {"field": "limits", "validOptions": list(NONE)}
    assert shown(world, ada, ada.key_id)["limits"] == NONE
