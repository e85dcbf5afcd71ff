"""Passwords of accounts that moved in: bcrypt hashes are checked as Node did, and replaced at the first login."""

import asyncio
import subprocess
import sys
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

import bcrypt
import pytest
from argon2 import PasswordHasher

from shared.accounts.passwords import Passwords
from shared.accounts.recovery import Purpose
from shared.core.errors import ServiceUnavailable, WrongPassword
from shared.core.settings import AttemptLimits, Settings
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from shared.tables.users import User
from tests.live.processes import ROOT
from tests.support import ADDRESS, EMAIL, SECRET, FakeClock, a_user, cheap_passwords, outcomes, racing_store

pytestmark = pytest.mark.anyio

MOVED: Final = "colossus-1944"
LONG: Final = "p" * 80
"""A password of which Node's bcrypt ignored the last eight characters."""


def bcrypt_hash(password: str, prefix: str = "2b") -> str:
    """Return a hash like the predecessor's, at the lowest cost."""
    return bcrypt.hashpw(password.encode()[:72], b"$2b$04$" + 22 * b".").decode().replace("$2b$", f"${prefix}$")


async def moved_in(services: Services, password_hash: str) -> User:
    user = a_user(EMAIL).model_copy(update={"password_hash": password_hash, "moved_in": True})
    await services.tables.users.add(user)
    await services.tables.users.claim_email(user)
    return user


async def stored_hash(services: Services, user: User) -> str:
    return (await services.tables.users.load(user.id)).password_hash


@pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
async def test_login_replaces_the_predecessors_hash(services: Services, prefix: str) -> None:
    """The first login leaves argon2's hash of the same password, and ends no session."""
    user = await moved_in(services, bcrypt_hash("colossus-1944", prefix))
    _, session = await services.accounts.log_in(EMAIL, "colossus-1944", address=ADDRESS)
    assert (await stored_hash(services, user)).startswith("$argon2id$")
    await services.accounts.log_in(EMAIL, "colossus-1944", address=ADDRESS)
    assert (await services.accounts.authenticate(session.token))[0].id == user.id
    with pytest.raises(WrongPassword):
        await services.accounts.log_in(EMAIL, "colossus-1945", address=ADDRESS)


async def test_login_takes_what_node_cut_until_the_first_one(services: Services) -> None:
    """Node's bcrypt ignored all bytes after the 72nd. From the first login on, every byte counts."""
    user = await moved_in(services, bcrypt_hash(LONG))
    assert await cheap_passwords().verify(user.password_hash, LONG[:72] + "q")
    assert not await cheap_passwords().verify(user.password_hash, LONG[:71])
    await services.accounts.log_in(EMAIL, LONG, address=ADDRESS)
    with pytest.raises(WrongPassword):
        await services.accounts.log_in(EMAIL, LONG[:72], address=ADDRESS)
    await services.accounts.log_in(EMAIL, LONG, address=ADDRESS)


async def test_login_compares_as_sent_until_the_first_one(services: Services) -> None:
    """The first login compares bytes, as the predecessor did. Later logins compare the NFC form."""
    sent = unicodedata.normalize("NFD", "édith-piaf")
    await moved_in(services, bcrypt_hash(sent))
    with pytest.raises(WrongPassword):
        await services.accounts.log_in(EMAIL, unicodedata.normalize("NFC", sent), address=ADDRESS)
    await services.accounts.log_in(EMAIL, sent, address=ADDRESS)
    await services.accounts.log_in(EMAIL, unicodedata.normalize("NFC", sent), address=ADDRESS)


@pytest.mark.parametrize("seed", range(20))
async def test_new_hash_never_overwrites_a_changed_password(seed: int) -> None:
    """If first logins race with a reset, only the reset's password is valid, unless the reset was refused."""
    services = services_with(racing_store(seed))
    user = await moved_in(services, bcrypt_hash("old password"))
    token = services.recovery._tokens.issue(Purpose.RESET, user)
    logins = (services.accounts.log_in(EMAIL, "old password", address=ADDRESS) for _ in range(3))
    _, failures = await outcomes([services.recovery.reset(token, "a new password"), *logins])
    by_reset = not any("reset token" in str(failure) for failure in failures)
    kept = await stored_hash(services, user)
    assert await cheap_passwords().verify(kept, "a new password" if by_reset else "old password")
    assert not await cheap_passwords().verify(kept, "old password" if by_reset else "a new password")


