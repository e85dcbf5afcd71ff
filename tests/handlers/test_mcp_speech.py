"""Spoken memos with stored audio, through the tools: long ones, and the audio's length and bytes."""

import base64
from pathlib import Path

import pytest
from mcp.types import AudioContent, CallToolResult, ResourceLink, TextContent

from shared.audio.files import Area, AudioFiles
from shared.audio.folder import FolderFiles
from tests.fakes.long_memos import HeldQueue
from tests.handlers.mcp_client import call, text_of
from tests.handlers.test_speaker import LONG, handed_over
from tests.handlers.world import PUBLIC_URL, World


def link_of(result: CallToolResult) -> ResourceLink:
    link = result.content[1]
    assert isinstance(link, ResourceLink)
    return link


@pytest.mark.thorough
def test_a_long_memo_is_processing_then_ready(speaking: World, queue: HeldQueue) -> None:
    """The first answer has no link, and an instruction to poll; after the speech get_memo has the exact duration."""
    ada = speaking.sign_up()
    begun = call(speaking, ada.key, "create_memo", text=LONG, voice="rachel")
    assert begun.structured_content is not None
    memo_id = begun.structured_content["id"]
    assert begun.structured_content["audio"]["status"] == "processing"
    assert "Call get_memo with this id in 5 seconds" in text_of(begun)
    assert "Do not create it again" in text_of(begun)
    assert [block.type for block in begun.content] == ["text"]
    assert "is processing" in text_of(call(speaking, ada.key, "get_memo", id=memo_id))
    assert handed_over(speaking, *queue.sent) == []
    ready = call(speaking, ada.key, "get_memo", id=memo_id)
    assert ready.structured_content == speaking.get(f"/api/v1/memo/{memo_id}", token=ada.key).json
    assert "is ready" in text_of(ready)
    link = link_of(ready)
    assert link.meta == {"durationSeconds": ready.structured_content["audio"]["duration"]}
    assert link.size == len(speaking.get(link.uri.removeprefix(PUBLIC_URL)).body)


@pytest.mark.thorough
def test_kept_audio_is_included_up_to_its_limit(speaking: World, queue: HeldQueue) -> None:
    """A short memo's bytes equal those of its URL; a long one's are left out, and the answer states so."""
    ada = speaking.sign_up()
    short = call(speaking, ada.key, "create_memo", text="Hello there", voice="rachel", includeAudio=True)
    audio = short.content[2]
    assert isinstance(audio, AudioContent)
    assert base64.b64decode(audio.data) == speaking.get(link_of(short).uri.removeprefix(PUBLIC_URL)).body
    begun = call(speaking, ada.key, "create_memo", text=LONG, voice="rachel").structured_content
    assert begun is not None
    assert handed_over(speaking, *queue.sent) == []
    long = call(speaking, ada.key, "get_memo", id=begun["id"], includeAudio=True)
    size = link_of(long).size
    assert size is not None
    assert size > 100_000
    told = long.content[2]
    assert isinstance(told, TextContent)
    assert "not included" in told.text


def test_a_memo_is_told_without_its_lost_audio(speaking: World, folder: Path) -> None:
    """If the audio place has lost a file, the memo is still there: its length is unknown."""
    ada = speaking.sign_up()
    made = call(speaking, ada.key, "create_memo", text="Hello there", voice="rachel")
    assert made.structured_content is not None
    files: AudioFiles = FolderFiles(folder)
    speaking.run(files.delete([f"{Area.AUDIO}/{link_of(made).name}"]))
    got = call(speaking, ada.key, "get_memo", id=made.structured_content["id"], includeAudio=True)
    assert link_of(got).size is None
    assert not got.is_error


def test_deleting_by_the_tool_deletes_the_audio(speaking: World, folder: Path) -> None:
    """After delete_memo nothing is left in the place of audio."""
    ada = speaking.sign_up()
    made = call(speaking, ada.key, "create_memo", text="Hello there", voice="rachel").structured_content
    assert made is not None
    assert len(list(folder.rglob("*.mp3"))) == 1
    assert not call(speaking, ada.key, "delete_memo", id=made["id"]).is_error
    assert list(folder.rglob("*.mp3")) == []
