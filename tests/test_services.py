"""The composition root closes all that it opens."""

import pytest

from shared.audio.opening import AudioPlace
from shared.core.settings import Settings
from shared.services import Services
from shared.speech.opening import Speakers
from shared.stores.memory.store import MemoryStore
from tests.fakes.long_memos import HeldQueue
from tests.support import SECRET

pytestmark = pytest.mark.anyio


class Closings(list[str]):
    """The names of closed objects, in order."""

    def queue(self) -> HeldQueue:
        closings = self

        class Queue(HeldQueue):
            async def close(self) -> None:
                closings.append("queue")

        return Queue()

    def speakers(self, audio: AudioPlace) -> Speakers:
        closings = self

        class Voices(Speakers):
            async def close(self) -> None:
                closings.append("speakers")

        return Voices({}, adapters={}, audio=audio)

    def audio(self) -> AudioPlace:
        closings = self

        class Place(AudioPlace):
            async def close(self) -> None:
                closings.append("audio")

        return Place()

    async def store(self) -> None:
        self.append("store")


async def test_services_close_all_that_they_have_opened() -> None:
    """The queue, whose memos are being spoken, is closed before voices and audio, and the store last."""
    closed = Closings()
    audio = closed.audio()
    services = Services.on(
        MemoryStore(),
        Settings(session_secret=SECRET),
        audio=audio,
        speakers=closed.speakers(audio),
        queue=closed.queue(),
        close=closed.store,
    )
    await services.close()
    assert closed == ["queue", "speakers", "audio", "store"]
