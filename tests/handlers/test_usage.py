"""Usage, limits and the dashboard's account through whole events."""

from typing import Any

import pytest

from shared.plans import Tier
from shared.tables.users import Role
from tests.handlers.world import NOON, PASSWORD, PUBLIC_URL, Account, World, features

USAGE = "/api/v1/usage"
LIMITS = "/api/v1/usage/limits"
ACCOUNT = "/api/v1/dashboard/account"
FIELDS = {"id", "action", "metadata", "createdAt", "apiKeyId", "apiKeyName", "apiKeyPrefix"}


def logs(world: World, account: Account, **query: Any) -> list[Any]:
    """Return the logs of all pages."""
    found, cursor = [], None
    while True:
        sent = {name: str(value) for name, value in query.items()} | ({"cursor": cursor} if cursor else {})
        answer = world.get(USAGE, token=account.key, query=sent)
        assert answer.status == 200, answer
        assert answer.json.keys() == {"logs", "hasMore", "nextCursor"}
        assert answer.json["hasMore"] is (answer.json["nextCursor"] is not None)
        found += answer.json["logs"]
        cursor = answer.json["nextCursor"]
        if cursor is None:
            return found


def test_what_happened_is_logged_newest_first(world: World, ada: Account) -> None:
    key_id, secret = world.new_key(ada, name="second")
    memo = world.memo(secret, "Hello there")
    world.delete(f"/api/keys/{key_id}", token=ada.session)
    world.post("/api/v1/auth/login", json={"email": ada.email, "password": PASSWORD})
    found = logs(world, ada)
    assert [log["action"] for log in found] == [
        "user_login",
        "key_revoked",
        "memo_created",
        "key_created",
        "key_created",
        "user_signup",
    ]
    for log in found:
        assert log.keys() == FIELDS
        assert log["createdAt"].startswith("2026-03-02T12:00:00.")
    assert found == sorted(found, key=lambda log: log["createdAt"], reverse=True)
    made = found[2]
    assert made == {
        "id": memo["id"],
        "action": "memo_created",
        "metadata": {
            "memoId": memo["id"],
            "voice": "rachel",
            "characters": 11,
            "audioSeconds": 0.9,
            "test": False,
        },
        "createdAt": memo["createdAt"],
        "apiKeyId": key_id,
        "apiKeyName": "second",
        "apiKeyPrefix": "at_live_",
    }
    assert (found[1]["apiKeyId"], found[3]["apiKeyId"]) == (key_id, key_id)
    assert (found[0]["apiKeyId"], found[0]["apiKeyName"], found[0]["apiKeyPrefix"]) == (None, None, None)


def test_a_log_keeps_the_name_that_the_key_had(world: World, ada: Account) -> None:
    world.memo(ada.key)
    world.patch(f"/api/keys/{ada.key_id}", token=ada.session, json={"name": "renamed"})
    world.memo(ada.key)
    assert [log["apiKeyName"] for log in logs(world, ada, action="memo_created")] == ["renamed", "Default Key"]


def test_logs_survive_the_deletion_of_their_memo(world: World, ada: Account) -> None:
    memo = world.memo(ada.key)
    world.delete(f"/api/v1/memo/{memo['id']}", token=ada.key)
    assert [log["id"] for log in logs(world, ada, action="memo_created")] == [memo["id"]]


def test_a_key_and_a_session_see_the_same_logs(world: World, ada: Account) -> None:
    world.memo(ada.key)
    assert world.get(USAGE, token=ada.key).json == world.get(USAGE, token=ada.session).json


@pytest.mark.parametrize("limit", [1, 7, 20, 100])
def test_pages_of_memos_and_events_neither_skip_nor_repeat(world: World, ada: Account, limit: int) -> None:
    made = []
    for n in range(30):
        if n % 4 == 1:
            answer = world.post("/api/v1/auth/login", json={"email": ada.email, "password": PASSWORD})
            assert answer.status == 200
            made.append("user_login")
        else:
            world.memo(ada.key)
            made.append("memo_created")
    found = logs(world, ada, limit=limit)
    assert [log["action"] for log in found] == [*made[::-1], "key_created", "user_signup"]
    assert len({log["id"] for log in found}) == 32


def test_new_events_between_pages_move_nothing(world: World, ada: Account) -> None:
    for _ in range(5):
        world.memo(ada.key)
    first = world.get(USAGE, token=ada.key, query={"limit": "2"}).json
    world.memo(ada.key)
    world.post("/api/v1/auth/login", json={"email": ada.email, "password": PASSWORD})
    rest = world.get(USAGE, token=ada.key, query={"cursor": first["nextCursor"]}).json
    assert [log["action"] for log in rest["logs"]] == ["memo_created"] * 3 + ["key_created", "user_signup"]


