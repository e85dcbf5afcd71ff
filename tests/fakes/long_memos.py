"""Long memos on one store and one folder, with voices of tones: tests kill workers at each step, and race them."""

import math
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

from shared.audio.files import PAGE, AudioFiles, Held, HeldPage, Link
from shared.audio.folder import FolderFiles
from shared.audio.formats import FORMATS
from shared.audio.opening import AudioPlace
from shared.core.errors import SpeechFailed
from shared.core.settings import AttemptLimits, Settings
from shared.core.speech_settings import SpeechChoice
from shared.plans import Tier
from shared.services import Services
from shared.speech.encoding import RATE, available_encoders
from shared.speech.opening import Speakers
from shared.speech.piecewise import LEASE_S
from shared.speech.spoken import Spoken
from shared.speech.voices import Voice
from shared.stores.port import Store
from tests.support import SECRET, FakeClock, Intercepted, cheap_passwords

T = TypeVar("T")

PIECE: Final = 40
"""Characters of a piece, so that a short text is a long memo."""

TEXT: Final = "One is here. Two is there. Three is gone. Four is back. Five is late. Six is last. Seven is up."
"""A text of three pieces."""


class Killed(BaseException):
    """The process was killed: none of its later steps has an effect."""


class Steps:
    """Counts a process's calls of store, files and voices, and kills the process at one of these steps.

    `at` None: it is never killed. `after`: that step takes effect, and only its answer is lost. `before` is a step's
    number and a coroutine that runs before it, while the process waits.
    """

    def __init__(
        self,
        *,
        at: int | None = None,
        after: bool = False,
        before: tuple[int, Callable[[], Awaitable[object]]] | None = None,
    ) -> None:
        self._at = at
        self._after = after
        self._before = before
        self.names: list[str] = []

    @property
    def killed(self) -> bool:
        return self._at is not None and len(self.names) > self._at

    async def take(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        number = len(self.names)
        self.names.append(name)
        if self._before is not None and number == self._before[0]:
            await self._before[1]()
        if self._at is not None and number >= self._at:
            if number == self._at and self._after:
                await call()
            raise Killed(f"at step {number}, {name}")
        return await call()


class SteppedStore(Intercepted):
    def __init__(self, store: Store, steps: Steps) -> None:
        super().__init__(store)
        self._steps = steps

    async def _carry_out(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self._steps.take(f"store.{verb}", call)


class SteppedFiles:
    def __init__(self, files: AudioFiles, steps: Steps) -> None:
        self._files = files
        self._steps = steps

    async def put(self, name: str, content: bytes) -> None:
        await self._steps.take(f"put {name.partition('/')[0]}", lambda: self._files.put(name, content))

    async def head(self, name: str) -> Held | None:
        return await self._steps.take("head", lambda: self._files.head(name))

    async def read(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        return await self._steps.take("read", lambda: self._files.read(name, start=start, end=end))

    async def link(self, name: str, *, method: str = "GET") -> Link | None:
        return await self._steps.take("link", lambda: self._files.link(name, method=method))

    async def delete(self, names: Sequence[str]) -> None:
        await self._steps.take("delete", lambda: self._files.delete(names))

    async def page(self, prefix: str, *, after: str | None = None, limit: int = PAGE) -> HeldPage:
        return await self._steps.take("page", lambda: self._files.page(prefix, after=after, limit=limit))


@dataclass
class ToneVoices:
    """Speaks each text as a tone of 100 ms for ten characters. `bought` are the paid texts of all workers.

    `fails` returns whether a text fails now; `before` is awaited before each text.
    """

    bought: Counter[str] = field(default_factory=Counter)
    fails: Callable[[str], bool] = lambda _: False
    before: Callable[[], Awaitable[None]] | None = None
    max_characters: int = PIECE
    quick_characters: int = PIECE
    read: Callable[[str], str] = lambda cleaned: cleaned
    formats: AbstractSet[str] = frozenset(FORMATS)

    def reading(self, cleaned: str) -> str:
        return self.read(cleaned)

    async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken:  # noqa: ARG002 a tone has no voice
        if self.before is not None:
            await self.before()
        if self.fails(text):
            raise SpeechFailed("The tone broke", details={"provider": "tones"})
        self.bought[text] += 1
        return tone(len(text) // 10 / 10, form)


class SteppedVoices:
    """One process's connection to the voices, with its steps."""

    def __init__(self, voices: ToneVoices, steps: Steps) -> None:
        self._voices = voices
        self._steps = steps
        self.formats = voices.formats
        self.max_characters = voices.max_characters
        self.quick_characters = voices.quick_characters

    def reading(self, cleaned: str) -> str:
        return self._voices.reading(cleaned)

    async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken:
        return await self._steps.take("speak", lambda: self._voices.speak(text, voice, form=form))


@lru_cache
def tone(seconds: float, form: str = "mp3") -> Spoken:
    encoder = available_encoders()[form](RATE)
    samples = (int(8_000 * math.sin(2 * math.pi * 220 * number / RATE)) for number in range(round(seconds * RATE)))
    encoder.add(array("h", samples).tobytes())
    file = encoder.finish()
    return Spoken(audio=file, seconds=FORMATS[form].read(file).seconds, marks=None)


class HeldQueue:
    """A queue that delivers nothing by itself."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, memo_id: str) -> None:
        self.sent.append(memo_id)

    async def close(self) -> None:
        """Close nothing."""


class LongMemoWorld:
    """Processes on one store, one folder and one provider. Time passes only when a test or a process waits."""

    def __init__(self, store: Store, folder: Path, clock: FakeClock) -> None:
        self.store = store
        self.folder = folder
        self.files = FolderFiles(folder)
        self.clock = clock
        self.voices = ToneVoices()
        self.queue = HeldQueue()

    def process(self, steps: Steps | None = None) -> Services:
        """Return the services of a new process, which `steps` may kill."""
        steps = steps or Steps()
        files: AudioFiles = SteppedFiles(self.files, steps)
        audio = AudioPlace(lambda: (files, _nothing))
        speakers = Speakers(
            dict.fromkeys(Tier, SpeechChoice.LOCAL),
            adapters={SpeechChoice.LOCAL: lambda: (SteppedVoices(self.voices, steps), _nothing)},
            audio=audio,
            clock=self.clock,
            sleep=self.sleep,
        )
        return Services.on(
            SteppedStore(self.store, steps),
            Settings(session_secret=SECRET, attempts=AttemptLimits(signups_per_address=1000)),
            passwords=cheap_passwords(),
            clock=self.clock,
            audio=audio,
            speakers=speakers,
            queue=self.queue,
        )

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def lease_ends(self) -> None:
        self.clock.advance(timedelta(seconds=LEASE_S + 1))

    def kept(self) -> list[str]:
        """Return the objects of the audio place."""
        return sorted(
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path.is_file() and path.parent.name != "tmp"
        )


async def _nothing() -> None:
    """Close nothing: nothing was opened."""
