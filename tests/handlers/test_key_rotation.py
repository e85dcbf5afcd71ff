"""Rotating API keys through whole events."""

import re
from typing import Any

import pytest

from tests.handlers.world import Account, Answer, World

SAY = {"text": "Hello", "voice": "rachel"}


def rotate(world: World, account: Account, key_id: str, **fields: Any) -> Answer:
    return world.post(f"/api/keys/{key_id}/rotate", token=account.session, json=fields)


def listed(world: World, account: Account) -> dict[str, Any]:
    return {key["id"]: key for key in world.get("/api/keys", token=account.session).json["keys"]}


def use(world: World, key: str) -> int:
    return world.post("/api/v1/memo", token=key, json=SAY).status


@pytest.mark.parametrize("body", [None, "", "{}", '{"graceSeconds": null}', '{"graceSeconds": 0}'])
def test_a_rotation_replaces_a_key_at_once(world: World, ada: Account, body: str | None) -> None:
    """The answer has the form of a new key's. The old key has ended and names the new one."""
    answer = world.post(f"/api/keys/{ada.key_id}/rotate", token=ada.session, body=body)
    assert answer.status == 201
    assert answer.json.keys() == {"success", "key", "warning"}
    new = answer.json["key"]
    assert new.keys() == {"id", "key", "prefix", "name", "createdAt"}
    assert re.fullmatch(r"at_live_[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", new["key"])
    assert new["name"] == "Default Key"
    assert use(world, new["key"]) == 201
    assert world.get("/api/v1/memos", token=ada.key).refusal == (401, "INVALID_API_KEY", "API key has expired")
    keys = listed(world, ada)
    assert [(key["isActive"], key["rotatedTo"]) for key in keys.values()] == [(True, None), (False, new["id"])]


def test_an_old_key_works_for_its_grace(world: World, ada: Account) -> None:
    """An old key works until its end, which the list shows, and no longer."""
    new = rotate(world, ada, ada.key_id, graceSeconds=3600).json["key"]
    assert listed(world, ada)[ada.key_id]["expiresAt"].startswith("2026-03-02T13:00:00")
    assert [use(world, key) for key in (ada.key, new["key"])] == [201, 201]
    world.later(hours=1)
    assert [use(world, key) for key in (ada.key, new["key"])] == [401, 201]
    assert listed(world, ada)[ada.key_id]["isActive"] is False


def test_a_grace_never_prolongs_a_keys_life(world: World, ada: Account) -> None:
    """A key that ends in an hour ends in an hour, with any grace."""
    key_id, secret = world.new_key(ada, expiresAt="2026-03-02T13:00:00Z")
    rotate(world, ada, key_id, graceSeconds=604_800)
    assert listed(world, ada)[key_id]["expiresAt"] == "2026-03-02T13:00:00.000Z"
    world.later(hours=1)
    assert use(world, secret) == 401


def test_a_new_key_has_what_the_old_one_had(world: World, ada: Account) -> None:
    """Name, scopes, limits, expiry and whether it is a test key go along."""
    given: dict[str, Any] = {
        "name": "Agent",
        "test": True,
        "scopes": ["memo:write"],
        "limits": {"memosPerDay": 5},
        "expiresAt": "2026-04-01T00:00:00Z",
    }
    key_id, _ = world.new_key(ada, **given)
    new = rotate(world, ada, key_id).json["key"]
    shown = listed(world, ada)
    same = ("name", "prefix", "scopes", "limits")
    assert [shown[new["id"]][field] for field in same] == [shown[key_id][field] for field in same]
    assert shown[new["id"]]["expiresAt"] == "2026-04-01T00:00:00.000Z"
    assert shown[new["id"]]["limits"] == {"memosPerDay": 5, "charactersPerDay": None, "charactersPerMonth": None}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "2026-04-01T00:00:00.000Z"),
        ({"expiresAt": None}, None),
        ({"expiresAt": "2026-05-01"}, "2026-05-02T00:00:00.000Z"),
    ],
)
def test_a_new_keys_expiry_is_kept_given_or_none(
    world: World, ada: Account, given: dict[str, Any], shown: str | None
) -> None:
    """Left out it is the old key's, and null is none: a key that ends is not made permanent by accident."""
    key_id, _ = world.new_key(ada, expiresAt="2026-04-01T00:00:00Z")
    new = rotate(world, ada, key_id, **given).json["key"]
    assert listed(world, ada)[new["id"]]["expiresAt"] == shown


