"""The contract of the audio place: the tests that every adapter passes, unchanged.

An adapter's tests subclass AudioFilesContract and provide a fixture `files`: an empty place, or one that other tests
use too, since every test has its own owners.
"""

import asyncio
import re
import secrets
from typing import Final

import pytest

from shared.audio.files import (
    Area,
    AudioFiles,
    Held,
    NameTaken,
    Presence,
    audio,
    close_owner,
    closed,
    delete_file,
    erase_owner,
    lease,
    look,
    making,
    new_file,
    owner_digest,
    piece,
)
from tests.support import outcomes

RACERS: Final = 8

NO_NAMES: Final = (
    "",
    "audio/",
    "audio/x.mp3",
    "../etc/passwd",
    "audio/../../etc/passwd",
    f"audio/{'0' * 32}-{'0' * 32}.exe",
    f"audio/{'0' * 32}-{'0' * 32}.mp3/",
    f"audio/{'0' * 32}-{'0' * 32}.mp3\n",
    f"Audio/{'0' * 32}-{'0' * 32}.mp3",
    f"audio/{'A' * 32}-{'0' * 32}.mp3",
    f"pieces/{'0' * 32}-{'0' * 32}.mp3-1",
    f"/audio/{'0' * 32}-{'0' * 32}.mp3",
)


