"""Logs and reprs contain no secret."""

import asyncio
from collections.abc import Callable
from typing import Any

from handlers import users
from handlers.models.keys import FreshKey, VerifyKey
from shared.core.settings import Settings
from shared.stores.port import StoreUnavailable
from shared.tables import API_KEYS, USERS, ApiKeys, Users
from tests.handlers.world import NOON, Logs, World

NewWorld = Callable[..., World]

CANARY = "canary"
PASSWORD = f"{CANARY}-password"
NEW_PASSWORD = f"{CANARY}-new-password"
TEXT = f"{CANARY}-text of a memo"
TITLE = f"{CANARY}-title"
EMAIL = f"{CANARY}@example.org"
SESSION_SECRET = f"{CANARY}-secret-of-at-least-32-bytes-in-all"


def drive(world: World) -> list[str]:
    """Send every kind of request that contains a secret. Returns the secrets in the answers."""
    secrets: list[str] = []
    credentials = {"email": EMAIL, "password": PASSWORD}

    def sent(method: str, path: str, token: str | None = None, **how: Any) -> Any:
        answer = world.send(method, path, token=token, **how)
        body = answer.json if answer.headers["content-type"] == "application/json" else {}
        secrets.extend(found for found in (body.get("token"), (body.get("apiKey") or {}).get("key")) if found)
        if path == "/api/keys" and answer.status == 201:
            secrets.append(body["key"]["key"])
        return body

    for body in ('{"email": "canary', f'{{"email": "{EMAIL}", "password": "canary"}}', '{"password": "canary\\ud800"}'):
        sent("POST", "/api/v1/auth/signup", body=body)
    signed_up = sent("POST", "/api/v1/auth/signup", json=credentials)
    sent("POST", "/api/v1/auth/signup", json=credentials)
    sent("POST", "/api/v1/auth/login", json={**credentials, "password": f"{CANARY}-wrong"})
    session = (sent("POST", "/api/v1/auth/login", json=credentials) or {}).get("token", f"{CANARY}-session")
    key = signed_up.get("apiKey", {}).get("key", f"at_live_{CANARY}")
    sent("GET", "/api/v1/auth/me", f"{CANARY}-session")
    sent("GET", "/api/v1/auth/me", cookies=[f"auth_token={session}"])
    test_key = sent("POST", "/api/keys", session, json={"name": f"{CANARY}-name", "test": True})
    secret = test_key["key"]["key"] if "key" in test_key else f"at_test_{CANARY}"
    sent("POST", "/api/keys/verify", session, json={"key": secret})
    sent("POST", "/api/keys/verify", session, json={"key": f"at_live_{CANARY}"})
    for token in (key, secret, f"at_live_{CANARY}"):
        made = sent("POST", "/api/v1/memo", token, json={"text": TEXT, "voice": "sam", "title": TITLE})
        sent("GET", f"/api/v1/memo/{made.get('id', CANARY)}", token)
    sent("POST", "/api/v1/memo", key, json={"text": TEXT, "voice": f"{CANARY}-voice"})
    sent("GET", "/api/v1/memos", key, query={"cursor": f"{CANARY}-cursor", "voice": "sam"})
    sent("GET", "/api/v1/memos", key, query={"from": f"{CANARY}-date"})
    sent("POST", "/api/v1/demo", body=f'{{"text": "{TEXT}\ud800"}}')
    sent("GET", f"/audio/{CANARY}.mp3")
    sent("GET", f"/{CANARY}-path")
    world.handle("users", {"detail": f"{CANARY}-value", "requestContext": {"http": None}, "body": CANARY})
    sent(
        "POST",
        "/api/v1/auth/change-password",
        session,
        json={"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD},
    )
    sent("POST", "/api/v1/auth/logout", session)
    return secrets


def canary_world(new_world: NewWorld) -> World:
    return new_world({"LOG_LEVEL": "DEBUG", "SESSION_SECRET": SESSION_SECRET})


def assert_silent(logs: Logs, secrets: list[str]) -> None:
    for secret in (PASSWORD, NEW_PASSWORD, TEXT, TITLE, EMAIL, SESSION_SECRET, *secrets):
        assert secret not in logs.text
    told = [line for line in logs.lines if CANARY in repr(line)]
    assert told == []
    assert "argon2id" not in logs.text


def test_no_secret_is_logged_by_what_succeeds_or_is_refused(new_world: NewWorld, logs: Logs) -> None:
    secrets = drive(canary_world(new_world))
    assert len(secrets) == 5
    assert len(logs.lines) > 20
    assert_silent(logs, secrets)


def test_no_secret_is_logged_by_what_an_outage_fails(new_world: NewWorld, logs: Logs) -> None:
    world = canary_world(new_world)
    world.sign_up()
    world.is_down = True
    assert_silent(logs, drive(world))
    assert "unavailable" in logs.text


def test_no_secret_is_logged_by_what_breaks_half_way(new_world: NewWorld, logs: Logs) -> None:
    world = canary_world(new_world)

    class Flaky:
        calls = 0

        async def __call__(self) -> None:
            self.calls += 1
            await asyncio.sleep(0)
            if self.calls % 7 == 0:
                raise StoreUnavailable("now and then")
            if self.calls % 11 == 0:
                raise RuntimeError("a defect")

    world.disturb(Flaky())
    for _ in range(3):
        assert_silent(logs, drive(world))
    assert "a defect" in logs.text


def test_no_repr_shows_a_secret(new_world: NewWorld) -> None:
    world = canary_world(new_world)
    secrets = drive(world)
    settings = Settings.from_env(world.environ)
    users = world.run(world.store.scan(USERS)).rows
    keys = world.run(world.store.scan(API_KEYS)).rows
    rows = [world.run(Users(world.store).load(row.key.sort)) for row in users]
    issued = [world.run(ApiKeys(world.store).get_by_hash(row.document["key_hash"])) for row in keys]
    owned = world.run(ApiKeys(world.store).of(rows[0].id, NOON))
    assert rows
    assert all(issued)
    shown = "\n".join(map(repr, (settings, *world.built, *rows, *issued, *owned)))
    for secret in (SESSION_SECRET, PASSWORD, "argon2id", *secrets, *(row.document["key_hash"] for row in keys)):
        assert secret not in shown


def test_no_secret_is_stored_as_it_was_given(new_world: NewWorld) -> None:
    world = canary_world(new_world)
    secrets = drive(world)
    stored = repr([world.run(world.store.scan(table)).rows for table in (USERS, API_KEYS)])
    for secret in (PASSWORD, NEW_PASSWORD, *secrets):
        assert secret not in stored


def test_body_models_hide_passwords_keys_and_tokens() -> None:
    """A model that is logged by mistake shows no secret."""
    at = NOON
    for model in (
        users.SignUp.model_validate({"email": "ada@example.org", "password": f"{CANARY}-password"}),
        users.LogIn.model_validate({"email": "ada@example.org", "password": f"{CANARY}-password"}),
        users.ChangePassword.model_validate({"currentPassword": f"{CANARY}-old", "newPassword": f"{CANARY}-new"}),
        VerifyKey.model_validate({"key": f"{CANARY}-key"}),
        users.PasswordChanged(success=True, message="", token=f"{CANARY}-token", expires_at=at),
        FreshKey(id="x", key=f"{CANARY}-key", prefix="at_live_", name="x", created_at=at),
    ):
        assert CANARY not in repr(model)
        assert CANARY not in str(model)
