"""The tools' results for a memo's audio: a link, the length and the bytes, if the audio place has them."""

import base64
import logging
from pathlib import Path

import pytest

from handlers.mcp_protocol.content import AudioBlock, LinkBlock, TextBlock, ToolAnswer
from handlers.mcp_protocol.memo_audio import MOST_INCLUDED, audio_blocks
from handlers.mcp_protocol.methods import tool_result
from handlers.mcp_protocol.revisions import Revision
from handlers.models.memos import MemoAnswer
from shared.audio.files import AudioFiles, AudioPlaceFailed, Held, audio, new_file
from shared.audio.folder import FolderFiles
from shared.speech.simulated import simulated_audio, simulated_file
from shared.tables.memos import Ended, Memo
from tests.handlers.world import NOON, PUBLIC_URL

pytestmark = pytest.mark.anyio

SHORT = simulated_file(15)
LONG_WAV = simulated_file(30, "wav")


class SilentPlace(FolderFiles):
    """An audio place that does not answer."""

    async def head(self, name: str) -> Held | None:  # noqa: ARG002 same for all objects
        raise AudioPlaceFailed("head", "it does not answer")


class UnreadablePlace(FolderFiles):
    """An audio place that finds objects, and fails to read them."""

    async def read(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:  # noqa: ARG002
        raise AudioPlaceFailed("read", "it does not answer")


def memo_of(audio_url: str, *, is_long: bool = False, ended: Ended | None = None) -> Memo:
    return Memo(
        id="memo-1",
        user_id="ada",
        text="Hello there",
        audio_url=audio_url,
        duration_seconds=1.5,
        voice="rachel",
        character_count=11,
        title=None,
        created_at=NOON,
        is_long=is_long,
        ended=ended,
    )


async def told(
    memo: Memo, files: AudioFiles | None, *, is_included: bool = True
) -> tuple[LinkBlock, AudioBlock | TextBlock | None]:
    """Return the link, and the block after it; None: there is none."""
    blocks = await audio_blocks(memo, MemoAnswer.of(memo, public_url=PUBLIC_URL), files, is_included=is_included)
    link, rest = blocks[0], blocks[1:]
    assert isinstance(link, LinkBlock)
    assert len(rest) == is_included
    second = rest[0] if rest else None
    assert not isinstance(second, LinkBlock)
    return link, second


async def kept(files: AudioFiles, size: int) -> Memo:
    """Store audio of `size` bytes. Returns a memo with it."""
    file = new_file("ada")
    await files.put(audio(file), bytes(size))
    return memo_of(f"/audio/{file}")


def bytes_of(block: AudioBlock | TextBlock | None) -> bytes | None:
    """Return the included bytes; None: the block says that they are not included."""
    if isinstance(block, AudioBlock):
        return base64.b64decode(block.data)
    assert isinstance(block, TextBlock)
    assert "not included" in block.text
    return None


@pytest.mark.parametrize("size", [1, MOST_INCLUDED - 1, MOST_INCLUDED, MOST_INCLUDED + 1])
async def test_kept_audio_is_included_if_it_fits(tmp_path: Path, size: int) -> None:
    """Up to the bound the stored bytes are included; above it the answer states why not. It always has the length."""
    files = FolderFiles(tmp_path)
    link, second = await told(await kept(files, size), files)
    assert link.size == size
    assert bytes_of(second) == (bytes(size) if size <= MOST_INCLUDED else None)


@pytest.mark.parametrize("file", [SHORT, LONG_WAV])
async def test_simulated_audio_is_included_if_it_fits(file: str) -> None:
    """It needs no audio place: its bytes are made from its name."""
    made = simulated_audio(file)
    assert made is not None
    link, second = await told(memo_of(f"/audio/{file}"), None)
    assert link.size == len(made)
    assert bytes_of(second) == (made if file == SHORT else None)


async def test_audio_that_is_not_asked_for_is_only_linked(tmp_path: Path) -> None:
    """The link has the length of kept and of simulated audio. No bytes are read, and no block follows."""
    files = UnreadablePlace(tmp_path)
    for memo in (await kept(files, 10), memo_of(f"/audio/{SHORT}")):
        link, second = await told(memo, files, is_included=False)
        assert link.size
        assert second is None


@pytest.mark.parametrize(
    "audio_url",
    ["https://old.example.org/memo_1.mp3", "/audio/memo_1.mp3", f"/audio/{new_file('ada')}"],
    ids=["elsewhere", "of the predecessor", "deleted"],
)
async def test_audio_that_is_not_there_has_no_length(tmp_path: Path, audio_url: str) -> None:
    """For audio elsewhere, of the predecessor, or lost, the link stays, and the answer says that bytes are missing."""
    for files in (FolderFiles(tmp_path), None):
        for is_included in (True, False):
            link, second = await told(memo_of(audio_url), files, is_included=is_included)
            assert link.size is None
            assert second is None or bytes_of(second) is None


async def test_audio_place_that_fails_leaves_the_memo(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The memo is answered without its length, and the log has its id."""
    with caplog.at_level(logging.WARNING):
        link, second = await told(await kept(FolderFiles(tmp_path), 10), SilentPlace(tmp_path))
    assert (link.size, bytes_of(second)) == (None, None)
    assert [vars(record)["memo_id"] for record in caplog.records] == ["memo-1"]


@pytest.mark.parametrize("ended", [None, Ended(seconds=None)])
async def test_audio_that_is_not_ready_has_no_blocks(ended: Ended | None) -> None:
    """A memo in the making, or a failed one, has no link: its URL would answer an error."""
    memo = memo_of(f"/audio/{SHORT}", is_long=True, ended=ended)
    assert await audio_blocks(memo, MemoAnswer.of(memo, public_url=PUBLIC_URL), None, is_included=True) == ()


@pytest.mark.parametrize("revision", Revision)
async def test_blocks_have_no_field_of_null(revision: Revision) -> None:
    """The protocol's fields are absent or of their type: a client that checks them refuses a `size` of null."""
    link, second = await told(memo_of("/audio/memo_1.mp3"), None)
    assert second is not None
    content = tool_result(ToolAnswer(blocks=(link, second)), revision)["content"]
    assert isinstance(content, list)
    assert len(content) == 1 + revision.has_structure
    assert [value for block in content for value in block.values() if value is None] == []
