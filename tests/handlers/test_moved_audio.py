"""Audio under its name in the predecessor: it is read from its new file, at the cost of one read of the store."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shared.audio.files import audio, new_file
from shared.audio.folder import FolderFiles
from shared.tables.moved import MovedIds
from tests.handlers.world import World

NewWorld = Callable[..., World]

OLD = "memo_1.mp3"


@pytest.fixture
def keeping(new_world: NewWorld, folder: Path) -> World:
    return new_world({"AUDIO": "folder", "AUDIO_DIR": str(folder)})


def moved_in(world: World, folder: Path, old: str = OLD, content: bytes = b"ID3 old") -> str:
    file = new_file("ada", "mp3")
    world.run(FolderFiles(folder).put(audio(file), content))
    assert world.run(MovedIds(world.store).add_audio("ada", old, file))
    return file


def reads(world: World, path: str) -> tuple[int, int]:
    """Get a path. Returns the status, and the number of requests to the store."""
    asked = 0
    world.get("/audio/simulated-4.mp3")  # a container's first request verifies the store

    async def count() -> None:
        nonlocal asked
        asked += 1

    world.disturb(count)
    return world.get(path).status, asked


@pytest.mark.parametrize("old", [OLD, "0-A_z.9.wav", "x" * 124 + ".ogg"])
def test_moved_audio_is_read_by_its_old_name(keeping: World, folder: Path, old: str) -> None:
    """The predecessor's name and the new one return the same bytes."""
    file = moved_in(keeping, folder, old)
    for name in (old, file):
        answer = keeping.get(f"/audio/{name}")
        assert (answer.status, answer.body) == (200, b"ID3 old")


def test_moved_audio_costs_one_read_and_own_audio_none(keeping: World, folder: Path) -> None:
    """Only a name of the predecessor's form is looked up, and none of this service's form."""
    file = moved_in(keeping, folder)
    assert reads(keeping, f"/audio/{OLD}") == (200, 1)
    assert reads(keeping, "/audio/memo_2.mp3") == (404, 1)
    assert reads(keeping, f"/audio/{file}") == (200, 0)
    assert reads(keeping, f"/audio/{new_file('bob', 'mp3')}") == (404, 0)
    for name in (".hidden.mp3", "memo_1.txt", "memo 1.mp3", "x" * 129 + ".mp3"):
        assert reads(keeping, f"/audio/{name}") == (404, 0)


def test_moved_audio_is_absent_without_a_place_of_audio(world: World) -> None:
    """Where AUDIO was unset, nothing can be read, and nothing is looked up."""
    assert world.run(MovedIds(world.store).add_audio("ada", OLD, new_file("ada", "mp3")))
    assert reads(world, f"/audio/{OLD}") == (404, 0)
