"""API keys through whole events."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from shared.plans import Tier
from shared.tables.users import Role
from tests.handlers.world import Account, Answer, World

NewWorld = Callable[..., World]

KEYS = "/api/keys"
DASHBOARD = "/api/v1/dashboard/keys"
VERIFY = "/api/keys/verify"
MEMO = "/api/v1/memo"
SAY = {"text": "Hello", "voice": "rachel"}
HOBBY_LIMITS = {"callsPerDay": 100, "charsPerMemo": 5000, "maxApiKeys": 2, "maxConcurrent": 1}
NO_LIMITS: dict[str, Any] = {
    "scopes": ["memo:write", "memo:read", "usage:read"],
    "limits": {"memosPerDay": None, "charactersPerDay": None, "charactersPerMonth": None},
    "used": {"memosToday": None, "charactersToday": None, "charactersThisMonth": None},
    "rotatedTo": None,
}
REVOKED = {"success": True, "message": "API key revoked successfully"}


def create(world: World, account: Account, path: str = KEYS, **fields: Any) -> Answer:
    return world.post(path, token=account.session, json=fields)


def verify(world: World, account: Account, key: str) -> Any:
    answer = world.post(VERIFY, token=account.session, json={"key": key})
    assert answer.status == 200
    return answer.json


@pytest.mark.parametrize("path", [KEYS, DASHBOARD])
def test_a_new_key_is_shown_once_and_works(world: World, ada: Account, path: str) -> None:
    answer = create(world, ada, path, name="  My agent ")
    body = answer.json
    assert answer.status == 201
    assert body.keys() == {"success", "key", "warning"}
    assert body["success"] is True
    assert body["key"].keys() == {"id", "key", "prefix", "name", "createdAt"}
    assert re.fullmatch(r"at_live_[A-Za-z0-9_-]{43}", body["key"]["key"])
    assert (body["key"]["prefix"], body["key"]["name"]) == ("at_live_", "My agent")
    world.memo(body["key"]["key"])
    assert body["key"]["key"].encode() not in world.get(path, token=ada.session).body


@pytest.mark.parametrize("body", [None, "", "{}", '{"name": null}', '{"name": ""}', '{"name": "  "}'])
def test_a_key_may_go_without_a_name(world: World, ada: Account, body: str | None) -> None:
    answer = world.post(KEYS, token=ada.session, body=body)
    assert (answer.status, answer.json["key"]["name"]) == (201, "Default Key")


@pytest.mark.parametrize(
    ("name", "status"),
    [("n" * 100, 201), ("n" * 101, 400), (f"  {'n' * 100}  ", 201), ("🤖" * 50, 201), ("🤖" * 50 + "n", 400)],
)
def test_a_name_has_at_most_100_utf_16_units_after_trimming(world: World, ada: Account, name: str, status: int) -> None:
    answer = create(world, ada, name=name)
    assert answer.status == status
    if status == 400:
        assert answer.error["code"] == "VALIDATION_ERROR"
        assert answer.error["details"] == {"field": "name", "maxLength": 100, "provided": 101}


@pytest.mark.parametrize(
    ("fields", "field", "expected", "provided"),
    [
        ({"name": 7}, "name", "string", "number"),
        ({"name": ["a"]}, "name", "string", "array"),
        ({"test": "yes"}, "test", "boolean", "string"),
        ({"test": 1}, "test", "boolean", "number"),
        ({"expiresAt": 1772452800}, "expiresAt", "string", "number"),
    ],
)
def test_wrong_types_are_told_by_name(
    world: World, ada: Account, fields: dict[str, Any], field: str, expected: str, provided: str
) -> None:
    answer = create(world, ada, **fields)
    assert answer.refusal == (400, "INVALID_INPUT", f"Invalid {field}: expected {expected}")
    assert answer.error["details"]["field"] == field
    assert answer.error["details"]["providedType"] == provided


def test_the_tiers_number_of_active_keys_is_the_limit(world: World, ada: Account) -> None:
    assert create(world, ada).status == 201
    answer = create(world, ada)
    assert answer.refusal == (400, "VALIDATION_ERROR", "Maximum number of API keys (2) reached")
    assert answer.error["details"] == {"limit": 2}


def test_revoked_and_expired_keys_do_not_count_towards_the_limit(world: World, ada: Account) -> None:
    world.delete(f"{KEYS}/{ada.key_id}", token=ada.session)
    create(world, ada, expiresAt="2026-03-02T13:00:00Z")
    world.later(hours=1)
    assert [create(world, ada).status for _ in range(3)] == [201, 201, 400]


def test_test_keys_count_towards_the_limit(world: World, ada: Account) -> None:
    assert [create(world, ada, test=True).status for _ in range(2)] == [201, 400]


def test_after_a_downgrade_existing_keys_go_on_working(world: World, ada: Account) -> None:
    world.put_on(ada, Tier.PRO)
    keys = [world.new_key(ada)[1] for _ in range(4)]
    world.put_on(ada, Tier.HOBBY)
    for key in keys:
        world.memo(key)
    assert create(world, ada).refusal[2] == "Maximum number of API keys (2) reached"


@pytest.mark.parametrize("path", [KEYS, DASHBOARD])
def test_keys_are_listed_newest_first_with_revoked_ones(world: World, ada: Account, path: str) -> None:
    second, secret = world.new_key(ada, name="second")
    world.memo(secret)
    world.delete(f"{KEYS}/{ada.key_id}", token=ada.session)
    answer = world.get(path, token=ada.session)
    assert answer.status == 200
    assert answer.json.keys() == {"success", "keys"}
    newest, oldest = answer.json["keys"]
    assert newest == {
        "id": second,
        "prefix": "at_live_",
        "maskedKey": f"at_live_***...{secret[-6:]}",
        "name": "second",
        "usageCount": 1,
        "lastUsedAt": "2026-03-02T12:00:00.000Z",
        "isActive": True,
        "createdAt": newest["createdAt"],
        "expiresAt": None,
        **NO_LIMITS,
    }
    assert oldest == {
        "id": ada.key_id,
        "prefix": "at_live_",
        "maskedKey": f"at_live_***...{ada.key[-6:]}",
        "name": "Default Key",
        "usageCount": 0,
        "lastUsedAt": None,
        "isActive": False,
        "createdAt": oldest["createdAt"],
        "expiresAt": None,
        **NO_LIMITS,
    }


def test_one_key_answers_as_in_the_list(world: World, ada: Account) -> None:
    (listed,) = world.get(KEYS, token=ada.session).json["keys"]
    answer = world.get(f"{KEYS}/{ada.key_id}", token=ada.session)
    assert answer.status == 200
    assert answer.json == {"success": True, "key": listed}


def test_the_last_use_is_kept_to_the_minute(world: World, ada: Account) -> None:
    for minutes in (0, 1.5, 3.9):
        world.clock.at = world.clock.at.replace(minute=int(minutes), second=int(minutes % 1 * 60))
        world.memo(ada.key)
    key = world.get(f"{KEYS}/{ada.key_id}", token=ada.session).json["key"]
    assert (key["usageCount"], key["lastUsedAt"]) == (3, "2026-03-02T12:03:00.000Z")


def test_a_key_is_renamed(world: World, ada: Account) -> None:
    before = world.get(f"{KEYS}/{ada.key_id}", token=ada.session).json["key"]
    answer = world.patch(f"{KEYS}/{ada.key_id}", token=ada.session, json={"name": " Büro \N{ROBOT FACE} "})
    assert answer.status == 200
    assert answer.json == {"success": True, "key": before | {"name": "Büro \N{ROBOT FACE}"}}
    assert world.get(f"{KEYS}/{ada.key_id}", token=ada.session).json == answer.json


@pytest.mark.parametrize("body", ["", "{}", '{"name": null}', '{"name": ""}', '{"name": "   "}'])
def test_a_key_is_not_renamed_to_nothing(world: World, ada: Account, body: str) -> None:
    answer = world.patch(f"{KEYS}/{ada.key_id}", token=ada.session, body=body)
    assert answer.refusal == (400, "MISSING_FIELD", "Missing required field: name")
    assert answer.error["details"] == {"field": "name"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/keys/{}"),
        ("DELETE", "/api/v1/dashboard/keys/{}"),
        ("POST", "/api/keys/{}/revoke"),
    ],
)
def test_a_revocation_is_in_force_at_once_and_repeatable(world: World, ada: Account, method: str, path: str) -> None:
    for _ in range(2):
        answer = world.send(method, path.format(ada.key_id), token=ada.session)
        assert (answer.status, answer.json) == (200, REVOKED)
    refused = world.post(MEMO, token=ada.key, json=SAY)
    assert refused.refusal == (403, "REVOKED_KEY", "API key has been revoked")
    assert "details" not in refused.error
    assert world.get("/api/v1/usage/limits", token=ada.session).json["daily"]["used"] == 0


def test_a_revocation_is_recorded_once(world: World, ada: Account) -> None:
    for _ in range(2):
        world.delete(f"{KEYS}/{ada.key_id}", token=ada.session)
    logs = world.get("/api/v1/usage", token=ada.session, query={"action": "key_revoked"}).json["logs"]
    assert [log["apiKeyId"] for log in logs] == [ada.key_id]


def test_a_revoked_key_stays_revoked_when_it_is_renamed(world: World, ada: Account) -> None:
    world.delete(f"{KEYS}/{ada.key_id}", token=ada.session)
    world.patch(f"{KEYS}/{ada.key_id}", token=ada.session, json={"name": "back?"})
    assert world.get(f"{KEYS}/{ada.key_id}", token=ada.session).json["key"]["isActive"] is False
    assert world.post(MEMO, token=ada.key, json=SAY).status == 403


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/keys/{}", None),
        ("PATCH", "/api/keys/{}", '{"name": "mine"}'),
        ("DELETE", "/api/keys/{}", None),
        ("DELETE", "/api/v1/dashboard/keys/{}", None),
        ("POST", "/api/keys/{}/revoke", None),
    ],
)
def test_anothers_key_answers_byte_for_byte_like_an_absent_one(
    world: World, ada: Account, bob: Account, method: str, path: str, body: str | None
) -> None:
    absent = world.send(method, path.format("0" * 32), token=bob.session, body=body, headers={"x-request-id": "same"})
    anothers = world.send(
        method, path.format(ada.key_id), token=bob.session, body=body, headers={"x-request-id": "same"}
    )
    assert absent.refusal == (404, "NOT_FOUND", "API key not found")
    assert anothers == absent
    world.memo(ada.key)


@pytest.mark.parametrize("key_id", ["nothing", "%2e%2e", "a.b", "%00", "ü", "x" * 300, "%ED%A0%80", "a%20b"])
def test_what_is_no_id_names_no_key(world: World, ada: Account, key_id: str) -> None:
    for method in ("GET", "DELETE"):
        assert world.send(method, f"{KEYS}/{key_id}", token=ada.session).refusal[:2] == (404, "NOT_FOUND")


def test_a_good_key_is_verified_with_its_plan(world: World, ada: Account) -> None:
    assert verify(world, ada, ada.key) == {
        "valid": True,
        "code": "VALID",
        "keyId": ada.key_id,
        "userId": ada.id,
        "tier": "hobby",
        "expiresAt": None,
        "limits": HOBBY_LIMITS,
    }


def test_a_verification_spends_nothing(world: World, ada: Account) -> None:
    for _ in range(3):
        verify(world, ada, ada.key)
    assert world.get("/api/v1/usage/limits", token=ada.session).json["daily"]["used"] == 0
    key = world.get(f"{KEYS}/{ada.key_id}", token=ada.session).json["key"]
    assert (key["usageCount"], key["lastUsedAt"]) == (0, None)


def test_an_unknown_malformed_or_anothers_key_is_not_found(world: World, ada: Account, bob: Account) -> None:
    for key in ("at_live_" + "a" * 43, "nonsense", bob.key, ada.session):
        assert verify(world, ada, key) == {
            "valid": False,
            "code": "NOT_FOUND",
            "keyId": None,
            "userId": None,
            "tier": None,
            "expiresAt": None,
            "limits": None,
        }


def test_verify_distinguishes_revoked_expired_and_exhausted_keys(world: World, ada: Account) -> None:
    """A revoked, an expired and an exhausted key get different codes."""
    _, expiring = world.new_key(ada, expiresAt="2026-03-02T13:00:00Z")
    world.later(hours=1)
    expired = verify(world, ada, expiring)
    assert (expired["valid"], expired["code"]) == (False, "EXPIRED")
    assert expired["expiresAt"] == "2026-03-02T13:00:00.000Z"
    world.spend(ada, 100)
    exhausted = verify(world, ada, ada.key)
    assert (exhausted["valid"], exhausted["code"], exhausted["limits"]) == (False, "LIMIT_EXCEEDED", HOBBY_LIMITS)
    world.delete(f"{KEYS}/{ada.key_id}", token=ada.session)
    revoked = verify(world, ada, ada.key)
    assert (revoked["valid"], revoked["code"], revoked["keyId"]) == (False, "REVOKED", ada.key_id)


def test_a_test_key_is_verified_by_its_own_limit(world: World, ada: Account) -> None:
    _, test_key = world.new_key(ada, test=True)
    world.spend(ada, 100)
    assert verify(world, ada, test_key)["code"] == "VALID"


def test_an_enterprise_plan_has_no_limit_to_exceed(world: World, ada: Account) -> None:
    world.put_on(ada, Tier.ENTERPRISE)
    world.spend(ada, 5000)
    answer = verify(world, ada, ada.key)
    assert answer["code"] == "VALID"
    assert answer["limits"] == {
        "callsPerDay": "unlimited",
        "charsPerMemo": "unlimited",
        "maxApiKeys": 100,
        "maxConcurrent": 50,
    }


@pytest.mark.parametrize("body", ["", "{}", '{"key": null}', '{"key": ""}'])
def test_a_verification_needs_a_key(world: World, ada: Account, body: str) -> None:
    assert world.post(VERIFY, token=ada.session, body=body).refusal[1:] == (
        "MISSING_FIELD",
        "Missing required field: key",
    )


def test_an_expired_key_is_told_so(world: World, ada: Account) -> None:
    key_id, secret = world.new_key(ada, expiresAt="2026-03-02T13:00:00.000Z")
    world.memo(secret)
    world.later(hours=1)
    answer = world.post(MEMO, token=secret, json=SAY)
    assert answer.refusal == (401, "INVALID_API_KEY", "API key has expired")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert world.get(f"{KEYS}/{key_id}", token=ada.session).json["key"]["isActive"] is False


@pytest.mark.parametrize(
    ("given", "answered"),
    [
        ("2026-03-02T13:00:00Z", "2026-03-02T13:00:00.000Z"),
        ("2026-03-02T13:00:00.250Z", "2026-03-02T13:00:00.250Z"),
        ("2026-03-02T15:00:00+02:00", "2026-03-02T13:00:00.000Z"),
        ("2026-03-02", "2026-03-03T00:00:00.000Z"),
        ("9999-12-31", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_key_expires_at_the_time_that_was_asked_for(world: World, ada: Account, given: str, answered: str) -> None:
    key_id, _ = world.new_key(ada, expiresAt=given)
    assert world.get(f"{KEYS}/{key_id}", token=ada.session).json["key"]["expiresAt"] == answered


@pytest.mark.parametrize("given", ["tomorrow", "2026-02-30", "2026-03-01", "2026-03-02T12:00:00Z", "", "20260303T"])
def test_a_key_cannot_expire_in_the_past_or_at_no_time(world: World, ada: Account, given: str) -> None:
    answer = create(world, ada, expiresAt=given)
    assert (answer.status, answer.error["details"]) == (400, {"field": "expiresAt"})


def test_test_keys_have_and_report_a_limit_of_their_own(world: World, ada: Account) -> None:
    """Test keys spend none of the owner's limit, and report their own."""
    created = create(world, ada, test=True).json["key"]
    assert created["prefix"] == "at_test_"
    assert re.fullmatch(r"at_test_[A-Za-z0-9_-]{43}", created["key"])
    answer = world.post(MEMO, token=created["key"], json=SAY)
    assert answer.status == 201
    assert (answer.headers["x-ratelimit-limit"], answer.headers["x-ratelimit-remaining"]) == ("1000", "999")
    limits = world.get("/api/v1/usage/limits", token=ada.session).json
    assert (limits["daily"]["used"], limits["monthly"]["used"]) == (0, 0)


