"""Admins, by whole events: users listed, changed and deleted, keys revoked, figures of the service."""

from typing import Any

import pytest

from shared.plans import Tier
from shared.tables import Tables
from shared.tables.users import Role
from tests.events import LambdaContext, schedule_event
from tests.handlers.world import PASSWORD, Account, Logs, World

USERS = "/api/v1/admin/users"
STATS = "/api/v1/admin/stats"


@pytest.fixture
def admin(world: World) -> Account:
    account = world.sign_up("admin@example.org")
    world.put_on(account, Tier.HOBBY, Role.ADMIN)
    return account


def listed(world: World, admin: Account, **query: str) -> list[str]:
    answer = world.get(USERS, token=admin.session, query=query)
    assert answer.status == 200, answer
    return [user["email"] for user in answer.json["users"]]


def logged_in(world: World, account: Account) -> str:
    """Return a new session: the first one ends after a week."""
    session: str = world.post("/api/v1/auth/login", json={"email": account.email, "password": PASSWORD}).json["token"]
    return session


def stats(world: World, admin: Account) -> Any:
    return world.get(STATS, token=admin.session).json["stats"]


def run_housekeeping(world: World) -> None:
    world.housekeeping(schedule_event(), LambdaContext())


class TestWho:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", USERS),
            ("GET", f"{USERS}/some-id"),
            ("PATCH", f"{USERS}/some-id"),
            ("DELETE", f"{USERS}/some-id"),
            ("POST", "/api/v1/admin/api-keys/some-id/revoke"),
            ("GET", STATS),
        ],
    )
    def test_admin_routes_are_for_admins_sessions_alone(self, world: World, method: str, path: str) -> None:
        """403 for a user's session, also a former admin's; 401 for a key and without a credential."""
        ada = world.sign_up()
        body = {"tier": "pro"} if method == "PATCH" else None
        refused = world.send(method, path, token=ada.session, json=body)
        assert (refused.status, refused.error["code"]) == (403, "FORBIDDEN")
        assert world.send(method, path, token=ada.key, json=body).status == 401
        assert world.send(method, path, json=body).status == 401
        world.put_on(ada, Tier.HOBBY, Role.ADMIN)
        assert world.send(method, path, token=ada.session, json=body).status in (200, 404)
        world.put_on(ada, Tier.HOBBY)
        assert world.send(method, path, token=ada.session, json=body).status == 403


