"""Sweeping the counters of ended windows."""

from datetime import datetime, timedelta

import pytest

from shared.core.derived import Pseudonyms
from shared.core.settings import AttemptLimits, SettingsError
from shared.limits import windows
from shared.limits.attempts import Attempts, has_ended
from shared.stores.memory.store import MemoryStore
from tests.support import SECRET, FakeClock
from tools.maintain.__main__ import main
from tools.maintain.opened import maintenance_settings
from tools.maintain.sweep import sweep

pytestmark = pytest.mark.anyio

OTHERS = {"users": 3, f"{'0' * 32}:calls:2026-11-23": 5, "login-of-somebody": 1}
"""Counters without the window of one that ends."""


async def attempted(store: MemoryStore, clock: FakeClock) -> None:
    """Leave a counter of each kind; two for a password, and for each mail."""
    attempts = Attempts(store, AttemptLimits(), pseudonyms=Pseudonyms(SECRET), clock=clock)
    for attempt in (
        attempts.password("1.2.3.4", "ada@example.org"),
        attempts.sign_up("1.2.3.4"),
        attempts.demo("1.2.3.4"),
        attempts.key_change("an owner"),
        attempts.reset("1.2.3.4", "ada@example.org"),
        attempts.verification("1.2.3.4", "an owner"),
    ):
        await attempt.begin()


async def names(store: MemoryStore) -> set[str]:
    return {counter.name for counter in (await store.scan_counters()).rows}


async def test_sweep_drops_what_has_ended_and_nothing_else() -> None:
    """Windows that still count, or ended within the hour, stay, and so do all other counters."""
    clock = FakeClock()
    store = MemoryStore(clock=FakeClock(clock.at - timedelta(days=1)))  # the store would hide ended counters
    for name, value in OTHERS.items():
        await store.increment(name, value)
    await attempted(store, clock)
    old = await names(store) - OTHERS.keys()
    clock.advance(timedelta(hours=2))
    await attempted(store, clock)
    new = await names(store) - old
    assert await sweep(store, clock.at, drops=False) == (9, len(new))
    assert await names(store) == old | new
    assert await sweep(store, clock.at) == (9, len(new))
    assert await names(store) == new
    assert await sweep(store, clock.at) == (0, len(new))


async def test_has_ended_leaves_an_hour_to_slow_clocks() -> None:
    """A password's window of 12:00 ends at 12:15 and is kept until 13:15; an hour's until 14:00."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    await attempted(store, clock)
    kinds = {name.partition(".")[0]: name for name in await names(store)}
    assert kinds.keys() == {"login", "signup", "demo", "keys", "reset", "verify"}
    for kind, counter in kinds.items():
        end = clock.at + timedelta(minutes=75 if kind == "login" else 120)
        assert not has_ended(counter, end - timedelta(milliseconds=1))
        assert has_ended(counter, end)


def test_sweep_command_refuses_a_store_of_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a store there is nothing to sweep, and the command names the missing setting."""
    assert main(["sweep"], environ={}) == 2
    assert "AGENT_TALK_STORE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("window", "ended"),
    [
        ("2026-11-22:memos", True),
        ("2026-11-23:memos", False),
        ("2026-11-22:characters", True),
        ("2026-10:characters", True),
        ("2026-11:characters", False),
    ],
)
async def test_sweep_drops_what_keys_used_of_ended_limits(window: str, *, ended: bool) -> None:
    """A key's limits of yesterday and of last month are deleted an hour after their end. The key's uses stay."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    uses = f"{'0' * 32}:uses:{'1' * 32}"
    for name in (uses, f"{uses}:{window}"):
        await store.increment(name)
    assert await sweep(store, clock.at) == (int(ended), 2 - ended)
    assert await names(store) == ({uses} if ended else {uses, f"{uses}:{window}"})


@pytest.mark.parametrize("kind", ["calls", "testcalls", "refused:live", f"refused:{'1' * 32}"])
@pytest.mark.parametrize(("window", "ends"), [("2026-11-30", "2026-12-01"), ("2026-12", "2027-01-01")])
def test_an_owners_window_is_kept_for_an_hour(kind: str, window: str, ends: str) -> None:
    """This holds for days and months, and for the counters of memos, of test keys' memos and of refusals."""
    end = datetime.fromisoformat(f"{ends}T01:00:00+00:00")
    assert windows.has_ended(f"{'0' * 32}:{kind}:{window}", end)
    assert not windows.has_ended(f"{'0' * 32}:{kind}:{window}", end - timedelta(milliseconds=1))


@pytest.mark.parametrize(("window", "ends"), [("2026-11-30:memos", "2026-12-01"), ("2026-12:characters", "2027-01-01")])
def test_a_keys_window_is_kept_for_an_hour(window: str, ends: str) -> None:
    """Slow clocks may count in the window of a day or a month for that long."""
    end = datetime.fromisoformat(f"{ends}T01:00:00+00:00")
    counter = f"{'0' * 32}:uses:{'1' * 32}:{window}"
    assert windows.has_ended(counter, end)
    assert not windows.has_ended(counter, end - timedelta(milliseconds=1))


def test_maintenance_asks_for_no_settings_of_speech() -> None:
    """A deployment's environment names no bucket that its stack made; only the sweep of audio needs its name."""
    environ = {"AUDIO": "s3", "SPEECH": "elevenlabs", "SESSION_SECRET": "short"}
    assert maintenance_settings(environ).audio.place is None
    with pytest.raises(SettingsError, match="AUDIO_BUCKET"):
        maintenance_settings(environ, audio=True)
