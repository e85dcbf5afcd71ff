"""The pairing of logs with memos, and memos and logs planned from rows of any content."""

import asyncio
import io
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pytest

from shared.api_keys.minting import digest
from shared.core.clock import DAY
from shared.core.ids import minted_at
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Document
from shared.tables.usage_logs import MEMO_DELETED
from tests.tools.moving.predecessor import (
    LIVE,
    MOVED_AT,
    TEST,
    GivenSource,
    key_row,
    log_row,
    memo_row,
    move,
    user_row,
)
from tools.moving.findings import Findings
from tools.moving.history import Moved
from tools.moving.planning import MovedOwner, Planner
from tools.moving.values import MOST
from tools.moving.working_copy import working_copy


async def planned(rows: dict[str, list[Document]]) -> tuple[MovedOwner, list[Moved], list[str]]:
    """Return the first user with the history, and the reported reasons, in order."""
    findings, given = Findings(io.StringIO()), {"users": [user_row()], "api_keys": [key_row(LIVE), key_row(TEST)]}
    with working_copy(now=MOVED_AT) as copy:
        await copy.fill(GivenSource(given | rows), findings)
        planner = Planner(copy, findings, now=MOVED_AT)
        old = next(copy.users())
        owner = planner.owner(old, planner.user_id(old))
        history = list(planner.history(owner))
    return owner, history, [why for table, _, why, _ in findings.whys() if table in ("memos", "usage_logs")]


def history(memos: Sequence[Document] = (), logs: Sequence[Document] = ()) -> tuple[list[Moved], list[str]]:
    _, moved, whys = asyncio.run(planned({"memos": list(memos), "usage_logs": list(logs)}))
    return moved, whys


AT: Final = "2026-11-28T09:10:{:06.3f}Z"


def said(characters: int | None, voice: str = "sam") -> dict[str, Any]:
    return {"voice": voice, "characterCount": characters, "duration": 1.5}


@pytest.mark.parametrize(
    ("seconds", "belongs"), [(11.0, True), (12.999, True), (13.0, True), (13.001, False), (9.0, True), (8.999, False)]
)
def test_log_belongs_to_a_memo_within_two_seconds(seconds: float, belongs: bool) -> None:  # noqa: FBT001
    moved, whys = history(
        [memo_row(created_at=AT.format(11.0))], [log_row(created_at=AT.format(seconds), metadata=said(5))]
    )
    assert len(moved) == (1 if belongs else 2)
    assert ("it had no log: it gets one, so that figures count it" in whys) is not belongs


def test_log_belongs_to_the_memo_that_it_fits_best() -> None:
    """Among several memos at one time the characters decide, then the key, then the time; no log belongs to two."""
    memos = [
        memo_row("by_length", character_count=7, text="Seven..", created_at=AT.format(10.0)),
        memo_row("by_key", api_key_id=key_row(TEST)["id"], created_at=AT.format(10.1)),
        memo_row("by_time", created_at=AT.format(10.2)),
    ]
    logs = [
        log_row("1", created_at=AT.format(10.21), metadata=said(5)),
        log_row("2", created_at=AT.format(10.22), metadata=said(5), api_key_id=key_row(TEST)["id"]),
        log_row("3", created_at=AT.format(11.9), metadata=said(7)),
    ]
    moved, whys = history(memos, logs)
    assert {row.old_id: row.document["metadata"]["test"] for row in moved} == {
        "by_length": False,
        "by_key": True,
        "by_time": False,
    }
    assert [row.document["metadata"]["characters"] for row in moved] == [7, 5, 5]
    assert whys == []


def test_log_of_another_voice_or_length_is_another_memos() -> None:
    moved, whys = history([memo_row()], [log_row("1", metadata=said(6)), log_row("2", metadata=said(5, "domi"))])
    assert [row.memo is not None for row in sorted(moved, key=lambda row: row.old_id)] == [False, False, True]
    assert "no memo of this log is there" in whys


def test_memo_gets_from_its_log_what_it_lacks() -> None:
    """HYPR Micro's memos lack text, voice, length and key: all but the text are in the log."""
    bare = {"id": "m", "user_id": "user_1", "created_at": AT.format(11.0), "audio_url": "https://x.example.org/a.mp3"}
    (row,), whys = history([bare], [log_row(created_at=AT.format(11.5), metadata=said(40))])
    assert row.memo is not None
    memo = row.memo
    assert (memo.text, memo.voice, memo.character_count, memo.duration_seconds) == ("", "sam", 40, 1.5)
    assert memo.api_key_id == digest(LIVE)[:32]
    assert whys == ["its text was never stored: it comes without one"]


def test_memo_without_anything_still_comes() -> None:
    (row,), whys = history([{"user_id": "user_1"}])
    assert row.memo is not None
    memo = row.memo
    assert (memo.text, memo.voice, memo.character_count, memo.duration_seconds) == ("", "unknown", 0, 0.0)
    assert memo.created_at == minted_at(row.sort)
    assert memo.audio_url.startswith("/audio/")
    assert len(whys) == 7


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://talk.example.org/audio/a.mp3", True),
        ("http://localhost:3000/audio/a.mp3?x=1", True),
        ("/audio/a.mp3", False),
        ("javascript://alert(1)", False),
        ("data:audio/mpeg;base64,AAAA", False),
        ("https://[", False),
        (None, False),
    ],
)
def test_memo_keeps_a_url_that_leads_somewhere(url: str | None, kept: bool) -> None:  # noqa: FBT001
    (row,), whys = history([memo_row(audio_url=url)], [log_row()])
    assert row.memo is not None
    assert (row.memo.audio_url == url) is kept
    assert kept or row.memo.audio_url.startswith("/audio/")
    assert ("its audio has no URL that leads anywhere" in whys) is not kept