class TestList:
    def test_users_are_listed_newest_first_by_pages(self, world: World, admin: Account) -> None:
        """Each has the fields of a user, the number of keys and of their uses."""
        emails = [f"person{number}@example.org" for number in range(5)]
        for email in emails:
            last = world.sign_up(email)
        world.new_key(last)
        world.memo(last.key)
        first = world.get(USERS, token=admin.session, query={"limit": "2"}).json
        assert first["users"][0] == world.get("/api/v1/auth/me", token=last.session).json["user"] | {
            "apiKeyCount": 2,
            "usageCount": 1,
        }
        seen, answer = [user["email"] for user in first["users"]], first
        while answer["hasMore"]:
            query = {"limit": "2", "cursor": answer["nextCursor"]}
            answer = world.get(USERS, token=admin.session, query=query).json
            seen += [user["email"] for user in answer["users"]]
        assert seen == [*reversed(emails), "admin@example.org"]
        assert answer["nextCursor"] is None

    def test_filters_choose_users(self, world: World, admin: Account) -> None:
        pro = world.sign_up("pro@example.org")
        world.put_on(pro, Tier.PRO)
        world.sign_up()
        assert listed(world, admin, tier="pro") == ["pro@example.org"]
        assert listed(world, admin, role="admin") == ["admin@example.org"]
        assert listed(world, admin, email=" PRO@example.org ") == ["pro@example.org"]
        assert listed(world, admin, email="pro@example.org", tier="hobby") == []
        assert listed(world, admin, email="nobody@example.org") == []
        for query in ({"tier": "gold"}, {"role": "owner"}, {"email": "none"}):
            refused = world.get(USERS, token=admin.session, query=query)
            assert (refused.status, refused.error["code"]) == (400, "VALIDATION_ERROR"), query

    def test_cursor_is_bound_to_the_admin_and_each_filter(self, world: World, admin: Account) -> None:
        """A cursor is 400 for another admin, and if a filter is added, left out, emptied or changed."""
        other = world.sign_up()
        for account in (admin, other):
            world.put_on(account, Tier.PRO, Role.ADMIN)

        def status(*, token: str = admin.session, **query: str) -> int:
            return world.get(USERS, token=token, query={"limit": "1", **query}).status

        def cursor(**query: str) -> str:
            after: str = world.get(USERS, token=admin.session, query={"limit": "1", **query}).json["nextCursor"]
            return after

        at = cursor()
        assert (status(cursor=at), status(cursor=at, tier=""), status(cursor=at, token=other.session)) == (
            200,
            200,
            400,
        )
        filters = {"tier": ("pro", "hobby"), "role": ("admin", "user"), "email": (other.email, admin.email)}
        for name, (value, changed) in filters.items():
            assert status(cursor=at, **{name: value}) == 400, name
            if name == "email":
                continue  # a search for one address has no second page
            begun = cursor(**{name: value})
            assert status(cursor=begun, **{name: value}) == 200
            assert [status(cursor=begun, **query) for query in ({}, {name: ""}, {name: changed})] == [400] * 3, name

    def test_user_is_shown_with_keys_and_figures(self, world: World, admin: Account) -> None:
        """The keys are in the form of their owner's list; unknown ids are 404."""
        ada = world.sign_up()
        world.memo(ada.key, "Hello")
        answer = world.get(f"{USERS}/{ada.id}", token=admin.session).json
        assert answer == {
            "success": True,
            "user": world.get("/api/v1/auth/me", token=ada.session).json["user"],
            "apiKeys": world.get("/api/keys", token=ada.session).json["keys"],
            "stats": {"calls": 1, "characters": 5, "callsToday": 1, "callsThisMonth": 1},
        }
        for unknown in ("some-id", "0" * 32, "x..y"):
            assert world.get(f"{USERS}/{unknown}", token=admin.session).error["code"] == "NOT_FOUND"


