"""Our own voices: a text becomes sound on this machine, without a key or a network. The default of `make run`.

The first text loads the model. A process says one text at a time, in a thread, so the event loop never waits for it.
"""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Final

from shared.core.errors import SpeechFailed
from shared.speech.encoding import RATE, OpenEncoder, available_encoders
from shared.speech.english import in_english
from shared.speech.spoken import Spoken
from shared.speech.timbres import TIMBRES
from shared.speech.voices import Voice

if TYPE_CHECKING:
    from shared.speech.model import Model

_MAX_CHARACTERS: Final = 20_000
"""Characters of one call: some 20 minutes of sound, 7 MB, and 12 s of CPU. The sound is encoded sentence by sentence,
so memory does not bound it."""

_QUICK_CHARACTERS: Final = 2_000
"""Characters of some 2 minutes of sound, or 1.3 s of a whole CPU, for which all other texts of the process wait."""

_log = logging.getLogger("agent_talk.speech")


class LocalVoices:
    """The twelve voices, from one model. Repeats of a text in one voice are the same bytes on one kind of processor."""

    max_characters = _MAX_CHARACTERS
    quick_characters = _QUICK_CHARACTERS

    def __init__(self, *, encoders: Mapping[str, OpenEncoder] | None = None) -> None:
        self._encoders = available_encoders() if encoders is None else encoders
        self.formats = self._encoders.keys()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="voices")
        self._model: Model | None = None

    def reading(self, cleaned: str) -> str:
        return in_english(cleaned)

    async def speak(self, text: str, voice: Voice, *, form: str = "mp3") -> Spoken:
        """Say a text that `reading` returned. If the caller is cancelled, the work ends within a sentence.

        Raises SpeechFailed if the text has no sound, or the model or the encoder fails.
        """
        stopped = Event()
        saying = asyncio.get_running_loop().run_in_executor(self._thread, self._say, text, voice, form, stopped)
        try:
            return await saying
        finally:
            stopped.set()

    def _say(self, text: str, voice: Voice, form: str, stopped: Event) -> Spoken:
        model = self._loaded()
        encoder, length = self._encoders[form](RATE), 0
        for samples in model.say(text, TIMBRES[voice.id]):
            if stopped.is_set():
                raise SpeechFailed("The text is not wanted any more", details={"provider": "local"})
            encoder.add(samples)
            length += len(samples) // 2
        if not length:
            raise SpeechFailed("The text has no sound", details={"provider": "local"})
        return Spoken(audio=encoder.finish(), seconds=length / RATE, marks=None)

    def _loaded(self) -> "Model":
        if self._model is None:
            try:
                # numpy and onnxruntime: half a second, and 100 MB
                from shared.speech.model import Model  # noqa: PLC0415
            except ModuleNotFoundError as exc:
                _log.error("our own voices are not in this archive: deploy the one that `make bundle-speech` builds")
                raise SpeechFailed("The voices are not installed", details={"provider": "local"}) from exc
            self._model = Model()
        return self._model