def test_an_action_filters_the_logs(world: World, ada: Account) -> None:
    for _ in range(3):
        world.memo(ada.key)
        world.post("/api/v1/auth/login", json={"email": ada.email, "password": PASSWORD})
    for action, count in (("memo_created", 3), ("user_login", 3), ("user_signup", 1), ("error_tts", 0)):
        assert [log["action"] for log in logs(world, ada, action=action, limit=2)] == [action] * count


@pytest.mark.parametrize("action", ["memo", "MEMO_CREATED"])
def test_an_unknown_action_is_told_with_those_there_are(world: World, ada: Account, action: str) -> None:
    answer = world.get(USAGE, token=ada.key, query={"action": action})
    assert (answer.status, answer.error["code"]) == (400, "VALIDATION_ERROR")
    assert answer.error["details"] == {
        "field": "action",
        "validOptions": [
            "memo_created",
            "memo_failed",
            "key_created",
            "key_rotated",
            "key_limited",
            "key_revoked",
            "user_signup",
            "user_login",
            "password_changed",
            "plan_changed",
            "admin_changed",
            "error_api",
            "error_tts",
            "error_rate_limit",
        ],
    }


def test_from_and_to_bound_the_logs(world: World, ada: Account) -> None:
    for day in (3, 4):
        world.clock.at = NOON.replace(day=day)
        world.memo(ada.key)
    for query, days in (
        ({"from": "2026-03-03"}, [4, 3]),
        ({"to": "2026-03-03"}, [3, 2, 2]),
        ({"from": "2026-03-03", "to": "2026-03-03"}, [3]),
        ({"from": "2026-03-03T12:30:00Z", "to": "2026-03-04"}, [4]),
    ):
        assert [int(log["createdAt"][8:10]) for log in logs(world, ada, **query)] == days


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "abc"}, "limit"),
        ({"from": "x"}, "from"),
        ({"to": "x"}, "to"),
        ({"from": "2026-03-03", "to": "2026-03-02"}, "from"),
        ({"cursor": "forged"}, "cursor"),
    ],
)
def test_bad_queries_are_refused_by_field(world: World, ada: Account, query: dict[str, str], field: str) -> None:
    answer = world.get(USAGE, token=ada.key, query=query)
    assert (answer.status, answer.error["details"]["field"]) == (400, field)


def test_a_cursor_opens_only_its_owners_list_with_its_filters(world: World, ada: Account, bob: Account) -> None:
    for _ in range(3):
        world.memo(ada.key)
    cursor = world.get(USAGE, token=ada.key, query={"limit": "1"}).json["nextCursor"]
    for account, query in ((bob, {}), (ada, {"action": "memo_created"}), (ada, {"to": "2026-03-09"})):
        answer = world.get(USAGE, token=account.key, query={"cursor": cursor, **query})
        assert answer.refusal == (400, "VALIDATION_ERROR", "Invalid cursor")


@pytest.mark.parametrize("empty", ["from", "to", "action"])
def test_cursor_opens_with_an_empty_filter(world: World, ada: Account, empty: str) -> None:
    """An empty filter is an absent one, on the page that made the cursor and on the next one."""
    for _ in range(3):
        world.memo(ada.key)
    for first, second in (({}, {empty: ""}), ({empty: ""}, {})):
        cursor = world.get(USAGE, token=ada.key, query={"limit": "1", **first}).json["nextCursor"]
        assert world.get(USAGE, token=ada.key, query={"cursor": cursor, **second}).status == 200


def test_anothers_logs_are_never_seen(world: World, ada: Account, bob: Account) -> None:
    before = world.get(USAGE, token=bob.session, headers={"x-request-id": "same"})
    world.memo(ada.key)
    assert world.get(USAGE, token=bob.session, headers={"x-request-id": "same"}) == before


def test_limits_tell_what_is_left(world: World, ada: Account) -> None:
    world.spend(ada, 3, month=50)
    world.memo(ada.key)
    for token in (ada.key, ada.session):
        answer = world.get(LIMITS, token=token)
        assert answer.status == 200
        assert answer.json == {
            "tier": "hobby",
            "daily": {"limit": 100, "used": 4, "remaining": 96, "resetAt": "2026-03-03T00:00:00.000Z"},
            "monthly": {"limit": 3000, "used": 54, "remaining": 2946, "resetAt": "2026-04-01T00:00:00.000Z"},
            "charsPerMemo": 5000,
            "maxApiKeys": 2,
        }