def test_log_with_broken_metadata_counts_without_characters() -> None:
    """The log stays a call, as SQL counts it, and does not count as a failed memo."""
    (row,), whys = history(logs=[log_row(metadata="{not json")])
    assert row.document["metadata"] | {"memoId": ""} == {
        "memoId": "",
        "voice": "unknown",
        "characters": 0,
        "audioSeconds": 0.0,
        "test": False,
    }
    assert MEMO_DELETED in row.document
    assert whys == ["its metadata cannot be read: it counts 0 characters"]


def test_other_logs_come_with_the_new_ids_of_keys() -> None:
    key = key_row(LIVE)
    rows = [
        log_row(action="key_revoked", api_key_id=None, metadata={"keyId": key["id"]}),
        log_row("2", action="key_used"),
    ]
    (row,), whys = history(logs=rows)
    assert row.document["metadata"] == {"keyId": digest(LIVE)[:32]}
    assert (row.document["api_key_id"], row.document["api_key_name"]) == (digest(LIVE)[:32], "build")
    assert whys == ["its action is not logged here: key_used"]


@pytest.mark.parametrize("voice", [{"id": "sam"}, ["sam"], 5, True])
def test_error_comes_without_a_voice_that_is_no_name(voice: object) -> None:
    """Figures group errors by their voices, so such a voice is left out, and reported."""
    logs = [log_row("1", action="error_tts", metadata={"voice": voice}), log_row("2", action="error_tts")]
    moved, whys = history(logs=logs)
    assert [row.document["metadata"] for row in moved] == [
        {},
        {"voice": "sam", "characterCount": 5, "duration": 0.4},
    ]
    assert whys == ["the voice in its metadata is no name: it is left out"]
    asyncio.run(move(GivenSource({"users": [user_row()], "usage_logs": logs}), MemoryStore()))


def test_log_comes_without_metadata_that_nest_too_deep() -> None:
    """A store would write them, and could not read them again."""
    deep = f'{{"a": {"[" * 250}{"]" * 250}}}'
    (row,), whys = history(logs=[log_row(action="user_login", metadata=deep)])
    assert row.document["metadata"] == {}
    assert whys == ["its metadata are too long, or nested too deep: they are left out"]


def test_figures_of_a_user_begin_with_the_first_row() -> None:
    """A user whose sign-up is later than the first memo, which the predecessor's dates allow, loses no figures."""
    first = "2026-08-01T00:00:00.000Z"
    owner, (row,), _ = asyncio.run(planned({"memos": [memo_row(created_at=first)]}))
    assert minted_at(owner.user.id).date().isoformat() == "2026-08-01"
    assert owner.user.created_at.isoformat().startswith("2026-11-01")
    assert row.sort < owner.user.id or minted_at(row.sort) == minted_at(owner.user.id)


def test_counts_are_those_of_the_predecessor_or_of_memos() -> None:
    """Day and month have the predecessor's counts, or its memos if they are more; earlier months limit nothing."""
    limits = [
        {"id": number, "user_id": "user_1", "api_key_id": key_row(key)["id"], "date": day, "count": count}
        for number, (key, day, count) in enumerate(
            [(LIVE, "2026-11-28", 9), (TEST, "2026-11-28", 4), (LIVE, "2026-11-02", 2), (LIVE, "2026-10-31", 50)]
        )
    ]
    made = [log_row(str(n), created_at=f"2026-11-02T0{n}:00:00.000Z") for n in range(3)]
    owner, _, _ = asyncio.run(planned({"rate_limits": limits, "usage_logs": made}))
    assert {target.name.partition(":")[2]: target.value for target in owner.counts} == {
        "calls:2026-11-28": 9,
        "calls:2026-11": 12,
        "testcalls:2026-11-28": 4,
    }
    assert max(target.ends_at for target in owner.counts if target.ends_at) == MOVED_AT.replace(month=12, day=1, hour=0)


def test_counts_are_at_most_what_a_counter_takes() -> None:
    """Each absurd count of the predecessor is a number that a store takes; their sums are not."""
    key = key_row(LIVE)["id"]
    days = ("2026-11-01", "2026-11-28", "2026-11-28")
    rows = [
        {"id": str(at), "user_id": "user_1", "api_key_id": key, "date": day, "count": MOST}
        for at, day in enumerate(days)
    ]
    owner, _, _ = asyncio.run(planned({"rate_limits": rows}))
    assert [target.value for target in owner.counts] == [MOST, MOST]


def test_row_dated_in_the_future_gets_its_owners_date() -> None:
    later = (MOVED_AT + 3 * DAY + timedelta(hours=1)).isoformat()
    (row,), whys = history([memo_row(created_at=later)], [])
    assert row.memo is not None
    assert row.memo.created_at.isoformat().startswith("2026-11-01")
    assert "it has no readable date: it gets its owner's" in whys
