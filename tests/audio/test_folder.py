"""Audio in a folder keeps the port's contract, and survives crashed writers and a disk that fails."""

import os
from pathlib import Path

import pytest

from shared.audio.files import (
    AudioFiles,
    AudioPlaceFailed,
    HeldPage,
    audio,
    delete_parts,
    erase_owner,
    lease,
    making,
    new_file,
    piece,
)
from shared.audio.folder import LEFT_OVER_S, FolderFiles
from tests.contract.audio_files import AudioFilesContract

pytestmark = pytest.mark.anyio

NOW_S = 1_800_000_000.0


class TestFolderFiles(AudioFilesContract):
    @pytest.fixture
    def files(self, tmp_path: Path) -> AudioFiles:
        return FolderFiles(tmp_path / "audio files")


def temporaries(folder: Path) -> list[Path]:
    return list((folder / "tmp").iterdir())


async def test_folder_has_no_links(tmp_path: Path) -> None:
    """A folder has no URLs for clients: the function reads the bytes."""
    assert await FolderFiles(tmp_path).link(audio(new_file("ada"))) is None


async def test_folder_keeps_no_temporary_file(tmp_path: Path) -> None:
    await FolderFiles(tmp_path).put(audio(new_file("ada")), b"x")
    assert temporaries(tmp_path) == []


async def test_folder_removes_what_dead_writers_left(tmp_path: Path) -> None:
    """Temporary files older than LEFT_OVER_S are removed. A younger one may still have a writer."""
    files, wrote = FolderFiles(tmp_path, wall=lambda: NOW_S), tmp_path / "tmp"
    wrote.mkdir()
    for name, age_s in (("dead", LEFT_OVER_S + 1), ("alive", 10.0)):
        (wrote / name).write_bytes(b"half")
        os.utime(wrote / name, (NOW_S - age_s, NOW_S - age_s))
    await files.put(audio(new_file("ada")), b"x")
    assert [left.name for left in temporaries(tmp_path)] == ["alive"]


async def test_folder_lists_only_names_of_its_own(tmp_path: Path) -> None:
    """Foreign files in the folder are not listed."""
    files, file = FolderFiles(tmp_path), new_file("ada")
    await files.put(audio(file), b"x")
    (tmp_path / "audio" / ".DS_Store").write_bytes(b"")
    (tmp_path / "audio" / "notes.txt").write_bytes(b"")
    assert [held.name for held in (await files.page("audio/")).held] == [audio(file)]


async def test_folder_lists_no_name_whose_file_is_gone(tmp_path: Path) -> None:
    """A file that is deleted while the page is made is left out. Here a dangling link stands for it."""
    files, file = FolderFiles(tmp_path), new_file("ada")
    await files.put(audio(file), b"x")
    (tmp_path / audio(new_file("ada"))).symlink_to("nothing")
    assert [held.name for held in (await files.page("audio/")).held] == [audio(file)]


class SmallPages(FolderFiles):
    """Lists two names at once."""

    async def page(self, prefix: str, *, after: str | None = None, limit: int = 2) -> HeldPage:
        return await super().page(prefix, after=after, limit=limit)


async def test_erase_owner_says_whether_a_page_was_all(tmp_path: Path) -> None:
    """An area that has more than a page is left for another call, even if every other area is empty."""
    files, mine = SmallPages(tmp_path), [new_file("ada") for _ in range(3)]
    for file in mine:
        await files.put(audio(file), b"x")
    assert not await erase_owner(files, "ada")
    assert await erase_owner(files, "ada")
    assert [await files.head(audio(file)) for file in mine] == [None] * 3


async def test_delete_parts_deletes_more_than_a_page(tmp_path: Path) -> None:
    """All pieces and leases are deleted, also beyond one page, and the audio stays."""
    files, file = SmallPages(tmp_path), new_file("ada")
    parts = [*(piece(file, number) for number in range(5)), *(lease(file, number, 0) for number in range(3))]
    for name in (*parts, making(file), audio(file)):
        await files.put(name, b"x")
    await delete_parts(files, file)
    assert [await files.head(name) for name in (*parts, making(file))] == [None] * 9
    assert await files.head(audio(file)) is not None


async def test_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The error is 502 STORAGE_ERROR with the operation, without the system's text."""
    (tmp_path / "blocked").write_bytes(b"a file, where a folder should be")
    with pytest.raises(AudioPlaceFailed) as raised:
        await FolderFiles(tmp_path / "blocked").put(making(new_file("ada")), b"")
    assert (raised.value.status, raised.value.code) == (502, "STORAGE_ERROR")
    assert (raised.value.message, raised.value.details) == ("The audio store failed", {"operation": "put"})
    assert str(raised.value).startswith("audio store: put: ")
