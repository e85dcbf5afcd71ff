"""The command that erases closed accounts."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from shared.core.settings import Settings
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from shared.stores.opening import open_store
from tests.fakes.mails import CaughtMails
from tests.support import NOON, PASSWORD, FakeClock, cheap_passwords, signed_up
from tools.maintain.__main__ import main


def closed_account(environ: dict[str, str], clock: FakeClock) -> str:
    """Make an open account, and one that is closed and listed with nothing erased. Returns the latter's id."""
    settings = Settings.from_env(environ)
    store = open_store(settings).store
    assert isinstance(store, MemoryStore)
    services = Services.on(store, settings, passwords=cheap_passwords(), clock=clock, mailer=CaughtMails())

    async def play() -> str:
        await signed_up(services, "bob@example.org")
        ada = await signed_up(services)
        await services.accounts.close(ada.user, password=PASSWORD, address="here")
        return ada.user.id

    return asyncio.run(play())


def test_housekeeping_erases_closed_accounts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The closed account is erased a day later, after its last check. The other account is kept."""
    file = tmp_path / "rows.json"
    environ = {"AGENT_TALK_MEMORY_FILE": str(file), "AUDIO_DIR": str(tmp_path / "audio"), "SPEECH": "simulated"}
    clock = FakeClock(NOON)
    owner = closed_account(environ, clock)
    assert main(["housekeeping"], environ=environ, clock=clock) == 0
    assert "closed accounts: 0 done, 1 wait for their time, 0 failed" in capsys.readouterr().out
    assert owner in file.read_text()
    clock.advance(timedelta(days=1, minutes=1))
    assert main(["housekeeping"], environ=environ, clock=clock) == 0
    assert "closed accounts: 1 done, 0 wait for their time, 0 failed" in capsys.readouterr().out
    assert owner not in file.read_text()
    assert "bob@example.org" in file.read_text()