def test_test_keys_have_a_limit_of_1000_a_day_of_their_own(world: World, ada: Account) -> None:
    _, secret = world.new_key(ada, test=True)
    world.run(world.store.increment(f"{ada.id}:testcalls:2026-03-02", 1000))
    answer = world.post(MEMO, token=secret, json=SAY)
    assert answer.refusal[:2] == (429, "DAILY_LIMIT_EXCEEDED")
    assert answer.error["details"] == {"limit": 1000, "used": 1000, "resetAt": "2026-03-03T00:00:00.000Z"}
    world.memo(ada.key)
    world.later(hours=12)
    world.memo(secret)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", KEYS),
        ("GET", KEYS),
        ("POST", VERIFY),
        ("GET", "/api/keys/x"),
        ("PATCH", "/api/keys/x"),
        ("DELETE", "/api/keys/x"),
        ("POST", "/api/keys/x/revoke"),
        ("POST", DASHBOARD),
        ("GET", DASHBOARD),
        ("DELETE", f"{DASHBOARD}/x"),
    ],
)
def test_keys_take_nothing_but_a_session(world: World, ada: Account, method: str, path: str) -> None:
    missing, keyed = world.send(method, path), world.send(method, path, token=ada.key)
    assert missing.refusal[:2] == (401, "MISSING_API_KEY")
    assert keyed.refusal[:2] == (401, "INVALID_API_KEY")
    assert missing.headers["www-authenticate"] == keyed.headers["www-authenticate"] == "Bearer"