def test_no_limit_reads_unlimited(world: World, ada: Account) -> None:
    world.put_on(ada, Tier.ENTERPRISE)
    world.memo(ada.key)
    assert world.get(LIMITS, token=ada.key).json == {
        "tier": "enterprise",
        "daily": {"limit": "unlimited", "used": 1, "remaining": "unlimited", "resetAt": "2026-03-03T00:00:00.000Z"},
        "monthly": {"limit": "unlimited", "used": 1, "remaining": "unlimited", "resetAt": "2026-04-01T00:00:00.000Z"},
        "charsPerMemo": "unlimited",
        "maxApiKeys": 100,
    }


def test_an_administrator_on_hobby_has_no_daily_limit(world: World, ada: Account) -> None:
    world.put_on(ada, Tier.HOBBY, Role.ADMIN)
    answer = world.get(LIMITS, token=ada.key).json
    assert (answer["daily"]["limit"], answer["monthly"]["limit"]) == ("unlimited", "unlimited")


def test_limits_show_no_more_than_the_limit_as_used(world: World, ada: Account) -> None:
    """A counter above the limit, after a downgrade or while requests are being refused, is shown as the limit."""
    world.spend(ada, 250)
    daily = world.get(LIMITS, token=ada.key).json["daily"]
    assert (daily["limit"], daily["used"], daily["remaining"]) == (100, 100, 0)


def test_a_month_in_december_ends_with_the_year(world: World, ada: Account) -> None:
    world.clock.at = NOON.replace(month=12, day=31)
    answer = world.get(LIMITS, token=ada.key).json
    assert answer["daily"]["resetAt"] == answer["monthly"]["resetAt"] == "2027-01-01T00:00:00.000Z"


def test_the_dashboards_account_answers_all_its_fields(world: World, ada: Account) -> None:
    answer = world.get(ACCOUNT, token=ada.session)
    user = world.get("/api/v1/auth/me", token=ada.session).json["user"]
    assert answer.status == 200
    assert answer.json == {
        "success": True,
        "account": {
            "id": ada.id,
            "email": "ada@example.org",
            "tier": "hobby",
            "tierName": "Hobby",
            "role": "user",
            "createdAt": user["createdAt"],
            "updatedAt": user["updatedAt"],
        },
        "tierInfo": {
            "limits": {"callsPerDay": 100, "charsPerMemo": 5000, "maxApiKeys": 2, "maxConcurrent": 1},
            "features": features(),
        },
        "availableTiers": [
            {"name": "hobby", "displayName": "Hobby", "price": 0, "highlighted": False},
            {"name": "pro", "displayName": "Pro", "price": 19, "highlighted": True},
            {"name": "enterprise", "displayName": "Enterprise", "price": None, "highlighted": False},
        ],
        "upgradeUrl": answer.json["upgradeUrl"],
    }
    assert answer.json["upgradeUrl"].startswith(PUBLIC_URL)


def test_the_dashboards_account_takes_nothing_but_a_session(world: World, ada: Account) -> None:
    assert world.get(ACCOUNT).refusal[:2] == (401, "MISSING_API_KEY")
    assert world.get(ACCOUNT, token=ada.key).refusal[:2] == (401, "INVALID_API_KEY")


@pytest.mark.parametrize("path", [USAGE, LIMITS])
def test_usage_takes_a_key_or_a_session(world: World, ada: Account, path: str) -> None:
    assert world.get(path).refusal[:2] == (401, "MISSING_API_KEY")
    assert world.get(path, token="garbage").refusal[:2] == (401, "INVALID_API_KEY")
    world.delete(f"/api/keys/{ada.key_id}", token=ada.session)
    assert world.get(path, token=ada.key).refusal[:2] == (403, "REVOKED_KEY")
    assert world.get(path, cookies=[f"auth_token={ada.session}"]).status == 200


@pytest.mark.parametrize("rest", [False, True])
def test_usage_answers_either_kind_of_event(world: World, ada: Account, rest: bool) -> None:  # noqa: FBT001
    world.memo(ada.key)
    answer = world.get(USAGE, token=ada.key, query={"limit": "1", "action": "memo_created"}, rest=rest)
    assert [log["action"] for log in answer.json["logs"]] == ["memo_created"]
    assert world.get(LIMITS, token=ada.key, rest=rest).json["daily"]["used"] == 1
    assert world.get(ACCOUNT, cookies=[f"auth_token={ada.session}"], rest=rest).status == 200
