"""The command that erases closed accounts."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from shared.core.settings import Settings
from shared.jobs.worked import CanGoOn, Progress, Worked
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from shared.stores.opening import open_store
from tests.fakes.mails import CaughtMails
from tests.support import NOON, PASSWORD, FakeClock, cheap_passwords, signed_up
from tools.maintain.__main__ import main
from tools.maintain.housekeeping import finished


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


class PiecesOfWork:
    """A job that answers each run with the next of these."""

    def __init__(self, *runs: Worked) -> None:
        self.left = list(runs)

    async def __call__(self, _: CanGoOn, __: Progress) -> Worked:
        return self.left.pop(0)


def test_housekeeping_goes_on_while_runs_use_their_time(capsys: pytest.CaptureFixture[str]) -> None:
    """A run of owners whose plans agree, or a part of a long day, does no piece to its end, and is no reason to stop.

    Here a run's time is up at once. The failures of all runs count.
    """
    job = PiecesOfWork(Worked(failed=2, is_done=False), Worked(is_done=False), Worked(done=1))
    assert asyncio.run(finished("days", job, run_s=0.0)) == 2
    assert "days: 1 done, 0 wait for their time, 2 failed" in capsys.readouterr().out
    assert job.left == []


def test_housekeeping_stops_when_a_run_does_nothing() -> None:
    """A run that stops with time left and without any work is a failure, which no further run would mend."""
    job = PiecesOfWork(Worked(is_done=False), Worked())
    assert asyncio.run(finished("days", job, run_s=60)) == 1
    assert len(job.left) == 1