class TestChange:
    def test_figures_of_a_user_are_of_all_time_and_of_this_month(self, world: World, admin: Account) -> None:
        ada = world.sign_up()
        world.memo(ada.key, "Hello")
        world.later(days=31)
        world.memo(ada.key, "Hi")
        shown = world.get(f"{USERS}/{ada.id}", token=logged_in(world, admin)).json["stats"]
        assert shown == {"calls": 2, "characters": 7, "callsToday": 1, "callsThisMonth": 1}

    def test_plan_and_role_change_at_once_and_are_recorded(self, world: World, admin: Account, logs: Logs) -> None:
        """The owner's log has both changes, by an admin, and the log lines name the admin."""
        ada = world.sign_up()
        answer = world.patch(f"{USERS}/{ada.id}", token=admin.session, json={"tier": "pro", "role": "admin"})
        assert (answer.json["user"]["tier"], answer.json["user"]["role"]) == ("pro", "admin")
        assert answer.json["user"] == world.get("/api/v1/auth/me", token=ada.session).json["user"]
        shown = world.get("/api/v1/usage", token=ada.session).json["logs"]
        changes = {log["action"]: log["metadata"] for log in shown if log["action"].endswith("_changed")}
        assert changes == {
            "plan_changed": {"from": "hobby", "to": "pro", "by": "admin"},
            "admin_changed": {"from": "user", "to": "admin", "by": "admin"},
        }
        lines = [line for line in logs.lines if line["message"] == "an admin changed an account"]
        assert [(line["admin_id"], line["user_id"]) for line in lines] == [(admin.id, ada.id)] * 2

    def test_change_to_what_is_there_is_recorded_nowhere(self, world: World, admin: Account) -> None:
        ada = world.sign_up()
        before = world.get("/api/v1/auth/me", token=ada.session).json["user"]
        world.later(minutes=1)
        answer = world.patch(f"{USERS}/{ada.id}", token=admin.session, json={"tier": "hobby", "role": "user"})
        assert answer.json["user"] == before
        assert "plan_changed" not in str(world.get("/api/v1/usage", token=ada.session).json)

    def test_change_is_refused_when_it_names_nothing_that_there_is(self, world: World, admin: Account) -> None:
        """An unknown plan or role is 400 with the options; an empty body lacks a field; an unknown user is 404."""
        ada = world.sign_up()
        for body, code in (
            ({"tier": "gold"}, "VALIDATION_ERROR"),
            ({"role": "owner"}, "VALIDATION_ERROR"),
            ({"tier": 7}, "INVALID_INPUT"),
            ({}, "MISSING_FIELD"),
        ):
            assert world.patch(f"{USERS}/{ada.id}", token=admin.session, json=body).error["code"] == code
        for unknown in ("some-id", "0" * 32, "x..y", "%21", "..", "é"):
            answer = world.patch(f"{USERS}/{unknown}", token=admin.session, json={"tier": "pro"})
            assert (answer.status, answer.error["code"]) == (404, "NOT_FOUND")

    def test_ones_own_admin_role_stays(self, world: World, admin: Account) -> None:
        """Giving up one's own role is 403, also with a plan. A plan with the same role is changed."""
        refused = world.patch(f"{USERS}/{admin.id}", token=admin.session, json={"tier": "pro", "role": "user"})
        assert (refused.status, refused.error["code"]) == (403, "FORBIDDEN")
        answer = world.patch(f"{USERS}/{admin.id}", token=admin.session, json={"tier": "pro", "role": "admin"})
        assert (answer.json["user"]["tier"], answer.json["user"]["role"]) == ("pro", "admin")

    def test_revoked_key_is_refused_at_once(self, world: World, admin: Account, logs: Logs) -> None:
        """Any user's key can be revoked, repeatably, with one log, which names the admin."""
        ada = world.sign_up()
        key_id = world.get("/api/keys", token=ada.session).json["keys"][0]["id"]
        for _ in range(2):
            answer = world.post(f"/api/v1/admin/api-keys/{key_id}/revoke", token=admin.session)
            assert answer.json == {"success": True, "message": "API key revoked successfully"}
        refused = world.post("/api/v1/memo", token=ada.key, json={"text": "Hello", "voice": "sam"})
        assert refused.error["code"] == "REVOKED_KEY"
        revoked = world.get("/api/v1/usage", token=ada.session, query={"action": "key_revoked"}).json["logs"]
        assert [log["metadata"] for log in revoked] == [{"by": "admin"}]
        line = next(line for line in logs.lines if line["message"] == "an admin revokes a key")
        assert (line["admin_id"], line["user_id"], line["revoked_key_id"]) == (admin.id, ada.id, key_id)
        for unknown in ("some-id", "0" * 32, "x..y"):
            path = f"/api/v1/admin/api-keys/{unknown}/revoke"
            assert world.post(path, token=admin.session).error["code"] == "NOT_FOUND"


class TestDelete:
    def test_deleted_user_is_gone_and_gets_a_mail(self, world: World, admin: Account, logs: Logs) -> None:
        """Session and key end immediately, a mail says so, no list shows the user, and the address is free again."""
        ada = world.sign_up()
        world.memo(ada.key)
        answer = world.delete(f"{USERS}/{ada.id}", token=admin.session)
        assert (answer.status, set(answer.json)) == (200, {"success", "message"})
        assert len(world.mails.to(ada.email, "closed")) == 1
        assert world.get("/api/v1/auth/me", token=ada.session).status == 401
        assert world.get("/api/v1/memos", token=ada.key).status in (401, 403)
        assert listed(world, admin) == ["admin@example.org"]
        assert world.get(f"{USERS}/{ada.id}", token=admin.session).status == 404
        assert world.delete(f"{USERS}/{ada.id}", token=admin.session).status == 404
        assert world.post("/api/v1/auth/signup", json={"email": "ada@example.org", "password": PASSWORD}).status == 201
        line = next(line for line in logs.lines if line["message"] == "an admin closes an account")
        assert (line["admin_id"], line["user_id"]) == (admin.id, ada.id)

    def test_admins_do_not_delete_themselves(self, world: World, admin: Account) -> None:
        refused = world.delete(f"{USERS}/{admin.id}", token=admin.session)
        assert (refused.status, refused.error["code"]) == (403, "FORBIDDEN")
        assert world.get("/api/v1/auth/me", token=admin.session).status == 200


