"""The command that checks a provider for our voices."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.speakers import KINDS, Kind
from tests.fakes.speech_provider import KEY, FakeProvider
from tools.check_voices import MISSING, THERE, UNASKED, main


@contextmanager
def provider(kind: Kind, voices: list[str]) -> Iterator[dict[str, str]]:
    """Serve a provider with these voices in a thread, and yield the command's environment."""
    loop, ready, urls = asyncio.new_event_loop(), threading.Event(), []
    done = asyncio.Event()

    async def serve() -> None:
        async with FakeProvider(kind.dialect(), voices=voices).serving() as url:
            urls.append(url)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    version = "/v1" if kind.name == "openai" else ""
    yield {f"{kind.name.upper()}_API_KEY": KEY, f"{kind.name.upper()}_BASE_URL": urls[0] + version}
    loop.call_soon_threadsafe(done.set)
    thread.join()
    loop.close()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


def test_check_voices_lists_all_that_are_there(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    with provider(kind, list(kind.voices.values())) as environ:
        assert main([kind.name], environ=environ) == THERE
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["ok", ours, theirs] for ours, theirs in kind.voices.items()]


def test_check_voices_names_the_missing_one(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    """A voice that the provider has retired is printed with the provider's name for it."""
    left = [theirs for ours, theirs in kind.voices.items() if ours != "freya"]
    with provider(kind, left) as environ:
        assert main([kind.name], environ=environ) == MISSING
    missing = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("MISSING")]
    assert missing == [["MISSING", "freya", kind.voices["freya"]]]


def test_check_voices_reads_the_settings_file(kind: Kind, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "voices.json"
    file.write_text(json.dumps({kind.name: {"freya": "a-new-voice"}}))
    with provider(kind, [*kind.voices.values(), "a-new-voice"]) as environ:
        assert main([kind.name], environ={**environ, "SPEECH_VOICES": str(file)}) == THERE
    assert "a-new-voice" in capsys.readouterr().out


def test_check_voices_says_why_it_cannot_ask(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong key is reported as such, and not as a list of missing voices."""
    with provider(kind, []) as environ:
        assert main([kind.name], environ={**environ, f"{kind.name.upper()}_API_KEY": "wrong"}) == UNASKED
    assert "refuses the key" in capsys.readouterr().err


def test_check_voices_says_what_is_wrong_with_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["polly"], environ={"SPEECH_VOICES": str(tmp_path / "absent.json")}) == UNASKED
    assert "cannot be read" in capsys.readouterr().err