@pytest.mark.anyio
class AudioFilesContract:
    @pytest.fixture
    def owner(self) -> str:
        """Return the id of an owner of this test alone."""
        return secrets.token_hex(16)

    @pytest.fixture
    def file(self, owner: str) -> str:
        return new_file(owner)

    # put, head, read

    async def test_an_absent_object_is_none(self, files: AudioFiles, file: str) -> None:
        assert await files.head(audio(file)) is None
        assert await files.read(audio(file)) is None
        assert await files.read(audio(file), start=3, end=5) is None
        assert await files.read(audio(file), start=3, end=3) is None

    @pytest.mark.parametrize("content", [b"", b"ID3", bytes(range(256)) * 4096])
    async def test_put_keeps_every_byte(self, files: AudioFiles, file: str, content: bytes) -> None:
        await files.put(audio(file), content)
        held = await files.head(audio(file))
        assert held is not None
        assert (held.name, held.size) == (audio(file), len(content))
        assert held.made_at.tzinfo is not None
        assert await files.read(audio(file)) == content

    async def test_put_never_replaces_content(self, files: AudioFiles, file: str) -> None:
        """The first content stays, and the second writer gets NameTaken."""
        await files.put(audio(file), b"first")
        with pytest.raises(NameTaken):
            await files.put(audio(file), b"other")
        assert await files.read(audio(file)) == b"first"

    async def test_put_of_equal_content_counts_as_written(self, files: AudioFiles, file: str) -> None:
        """A put whose answer was lost can be repeated."""
        await files.put(audio(file), b"same")
        await files.put(audio(file), b"same")
        assert await files.read(audio(file)) == b"same"

    async def test_one_of_several_puts_wins_whole(self, files: AudioFiles, file: str) -> None:
        """Under any concurrency one complete content is stored, and only writers of that content succeed."""
        contents = [bytes([number]) * 100_000 for number in range(RACERS)]
        won, lost = await outcomes(files.put(audio(file), content) for content in contents)
        assert (len(won), [type(error) for error in lost]) == (1, [NameTaken] * (RACERS - 1))
        assert await files.read(audio(file)) in contents

    async def test_an_etag_is_strong_and_stays(self, files: AudioFiles, owner: str) -> None:
        one, two = new_file(owner), new_file(owner)
        await files.put(audio(one), b"one")
        await files.put(audio(two), b"two, which is longer")
        tags = [(await self._held(files, file)).etag for file in (one, one, two)]
        assert tags[0] == tags[1] != tags[2]
        assert all(re.fullmatch(r'"[!#-~]+"', tag) for tag in tags)

    @pytest.mark.parametrize(
        ("start", "end", "part"),
        [
            (0, None, b"0123456789"),
            (0, 4, b"0123"),
            (4, None, b"456789"),
            (4, 6, b"45"),
            (8, 100, b"89"),
            (9, 10, b"9"),
            (10, None, b""),
            (20, 30, b""),
            (4, 4, b""),
            (4, 3, b""),
            (6, 2, b""),
        ],
    )
    async def test_read_answers_a_part(
        self, files: AudioFiles, file: str, start: int, end: int | None, part: bytes
    ) -> None:
        await files.put(audio(file), b"0123456789")
        assert await files.read(audio(file), start=start, end=end) == part

    @pytest.mark.parametrize("name", NO_NAMES)
    async def test_no_verb_takes_another_path(self, files: AudioFiles, name: str) -> None:
        for call in (files.put(name, b"x"), files.head(name), files.read(name), files.link(name), files.delete([name])):
            with pytest.raises(ValueError, match="no name"):
                await call

    @pytest.mark.parametrize("prefix", ["", "audio", "/audio/", "other/", "audio/../", "audio/*"])
    async def test_page_takes_no_other_prefix(self, files: AudioFiles, prefix: str) -> None:
        with pytest.raises(ValueError, match="no prefix"):
            await files.page(prefix)

    # delete

    async def test_delete_removes_what_it_names(self, files: AudioFiles, owner: str) -> None:
        """Other objects stay, an absent name is no error, and an empty list deletes nothing."""
        gone, stays, absent = new_file(owner), new_file(owner), new_file(owner)
        for file in (gone, stays):
            await files.put(audio(file), b"x")
        await files.delete([audio(gone), audio(absent)])
        await files.delete([audio(gone)])
        await files.delete([])
        assert await files.head(audio(gone)) is None
        assert await files.head(audio(stays)) is not None

    # page

    async def test_pages_hold_an_owners_objects_in_order(self, files: AudioFiles, owner: str) -> None:
        """Pages of any size neither skip nor repeat, and contain no object of another owner or area."""
        names = sorted(audio(new_file(owner)) for _ in range(5))
        for name in [*names, audio(new_file(f"{owner} another")), making(new_file(owner))]:
            await files.put(name, b"x")
        prefix = f"{Area.AUDIO}/{owner_digest(owner)}-"
        for limit in (1, 2, 4, 5, 100):
            found: list[str] = []
            after: str | None = None
            while True:
                page = await files.page(prefix, after=after, limit=limit)
                assert len(page.held) <= limit
                found += [held.name for held in page.held]
                after = page.after
                if after is None:
                    break
            assert found == names, limit
        assert (await files.page(prefix, limit=5)).after is None

    async def test_a_page_of_nothing_is_the_last(self, files: AudioFiles, owner: str) -> None:
        page = await files.page(f"{Area.AUDIO}/{owner_digest(owner)}-")
        assert (list(page.held), page.after) == ([], None)

    # look

    async def test_look_tells_ready_making_and_absent(self, files: AudioFiles, file: str) -> None:
        """A file is absent, then being made, then there (also while its mark still lies there), then absent again."""
        assert await look(files, file) is Presence.ABSENT
        await files.put(making(file), b"")
        await files.put(making(file), b"")
        assert await look(files, file) is Presence.MAKING
        await files.put(audio(file), b"x")
        assert isinstance(await look(files, file), Held)
        await files.delete([making(file)])
        assert isinstance(await look(files, file), Held)
        await files.delete([audio(file)])
        assert await look(files, file) is Presence.ABSENT

    async def test_look_never_misses_a_file_that_is_finished(self, files: AudioFiles, owner: str) -> None:
        """While the audio is put and then the mark removed, a look returns making or ready, and never absent."""
        for _ in range(5):
            file = new_file(owner)
            await files.put(making(file), b"")
            finished = asyncio.create_task(self._finish(files, file))
            while not finished.done():
                assert await look(files, file) is not Presence.ABSENT
            await finished

    async def test_a_closed_owners_files_are_absent(self, files: AudioFiles, owner: str) -> None:
        """Files that exist, that are being made, and that are put later are absent; another owner's are not."""
        there, begun, later = new_file(owner), new_file(owner), new_file(owner)
        foreign = new_file(f"{owner} another")
        for name in (audio(there), making(begun), audio(foreign)):
            await files.put(name, b"")
        await close_owner(files, owner)
        await close_owner(files, owner)
        await files.put(audio(later), b"x")
        assert [await look(files, file) for file in (there, begun, later)] == [Presence.ABSENT] * 3
        assert isinstance(await look(files, foreign), Held)

    @pytest.mark.parametrize("text", ["", "x.mp3", "simulated-12.mp3", "../secret", "a" * 69])
    async def test_look_finds_no_file_of_another_form(self, files: AudioFiles, text: str) -> None:
        assert await look(files, text) is Presence.ABSENT

    # delete_file, erase_owner

    async def test_delete_file_removes_its_mark_and_parts(self, files: AudioFiles, owner: str) -> None:
        file, other = new_file(owner), new_file(owner)
        own = (audio(file), making(file), piece(file, 0), piece(file, 1), lease(file, 0, 0))
        for name in (*own, piece(other, 0)):
            await files.put(name, b"x")
        await delete_file(files, file)
        assert [await files.head(name) for name in own] == [None] * len(own)
        assert await files.head(piece(other, 0)) is not None

    async def test_parts_are_listed_in_their_order(self, files: AudioFiles, file: str) -> None:
        for number in (10, 9, 100, 0):
            await files.put(piece(file, number), b"x")
        page = await files.page(f"{Area.PIECES}/{file}-")
        assert [held.name for held in page.held] == [piece(file, number) for number in (0, 9, 10, 100)]

    async def test_erase_owner_leaves_nothing_but_the_mark(self, files: AudioFiles, owner: str) -> None:
        """All areas of this owner are empty, and another owner's are unchanged. The erasure can be repeated."""
        foreign = new_file(f"{owner} another")
        mine = [new_file(owner) for _ in range(3)]
        for name in [*map(audio, mine), making(mine[0]), piece(mine[1], 0), lease(mine[1], 0, 0), audio(foreign)]:
            await files.put(name, b"x")
        await close_owner(files, owner)
        assert await erase_owner(files, owner)
        assert await erase_owner(files, owner)
        for area in (Area.AUDIO, Area.MAKING, Area.PIECES, Area.LEASES):
            assert not (await files.page(f"{area}/{owner_digest(owner)}-")).held
        assert await files.head(closed(owner_digest(owner))) is not None
        assert await files.head(audio(foreign)) is not None

    async def _held(self, files: AudioFiles, file: str) -> Held:
        held = await files.head(audio(file))
        assert held is not None
        return held

    async def _finish(self, files: AudioFiles, file: str) -> None:
        await files.put(audio(file), b"x")
        await files.delete([making(file)])
