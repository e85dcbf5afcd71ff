"""DELETE /api/v1/auth/me through the functions: refusals, ended credentials, and when the address becomes free."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from shared.audio.folder import FolderFiles
from shared.audio.opening import AudioPlace, nothing_to_close
from shared.tables import Users
from tests.accounts.test_closing import Unlistable
from tests.handlers.test_recovery import forgot, log_in, reset, reset_token
from tests.handlers.world import PASSWORD, Account, Answer, World
from tests.support import NOON

NewWorld = Callable[..., World]
ME: Final = "/api/v1/auth/me"


def close(world: World, account: Account, password: str = PASSWORD, **how: str) -> Answer:
    return world.delete(ME, token=account.session, json={"password": password}, **how)


def sign_up_again(world: World, account: Account) -> int:
    return world.post("/api/v1/auth/signup", json={"email": account.email, "password": PASSWORD}).status


def test_closing_ends_everything_at_once(world: World, ada: Account, bob: Account) -> None:
    """Sessions, keys, logins and links end; the cookie is cleared, a mail is sent, and the address is free again."""
    token, memo = reset_token(world, ada), world.memo(ada.key)
    answer = close(world, ada)
    assert answer.json == {"success": True, "message": "Account closed. What it had is being erased"}
    assert 'auth_token="";' in answer.cookies[0]
    assert world.mails.mails[-1].kind == "closed"
    assert world.get(ME, token=ada.session).error["code"] in ("INVALID_API_KEY", "EXPIRED_TOKEN")
    assert world.get(f"/api/v1/memo/{memo['id']}", token=ada.key).status in (401, 403)
    assert log_in(world, ada) == 401
    assert reset(world, token).status == 400
    assert world.get(ME, token=bob.session).status == 200
    assert sign_up_again(world, ada) == 201


@pytest.mark.parametrize("password", ["wrong password", "x"])
def test_closing_takes_the_password(world: World, ada: Account, password: str) -> None:
    """A wrong one is 401, counts as a failed login, and changes nothing."""
    assert close(world, ada, password).refusal == (401, "UNAUTHORIZED", "Current password is incorrect")
    assert [close(world, ada, password).status for _ in range(10)] == [401] * 9 + [429]
    assert world.get(ME, token=ada.session).status == 200
    world.later(minutes=15)
    assert close(world, ada).status == 200


def test_closing_takes_a_session(world: World, ada: Account) -> None:
    """A key is refused, and so is a missing body."""
    assert world.delete(ME, json={"password": PASSWORD}).error["code"] == "MISSING_API_KEY"
    assert world.delete(ME, token=ada.key, json={"password": PASSWORD}).error["code"] == "INVALID_API_KEY"
    assert world.delete(ME, token=ada.session, json={}).error["code"] == "MISSING_FIELD"
    assert world.get(ME, token=ada.session).status == 200


def test_closed_account_keeps_its_address_until_erased(new_world: NewWorld, tmp_path: Path) -> None:
    """While audio cannot be erased the account is still closed: sign-up 409, login 401, and no credential works."""
    world = new_world(audio=AudioPlace(lambda: (Unlistable(tmp_path), nothing_to_close)))
    ada = world.sign_up("ada@example.org")
    token = reset_token(world, ada)
    assert close(world, ada).status == 200
    assert world.get(ME, token=ada.session).error["code"] == "EXPIRED_TOKEN"
    assert world.get("/api/v1/memos", token=ada.key).error["code"] == "REVOKED_KEY"
    assert (sign_up_again(world, ada), log_in(world, ada), reset(world, token).status) == (409, 401, 400)
    mails = len(world.mails.mails)
    assert forgot(world, ada.email).status == 200
    assert len(world.mails.mails) == mails
    row = world.run(Users(world.store).load(ada.id))
    assert row.closing_at is not None
    assert row.closing_at >= NOON.replace(year=2026, month=3, day=2)


def test_closing_ends_audio_urls(new_world: NewWorld, tmp_path: Path) -> None:
    """A URL of real audio answers 404, and its file is deleted."""
    files = FolderFiles(tmp_path)
    world = new_world({"SPEECH": "local"}, audio=AudioPlace(lambda: (files, nothing_to_close)))
    ada = world.sign_up("ada@example.org")
    path = world.memo(ada.key)["audio"]["url"].removeprefix("https://api.example.org")
    assert world.get(path).status == 200
    assert close(world, ada).status == 200
    assert world.get(path).status == 404
    assert [held.name for held in world.run(files.page("audio/")).held] == []


def test_closing_is_503_when_the_store_is_down(world: World, ada: Account) -> None:
    world.is_down = True
    assert close(world, ada).status == 503
    world.is_down = False
    assert close(world, ada).status == 200