def test_an_administrators_key_has_no_limit(world: World, ada: Account) -> None:
    world.put_on(ada, Tier.HOBBY, Role.ADMIN)
    world.spend(ada, 100)
    assert verify(world, ada, ada.key)["code"] == "VALID"


@pytest.mark.parametrize("rest", [False, True])
def test_a_keys_life_through_either_kind_of_event(world: World, ada: Account, rest: bool) -> None:  # noqa: FBT001
    created = world.post(KEYS, token=ada.session, json={"name": "agent"}, rest=rest)
    assert created.status == 201
    path = f"{KEYS}/{created.json['key']['id']}"
    assert world.patch(path, token=ada.session, json={"name": "other"}, rest=rest).json["key"]["name"] == "other"
    assert len(world.get(KEYS, cookies=[f"auth_token={ada.session}"], rest=rest).json["keys"]) == 2
    assert world.delete(path, token=ada.session, rest=rest).json == REVOKED


class TestKeyChanges:
    def test_sixty_changes_of_keys_an_hour(self, new_world: NewWorld) -> None:
        """Keys made and renamed count together, per owner; revoking is never limited."""
        world = new_world({"KEY_CHANGES_PER_OWNER": "3"})
        ada, bob = world.sign_up(), world.sign_up()
        key_id, _ = world.new_key(ada)
        for n in range(2):
            assert world.patch(f"/api/keys/{key_id}", token=ada.session, json={"name": f"n{n}"}).status == 200
        for refused in (
            world.patch(f"/api/keys/{key_id}", token=ada.session, json={"name": "one more"}),
            world.post("/api/keys", token=ada.session, json={}),
            world.post("/api/v1/dashboard/keys", token=ada.session, json={}),
        ):
            assert refused.refusal[:2] == (429, "RATE_LIMIT_EXCEEDED")
            assert 3590 <= int(refused.headers["retry-after"]) <= 3600
        for _ in range(5):
            assert world.delete(f"/api/keys/{key_id}", token=ada.session).status == 200
        world.new_key(bob)
        world.later(hours=1)
        world.new_key(ada)

    def test_changes_that_fail_are_not_counted(self, new_world: NewWorld) -> None:
        """A change that is answered 400 or 404 takes no place of a valid one."""
        world = new_world({"KEY_CHANGES_PER_OWNER": "2"})
        ada = world.sign_up()
        for _ in range(5):
            assert world.patch(f"/api/keys/{'0' * 32}", token=ada.session, json={"name": "x"}).status == 404
            assert world.post("/api/keys", token=ada.session, json={"expiresAt": "2020-01-01"}).status == 400
            assert world.post("/api/keys", token=ada.session, json={"name": 7}).status == 400
        key_id, _ = world.new_key(ada)
        for _ in range(3):
            assert world.post("/api/keys", token=ada.session, json={}).status == 400, "the plan has no more keys"
        assert world.patch(f"/api/keys/{key_id}", token=ada.session, json={"name": "x"}).status == 200