def test_a_full_ring_can_rotate(world: World, ada: Account) -> None:
    """Each key can be rotated with a grace, one key more is refused, and the old keys end with their grace."""
    other, _ = world.new_key(ada)
    assert [rotate(world, ada, key, graceSeconds=60).status for key in (ada.key_id, other)] == [201, 201]
    assert world.post("/api/keys", token=ada.session).refusal[2] == "Maximum number of API keys (2) reached"
    assert [key["isActive"] for key in listed(world, ada).values()] == [True] * 4
    world.later(minutes=1)
    assert [key["isActive"] for key in listed(world, ada).values()] == [True, True, False, False]


def test_a_key_is_rotated_once(world: World, ada: Account) -> None:
    """A repeat is 409 and names the new key, also after the grace; the new key can be rotated."""
    new = rotate(world, ada, ada.key_id, graceSeconds=60).json["key"]
    for _ in range(2):
        answer = rotate(world, ada, ada.key_id)
        assert answer.refusal[:2] == (409, "CONFLICT")
        assert new["id"] in answer.refusal[2]
        world.later(minutes=2)
    assert rotate(world, ada, new["id"]).status == 201


def test_what_is_over_cannot_be_rotated(world: World, ada: Account) -> None:
    """Rotating a revoked or an expired key is 400, and the key stays invalid."""
    expiring, secret = world.new_key(ada, expiresAt="2026-03-02T13:00:00Z")
    world.delete(f"/api/keys/{ada.key_id}", token=ada.session)
    world.later(hours=1)
    for key_id in (expiring, ada.key_id):
        assert rotate(world, ada, key_id, expiresAt=None).refusal[:2] == (400, "VALIDATION_ERROR")
    assert len(listed(world, ada)) == 2
    assert [use(world, key) for key in (secret, ada.key)] == [401, 403]


@pytest.mark.parametrize(
    ("fields", "code", "details"),
    [
        ({"graceSeconds": -1}, "VALIDATION_ERROR", {"field": "graceSeconds"}),
        ({"graceSeconds": 604_801}, "VALIDATION_ERROR", {"field": "graceSeconds"}),
        ({"expiresAt": "2026-03-01"}, "VALIDATION_ERROR", {"field": "expiresAt"}),
        ({"expiresAt": "soon"}, "VALIDATION_ERROR", {"field": "expiresAt"}),
        (
            {"graceSeconds": "1"},
            "INVALID_INPUT",
            {"field": "graceSeconds", "reason": "expected integer, received string", "providedType": "string"},
        ),
    ],
)
def test_an_invalid_rotation_changes_nothing(
    world: World, ada: Account, fields: dict[str, Any], code: str, details: dict[str, Any]
) -> None:
    """It is 400, and the old key stays unchanged."""
    before = listed(world, ada)
    answer = rotate(world, ada, ada.key_id, **fields)
    assert (answer.status, answer.error["code"], answer.error["details"]) == (400, code, details)
    assert listed(world, ada) == before
    assert use(world, ada.key) == 201


def test_anothers_key_is_rotated_by_its_owner_alone(world: World, ada: Account, bob: Account) -> None:
    """For any other user the key is absent."""
    headers = {"x-request-id": "same"}
    absent, anothers = (
        world.post(f"/api/keys/{key_id}/rotate", token=bob.session, headers=headers)
        for key_id in ("0" * 32, ada.key_id)
    )
    assert absent.refusal == (404, "NOT_FOUND", "API key not found")
    assert anothers == absent
    assert use(world, ada.key) == 201


def test_a_rotation_is_a_log_of_the_owner(world: World, ada: Account) -> None:
    """The log is of the old key and names the new one. A repeat adds none."""
    new = rotate(world, ada, ada.key_id).json["key"]
    rotate(world, ada, ada.key_id)
    logs = world.get("/api/v1/usage", token=ada.session, query={"action": "key_rotated"}).json["logs"]
    assert [(log["apiKeyId"], log["metadata"]) for log in logs] == [(ada.key_id, {"rotatedTo": new["id"]})]


def test_rotations_are_changes_of_keys(world: World, ada: Account) -> None:
    """An owner has sixty changes of keys an hour. A rotation takes one, and an invalid one takes none."""
    key_id = ada.key_id
    for _ in range(60):
        assert rotate(world, ada, ada.key_id, graceSeconds=-1).status == 400
        key_id = rotate(world, ada, key_id).json["key"]["id"]
    assert rotate(world, ada, key_id).refusal[:2] == (429, "RATE_LIMIT_EXCEEDED")
    assert listed(world, ada)[key_id]["isActive"] is True
