"""The audio place is opened once, at its first use, and its health is checked rarely."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from shared.audio.files import AudioFiles, AudioPlaceFailed, Held
from shared.audio.folder import FolderFiles
from shared.audio.opening import CHECKED_S, AudioPlace, open_audio
from shared.core.speech_settings import AudioChoice, AudioSettings
from tests.fakes.dynamo_world import FakeTime

pytestmark = pytest.mark.anyio


class Asked(FolderFiles):
    """Counts its calls, and its closings. `fails`: calls fail."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked = self.opened = self.closed = 0
        self.fails = False

    async def head(self, name: str) -> Held | None:
        self.asked += 1
        if self.fails:
            raise AudioPlaceFailed("head", "it is down")
        return await super().head(name)

    def open(self) -> tuple[AudioFiles, Callable[[], Awaitable[None]]]:
        self.opened += 1
        return self, self.aclose

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
def files(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


async def test_place_is_opened_and_closed_once(files: Asked) -> None:
    """The place is opened at its first use. A place that was never used is not closed."""
    place = AudioPlace(files.open)
    await place.close()
    assert (files.opened, files.closed) == (0, 0)
    assert place.files is place.files is files
    await place.close()
    await place.close()
    assert (files.opened, files.closed) == (1, 1)


@pytest.mark.parametrize("fails", [False, True])
async def test_place_is_asked_again_after_ten_seconds(files: Asked, *, fails: bool) -> None:
    """The last result counts for ten seconds, good or bad, since health routes are anonymous."""
    time = FakeTime()
    place = AudioPlace(files.open, monotonic=time.monotonic)
    files.fails = fails
    for asked, then_s in ((1, CHECKED_S / 2), (1, CHECKED_S / 2), (1, 0.1), (2, 0.0)):
        assert await place.answers() is not fails
        assert files.asked == asked
        time.now_s += then_s
    files.fails = not fails
    time.now_s += CHECKED_S + 0.1
    assert await place.answers() is fails


async def test_place_that_keeps_nothing_always_answers() -> None:
    place = open_audio(AudioSettings(place=None))
    assert place.files is None
    assert await place.answers()
    await place.close()


async def test_place_is_the_folder_of_the_settings(tmp_path: Path) -> None:
    place = open_audio(AudioSettings(place=AudioChoice.FOLDER, folder=tmp_path / "audio"))
    assert isinstance(place.files, FolderFiles)
    assert await place.answers()
    await place.close()
