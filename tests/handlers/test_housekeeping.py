"""Housekeeping, driven by whole events of a schedule, under the rights of its role."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.core.ids import Ids
from shared.stores.port import Key, StoreUnavailable
from shared.tables import MEMOS, Tables
from tests.events import LambdaContext, schedule_event, sqs_event
from tests.fakes.long_memos import HeldQueue
from tests.handlers.test_speaker import LONG
from tests.handlers.test_speech import MEMO, kept, say
from tests.handlers.world import PASSWORD, Logs, World

NewWorld = Callable[..., World]

ME = "/api/v1/auth/me"


@pytest.fixture
def speaking(new_world: NewWorld, folder: Path, queue: HeldQueue) -> World:
    return new_world({"SPEECH": "local", "AUDIO": "folder", "AUDIO_DIR": str(folder), "METRICS": "1"}, queue=queue)


def run(world: World) -> dict[str, Any]:
    """Invoke housekeeping by its schedule once. Returns the fields of its log line."""
    line: dict[str, Any] = world.housekeeping(schedule_event(), LambdaContext())
    return line


def metrics(out: str) -> dict[str, Any]:
    (line,) = (json.loads(text) for text in out.splitlines() if "CloudWatchMetrics" in text and "WorkDone" in text)
    return {name: value[0] if isinstance(value, list) else value for name, value in line.items() if name != "_aws"}


class TestRun:
    def test_closed_account_is_erased_and_looked_at_again(self, speaking: World, folder: Path) -> None:
        """A row that is written during the closing is deleted, and a day later the account leaves the list."""
        ada = speaking.sign_up()
        say(speaking, ada.key, "Hello")
        say(speaking, ada.key, LONG)
        speaking.delete(ME, token=ada.session, json={"password": PASSWORD})
        late = Ids().mint(speaking.clock.at)
        speaking.run(speaking.store.add(MEMOS, Key(ada.id, late), {"id": late}))  # its request was still in progress
        assert run(speaking)["jobs"]["closed accounts"]["waiting"] == 1
        speaking.later(days=1, minutes=1)
        assert run(speaking)["jobs"]["closed accounts"]["done"] == 1
        assert speaking.run(speaking.store.page(MEMOS, ada.id)).rows == []
        assert run(speaking)["jobs"]["closed accounts"] == {"done": 0, "waiting": 0, "failed": 0, "is_done": True}
        assert [name.partition("/")[0] for name in kept(folder)] == ["closed"], "the mark of a closed account"

    def test_stopped_long_memo_is_queued_again_and_fails_at_last(self, speaking: World, queue: HeldQueue) -> None:
        """It is queued again every hour, five times in all. Then it fails, and its place is given back."""
        ada = speaking.sign_up()
        memo = say(speaking, ada.key, LONG).json
        assert run(speaking)["jobs"]["long memos"]["waiting"] == 1
        for _ in range(4):
            speaking.later(hours=1)
            assert run(speaking)["jobs"]["long memos"]["done"] == 1
        assert queue.sent == [memo["id"]] * 5
        speaking.later(hours=1)
        assert run(speaking)["oldest_s"] == 0
        assert speaking.get(f"{MEMO}/{memo['id']}", token=ada.key).json["audio"]["status"] == "failed"
        assert speaking.get("/api/v1/usage/limits", token=ada.key).json["daily"]["used"] == 0

    def test_day_is_summed_and_its_list_erased(self, speaking: World) -> None:
        """A memo without its log gets one, once the day and ten minutes have passed."""
        ada = speaking.sign_up()
        memo = say(speaking, ada.key, "Hello").json
        run(speaking)
        speaking.run(Tables.on(speaking.store).usage_logs.delete_memo(ada.id, memo["id"]))
        day = speaking.clock.at.date()
        speaking.later(hours=12, minutes=10)
        run(speaking)
        logs = speaking.get("/api/v1/usage", token=ada.session, query={"action": "memo_created"}).json["logs"]
        assert [log["id"] for log in logs] == [memo["id"]]
        speaking.later(days=1)
        run(speaking)
        ((_, figures),) = speaking.run(Tables.on(speaking.store).housekeeping.days(day, day))
        assert (figures.calls, figures.owners, figures.running) == (1, 1, None)

    def test_idle_run_costs_three_requests(self, speaking: World, logs: Logs) -> None:
        """A run reads each list once, whatever is in the store, and its log line has each job."""
        ada = speaking.sign_up()
        say(speaking, ada.key, "Hello")
        run(speaking)
        asked = 0

        async def count() -> None:
            nonlocal asked
            asked += 1

        speaking.disturb(count)
        assert run(speaking)["oldest_s"] == 0
        assert asked == 3
        line = logs.lines[-1]
        assert (line["message"], set(line["jobs"])) == (
            "housekeeping",
            {"days and counters", "long memos", "closed accounts"},
        )

    def test_metrics_name_the_oldest_work(self, speaking: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A memo that has been processing for 26 hours was due after one."""
        ada = speaking.sign_up()
        say(speaking, ada.key, LONG)
        speaking.later(hours=26)
        capsys.readouterr()
        oldest_s = run(speaking)["oldest_s"]
        assert oldest_s == pytest.approx(timedelta(hours=25).total_seconds(), abs=1)
        written = metrics(capsys.readouterr().out)
        assert written["OldestWork"] == oldest_s
        assert (written["function"], written["WorkFailed"]) == ("housekeeping", 0)

    def test_job_that_fails_does_not_stop_the_others(
        self, speaking: World, logs: Logs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The run then has no oldest work, so a job that always fails raises the alarm by the missing value."""
        run(speaking)
        asked = 0

        async def fail_first() -> None:
            nonlocal asked
            asked += 1
            if asked == 1:
                raise StoreUnavailable("once")

        speaking.disturb(fail_first)
        capsys.readouterr()
        line = run(speaking)
        assert [job["failed"] for job in line["jobs"].values()] == [1, 0, 0]
        assert line["oldest_s"] is None
        assert "OldestWork" not in metrics(capsys.readouterr().out)
        assert "the next run repeats it" in logs.text

    def test_other_events_are_refused(self, speaking: World) -> None:
        events: list[Any] = [{}, [], sqs_event(["{}"])]
        for event in events:
            with pytest.raises(ValueError, match="schedule alone"):
                speaking.housekeeping(event, LambdaContext())
