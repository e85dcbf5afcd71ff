"""Leaked keys are identified, and revoked, by the key itself."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from shared.accounts.accounts import SignedUp
from shared.api_keys.api_keys import NewKey
from shared.core.errors import KeyRevoked
from shared.services import Services
from shared.stores.memory.file import shared_rows
from shared.stores.memory.store import MemoryStore
from shared.tables import Window
from shared.tables.key_rings import RING, KeyRings, entry_of, kept
from shared.tables.usage_logs import Action
from tests.support import EMAIL, NOON, FakeClock, a_key, services_on, signed_up
from tools.maintain.__main__ import main

UNKNOWN = f"at_live_{'a' * 42}A"


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A store in a file, and its owner, who also has a key that expires in an hour."""

    folder: Path
    services: Services
    ada: SignedUp
    ending: NewKey

    def command(self, name: str, *keys: str, clock: FakeClock | None = None) -> int:
        found = self.folder / "found.txt"
        found.write_text("\n".join(keys))
        environ = {"AGENT_TALK_MEMORY_FILE": str(self.folder / "rows.json")}
        return main([name, str(found)], environ=environ, clock=clock or FakeClock())


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    clock = FakeClock()
    services = services_on(MemoryStore(rows=shared_rows(tmp_path / "rows.json"), clock=clock), clock)

    async def lived() -> tuple[SignedUp, NewKey]:
        ada = await signed_up(services)
        hour = NOON + timedelta(hours=1)
        return ada, await services.api_keys.create(ada.user, name="Ending", test=True, expires_at=hour)

    ada, ending = asyncio.run(lived())
    return Deployment(folder=tmp_path, services=services, ada=ada, ending=ending)


def test_verify_keys_says_whose_they_are(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the owner and the end of each key. It revokes no key, and prints no secret."""
    ada, ending = deployment.ada, deployment.ending
    assert deployment.command("verify-keys", ada.api_key.secret, "", ending.secret, "not a key") == 1
    printed = capsys.readouterr().out
    assert printed.splitlines()[:2] == [
        f"line 1: key {ada.api_key.key.id} of {EMAIL} ({ada.user.id}), good",
        f"line 2: key {ending.key.id} of {EMAIL} ({ada.user.id}), good until 2026-11-23T13:00:00.000Z",
    ]
    assert ada.api_key.secret not in printed
    assert asyncio.run(deployment.services.api_keys.authenticate(ada.api_key.secret)).revoked_at is None


def test_verify_keys_tells_an_expired_key(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    """A key whose end has passed is reported as expired."""
    later = FakeClock(NOON + timedelta(hours=2))
    assert deployment.command("verify-keys", deployment.ending.secret, clock=later) == 0
    assert capsys.readouterr().out.rstrip().endswith("expired")


def test_revoke_keys_revokes_by_the_key(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    """The revocation is in force immediately, repeatable and listed, with one log of the owner."""
    services, ada, secret = deployment.services, deployment.ada, deployment.ada.api_key.secret
    for minutes in (0, 5):
        assert deployment.command("revoke-keys", secret, clock=FakeClock(NOON + timedelta(minutes=minutes))) == 0
        assert capsys.readouterr().out.rstrip().endswith("revoked at 2026-11-23T12:00:00.000Z")

    async def check() -> None:
        with pytest.raises(KeyRevoked):
            await services.api_keys.authenticate(secret)
        keys = {key.id: key.is_active(NOON) for key in await services.tables.api_keys.of(ada.user.id, NOON)}
        assert keys == {ada.api_key.key.id: False, deployment.ending.key.id: True}
        logs = await services.tables.usage_logs.page(ada.user.id, Window(), action=Action.KEY_REVOKED)
        assert [log.api_key_id for log in logs.rows] == [ada.api_key.key.id]

    asyncio.run(check())


def test_revoke_keys_goes_on_after_an_unknown_key(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status shows that one was no key of this service. The key after it is revoked."""
    assert deployment.command("revoke-keys", UNKNOWN, deployment.ending.secret) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "line 1: no key of this service"
    assert "revoked at" in told[1]


def test_revoke_keys_goes_on_after_a_dropped_key(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    """A full ring drops keys that are over. The command prints such a key's state, and revokes all the others."""
    services, ada, dropped = deployment.services, deployment.ada, deployment.ending

    async def drop() -> None:
        await services.api_keys.revoke(ada.user, dropped.key.id)
        later = [a_key(ada.user.id).model_copy(update={"revoked_at": NOON}) for _ in range(RING)]
        await KeyRings(services.store).change(
            ada.user.id, lambda entries: kept([*entries, *map(entry_of, later)], NOON)
        )
        assert dropped.key.id not in {key.id for key in await services.tables.api_keys.ring(ada.user.id)}

    asyncio.run(drop())
    assert deployment.command("revoke-keys", dropped.secret, ada.api_key.secret) == 0
    assert ["revoked at" in line for line in capsys.readouterr().out.splitlines()] == [True, True]