@pytest.mark.parametrize(
    "unknown",
    [
        *("!", "", "35c975626aab67385195d908e15780e7", "$2b$31$" + 53 * "a", "$2b$12$short", "$argon2id$v=19$x"),
        "$2b$04$" + 53 * "a",  # the salt's last character has bits that a salt of 16 bytes has not
    ],
)
async def test_hash_of_no_known_form_fits_nothing(services: Services, unknown: str) -> None:
    """A login with it is refused as a wrong password, costs as much as an unknown account, and a reset replaces it."""
    user = await moved_in(services, unknown)
    hasher = WatchedHasher()
    assert not await Passwords(hasher).verify(unknown, "")
    unknown_account = WatchedHasher()
    assert not await Passwords(unknown_account).verify(None, "")
    assert hasher.worked == unknown_account.worked == 2  # the dummy's own hash, and one check
    for password in ("", "!", unknown, "admin_password_123"):
        with pytest.raises(WrongPassword):
            await services.accounts.log_in(EMAIL, password, address=ADDRESS)
    token = services.recovery._tokens.issue(Purpose.RESET, user)
    assert await services.recovery.reset(token, "a new password") == 0
    await services.accounts.log_in(EMAIL, "a new password", address=ADDRESS)


class WatchedHasher(PasswordHasher):
    """Counts hashes that were computed."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.worked = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.worked += 1
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 argon2's name for it
        if str(hash).startswith("$argon2id$v=19$m="):
            self.worked += 1
        return super().verify(hash, password)


@dataclass
class Slept:
    """Records the requested seconds of sleep, and does not wait."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


async def test_failed_login_waits_for_a_fixed_moment() -> None:
    """Unknown accounts, argon2 hashes, bcrypt hashes and invalid ones: each answer comes after two seconds."""
    for password_hash in (None, await cheap_passwords().hash("x"), bcrypt_hash("x"), "!"):
        slept = Slept()
        services = services_with(racing_store(0), slept, failed_login_ms=2000)
        if password_hash is not None:
            await moved_in(services, password_hash)
        with pytest.raises(WrongPassword):
            await services.accounts.log_in(EMAIL, "wrong", address=ADDRESS)
        (seconds,) = slept.seconds
        assert 0 < seconds <= 2


async def test_good_login_waits_for_nothing() -> None:
    slept = Slept()
    services = services_with(racing_store(0), slept, failed_login_ms=2000)
    await moved_in(services, bcrypt_hash("x"))
    await services.accounts.log_in(EMAIL, "x", address=ADDRESS)
    assert slept.seconds == []


def services_with(store: MemoryStore, sleep: Any = asyncio.sleep, *, failed_login_ms: int = 0) -> Services:
    settings = Settings(session_secret=SECRET, attempts=AttemptLimits(), failed_login_ms=failed_login_ms)
    return Services.on(store, settings, passwords=cheap_passwords(), clock=FakeClock(), sleep=sleep)


def imported_by(program: str) -> Sequence[str]:
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return ran.stdout.split()


@pytest.mark.thorough
def test_bcrypt_is_imported_when_a_hash_is_met() -> None:
    """The users function imports bcrypt at the first bcrypt hash, and not at its start."""
    without = "import sys; sys.modules['cryptography'] = None"  # as in the archive: otherwise PyJWT imports it
    start = f"{without}\nimport asyncio, handlers.users\nfrom shared.accounts.passwords import Passwords\n"
    assert "bcrypt" not in imported_by(start)
    assert "bcrypt" not in imported_by(f"{start}asyncio.run(Passwords().verify(None, 'x'))")
    assert "bcrypt" in imported_by(f"{start}asyncio.run(Passwords().verify({bcrypt_hash('x')!r}, 'x'))")


class Meanwhile(Passwords):
    """Runs an action before the hash of a login's password."""

    def __init__(self) -> None:
        super().__init__(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.first: Callable[[], Awaitable[object]] | None = None

    async def hash(self, password: str) -> str:
        if password == MOVED and self.first is not None:
            await self.first()
        return await super().hash(password)


async def full() -> None:
    raise ServiceUnavailable(retry_after_s=3)


@pytest.mark.parametrize("erased", [False, True])
async def test_login_stands_if_its_hash_cannot_be_replaced(store: MemoryStore, *, erased: bool) -> None:
    """If the queue of hashes is full, or the account is erased meanwhile, the login succeeds and stores no hash."""
    passwords = Meanwhile()
    services = Services.on(
        store, Settings(session_secret=SECRET, failed_login_ms=0), passwords=passwords, clock=FakeClock()
    )
    user = await moved_in(services, bcrypt_hash(MOVED))
    passwords.first = partial(services.tables.users.delete, user) if erased else full
    assert (await services.accounts.log_in(EMAIL, MOVED, address=ADDRESS))[0].id == user.id
    kept = await services.tables.users.get(user.id)
    assert (kept and kept.password_hash) == (None if erased else user.password_hash)
