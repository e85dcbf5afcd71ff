"""From a text to a stored file: the text is cleaned, cut and said, its audio joined, checked and put into the place."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from shared.audio.files import AudioFiles, AudioPlaceFailed, NameTaken, audio, delete_file, format_of
from shared.audio.formats import FORMATS
from shared.audio.length import BadAudio
from shared.audio.wav import samples_of
from shared.core.errors import SpeechFailed
from shared.core.request import time_left_s
from shared.core.text import characters
from shared.speech.cleaning import cleaned
from shared.speech.cutting import pieces
from shared.speech.encoding import OpenEncoder, available_encoders
from shared.speech.piecewise import Piecewise
from shared.speech.spoken import Spoken
from shared.speech.synthesizer import Speech, VoiceAdapter
from shared.speech.voices import Voice

PUT_S: Final = 2.5
"""Seconds of a request that saying leaves for keeping the audio and writing the memo. With more, long texts that are
said in time would fail; with less, Lambda could stop the function while it writes."""

MOST_AS_SAMPLES: Final = 20_000
"""The most characters of a text that is kept as samples, or encoded from a provider's samples: half an hour, 80 MB."""

WRITE_S: Final = 1.0
"""Seconds that keeping the audio leaves for writing the memo."""


class StoredSpeech:
    """Says texts with one adapter, and keeps each as one file. `provider` is its name in errors."""

    def __init__(
        self,
        adapter: VoiceAdapter,
        files: AudioFiles,
        *,
        provider: str,
        time_left_s: Callable[[], float] = time_left_s,
        piecewise: Piecewise,
        encoders: Mapping[str, OpenEncoder] | None = None,
    ) -> None:
        self.provider = provider
        self._adapter = adapter
        self._files = files
        self._piecewise = piecewise
        self._time_left_s = time_left_s
        self._encoders = available_encoders() if encoders is None else encoders

    @property
    def formats(self) -> Mapping[str, int | None]:
        """The adapter's formats, and those that deployed encoders make of its samples."""
        brought = self._adapter.formats
        made = brought | self._encoders.keys() if "wav" in brought else brought
        long = brought - {"wav"}
        return {form: None if form in long else MOST_AS_SAMPLES for form in FORMATS if form in made}

    def reading(self, text: str) -> str:
        said = cleaned(text)
        return self._adapter.reading(said) if said else ""

    @property
    def quick_characters(self) -> int | None:
        return self._adapter.quick_characters

    async def speak(self, reading: str, voice: Voice, *, file: str) -> Speech:
        """Say a reading within the request's time. Raises SpeechFailed, AudioPlaceFailed."""
        try:
            async with asyncio.timeout(max(0.0, self._time_left_s() - PUT_S)):
                said = await self._said(self.cut(reading, self._adapter.max_characters), voice, self._brought(file))
                content, seconds = await asyncio.to_thread(self._one_file, [piece.audio for piece in said], file)
        except TimeoutError as exc:
            raise SpeechFailed("The speech took too long", details={"provider": self.provider}) from exc
        try:
            async with asyncio.timeout(max(0.0, self._time_left_s() - WRITE_S)):
                return await self._put(file, content, seconds)
        except TimeoutError as exc:
            raise AudioPlaceFailed("put", "the request's time was up") from exc

    async def kept(self, file: str) -> Speech | None:
        content = await self._files.read(audio(file))
        if content is None:
            return None
        try:
            return _speech(file, (await asyncio.to_thread(FORMATS[format_of(file)].read, content)).seconds)
        except BadAudio as exc:
            raise AudioPlaceFailed("read", f"{file} is not of its format: {exc}") from exc

    async def speak_long(self, reading: str, voice: Voice, *, file: str, time_left_s: Callable[[], float]) -> float:
        """Say a reading in pieces of at most `quick_characters`, as the port promises.

        All workers make the same file of the same pieces.
        """
        texts = self.cut(reading, self._adapter.quick_characters)
        parts = await self._piecewise.said(
            self._adapter, texts, voice, file=file, form=self._brought(file), time_left_s=time_left_s
        )
        content, seconds = await asyncio.to_thread(self._one_file, parts, file)
        return (await self._put(file, content, seconds)).duration_seconds

    async def discard(self, file: str) -> None:
        await delete_file(self._files, file)

    def cut(self, reading: str, most: int) -> Sequence[str]:
        """Return the pieces of a reading in order, of at most `most` characters. Pieces without sound are left out."""
        if characters(reading) <= most:
            return (reading,)
        if characters(reading) > len(reading):
            most //= 2  # cutting counts characters, and `most` code units, of which some characters have two
        return tuple(piece for piece in pieces(reading, most) if any(map(str.isalnum, piece)))

    async def _put(self, file: str, content: bytes, seconds: float) -> Speech:
        """Keep the audio. If another run or worker was faster, return its audio instead."""
        try:
            await self._files.put(audio(file), content)
        except NameTaken as exc:
            kept = await self.kept(file)
            if kept is None:
                raise AudioPlaceFailed("put", "the name was taken, and then absent") from exc
            return kept
        return _speech(file, seconds)

    async def _said(self, texts: Sequence[str], voice: Voice, form: str) -> Sequence[Spoken]:
        """Say the pieces, at the same time if the adapter allows it. The first failure cancels the others."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._adapter.speak(text, voice, form=form)) for text in texts]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return [task.result() for task in tasks]

    def _brought(self, file: str) -> str:
        """Return the format to request from the adapter: the file's, or samples to encode."""
        form = format_of(file)
        return form if form in self._adapter.formats else "wav"

    def _one_file(self, parts: Sequence[bytes], file: str) -> tuple[bytes, float]:
        """Return the pieces as one file, and its length in seconds. Raises SpeechFailed if they are not whole."""
        form, brought = format_of(file), self._brought(file)
        try:
            content = parts[0] if len(parts) == 1 else FORMATS[brought].joined(parts)
            if form != brought:
                content = self._encoded(content, form)
            length = FORMATS[form].read(content)
        except BadAudio as exc:
            raise SpeechFailed(f"The audio is not {form}: {exc}", details={"provider": self.provider}) from exc
        if not length.whole:
            raise SpeechFailed("The audio is cut off", details={"provider": self.provider})
        return content, length.seconds

    def _encoded(self, wav: bytes, form: str) -> bytes:
        samples, rate = samples_of(wav)
        encoder = self._encoders[form](rate)
        encoder.add(samples)
        return encoder.finish()


def _speech(file: str, seconds: float) -> Speech:
    return Speech(audio_url=f"/audio/{file}", duration_seconds=round(seconds, 6))
