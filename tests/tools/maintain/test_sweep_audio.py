"""Sweeping audio that no memo names."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.audio.files import audio, close_owner, lease, making, new_file, piece
from shared.audio.folder import FolderFiles
from shared.core.settings import Settings
from shared.memos.requests import Draft
from shared.speech.voices import VOICES
from shared.stores.memory.store import MemoryStore
from shared.stores.opening import open_store
from shared.stores.port import Key
from shared.tables import USERS
from tests.fakes.long_memos import TEXT, LongMemoWorld
from tests.support import FakeClock, signed_up
from tools.maintain.__main__ import main
from tools.maintain.sweep_audio import Swept, sweep_audio

pytestmark = pytest.mark.anyio

TOMORROW = timedelta(days=1, hours=1)


async def left_behind(files: FolderFiles) -> list[str]:
    """Store the objects of a file that no memo names. Returns their names."""
    file = new_file("somebody")
    names = sorted([audio(file), making(file), piece(file, 3), lease(file, 3, 0)])
    for name in names:
        await files.put(name, b"left")
    return names


async def test_sweep_deletes_what_no_memo_names(store: MemoryStore, clock: FakeClock, tmp_path: Path) -> None:
    """Audio of memos, parts of unfinished ones, and marks of closed owners stay; so does all of the last day."""
    world = LongMemoWorld(store, tmp_path, clock)
    process = world.process()
    ada = await signed_up(process)
    for text in ("Short.", TEXT):
        await process.memos.make(ada.api_key.key, Draft(text=text, voice=VOICES["sam"]))
    await close_owner(world.files, "somebody")
    needed = world.kept()
    left = await left_behind(world.files)
    now = datetime.now(UTC)  # the folder's files have the machine's time
    assert await sweep_audio(store, world.files, now) == Swept(left=0, kept=6)
    assert await sweep_audio(store, world.files, now + TOMORROW, deletes=False) == Swept(left=4, kept=2)
    assert world.kept() == sorted([*needed, *left])
    assert await sweep_audio(store, world.files, now + TOMORROW) == Swept(left=4, kept=2)
    assert world.kept() == needed


async def test_parts_of_an_ended_memo_are_left_behind(store: MemoryStore, clock: FakeClock, tmp_path: Path) -> None:
    """The parts are deleted even though a memo names their file."""
    world = LongMemoWorld(store, tmp_path, clock)
    process = world.process()
    ada = await signed_up(process)
    memo, _ = await process.memos.make(ada.api_key.key, Draft(text=TEXT, voice=VOICES["sam"]))
    await process.speaker.say(memo.id, 1)
    file = memo.audio_url.removeprefix("/audio/")
    await world.files.put(piece(file, 0), b"late")
    await world.files.put(making(file), b"")
    await sweep_audio(store, world.files, datetime.now(UTC) + TOMORROW)
    assert world.kept() == [audio(file)]


async def test_command_counts_then_deletes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --check it only prints the number of objects left behind; without an audio place it names the setting."""
    rows = {"AGENT_TALK_MEMORY_FILE": str(tmp_path / "rows.json")}
    opened = open_store(Settings.from_env(rows))
    await opened.store.increment("users")
    await opened.store.add(USERS, Key("all", "somebody"), {})
    await opened.close()
    world = LongMemoWorld(opened.store, tmp_path / "audio", FakeClock())
    left = await left_behind(world.files)
    environ = {**rows, "AUDIO": "folder", "AUDIO_DIR": str(tmp_path / "audio")}

    def said(*options: str, environ: Mapping[str, str] = environ) -> tuple[int, str]:
        status = main(["sweep-audio", *options], environ=environ, clock=lambda: datetime.now(UTC) + TOMORROW)
        told = capsys.readouterr()
        return status, " ".join((told.out + told.err).split())

    assert await asyncio.to_thread(said, "--check") == (0, "4 objects are left over, 0 stay")
    assert world.kept() == left
    assert await asyncio.to_thread(said) == (0, "4 objects deleted, 0 stay")
    assert world.kept() == []
    status, told = await asyncio.to_thread(lambda: said(environ=rows))
    assert (status, "set AUDIO" in told) == (2, True)