class TestStats:
    def test_figures_of_two_days_one_with_late_logs(self, world: World, admin: Account) -> None:
        """Calls are as old as `asOf`; a log that was lost counts once its day has ended; users are those of now."""
        assert stats(world, admin) == {
            "asOf": None,
            "users": {
                "total": 1,
                "byTier": {"hobby": 1, "pro": 0, "enterprise": 0},
                "newLast7Days": 1,
                "newLast30Days": 1,
            },
            "calls": {"today": 0, "last7Days": 0, "last30Days": 0},
        }
        ada = world.sign_up()
        world.patch(f"{USERS}/{ada.id}", token=admin.session, json={"tier": "pro"})
        memos = [world.memo(ada.key) for _ in range(3)]
        run_housekeeping(world)
        first = stats(world, admin)
        assert first["calls"] == {"today": 3, "last7Days": 3, "last30Days": 3}
        assert first["users"]["byTier"] == {"hobby": 1, "pro": 1, "enterprise": 0}
        world.run(Tables.on(world.store).usage_logs.delete_memo(ada.id, memos[0]["id"]))
        world.memo(ada.key)
        world.later(hours=12, minutes=10)
        world.memo(ada.key)
        assert stats(world, admin)["calls"] == {"today": 0, "last7Days": 3, "last30Days": 3}
        run_housekeeping(world)
        second = stats(world, admin)
        assert second["calls"] == {"today": 1, "last7Days": 5, "last30Days": 5}
        assert second["asOf"] > first["asOf"]
        world.later(days=6)
        run_housekeeping(world)
        assert stats(world, admin)["calls"] == {"today": 0, "last7Days": 1, "last30Days": 5}
        assert stats(world, admin)["users"]["newLast7Days"] == 0
        assert stats(world, admin)["users"]["newLast30Days"] == 2

    @pytest.mark.parametrize(("days", "counted"), [(6, (1, 1)), (7, (0, 1)), (29, (0, 1)), (30, (0, 0))])
    def test_days_count_with_today(self, world: World, admin: Account, days: int, counted: tuple[int, int]) -> None:
        """The last 7 days are today and the six before it, and so for 30, for calls and for new users."""
        ada = world.sign_up()
        world.memo(ada.key)
        run_housekeeping(world)
        world.later(days=days)
        run_housekeeping(world)
        shown = world.get(STATS, token=logged_in(world, admin)).json["stats"]
        assert (shown["calls"]["last7Days"], shown["calls"]["last30Days"]) == counted
        assert (shown["users"]["newLast7Days"], shown["users"]["newLast30Days"]) == tuple(2 * each for each in counted)

    def test_deleted_users_count_no_more(self, world: World, admin: Account) -> None:
        """Neither they, nor their plans, nor their sign-ups are counted."""
        ada = world.sign_up()
        world.patch(f"{USERS}/{ada.id}", token=admin.session, json={"tier": "enterprise"})
        world.later(days=3)
        world.delete(f"{USERS}/{ada.id}", token=admin.session)
        assert stats(world, admin)["users"] == {
            "total": 1,
            "byTier": {"hobby": 1, "pro": 0, "enterprise": 0},
            "newLast7Days": 1,
            "newLast30Days": 1,
        }
