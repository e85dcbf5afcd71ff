"""Measure our own voices: CPU against the model alone, in turn, and memory: `make bench-speech`.

The floor is hibari's public call in its own voice, without timbre, loudness, limits, fades and MP3.
"""

import asyncio
import resource
import statistics
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hibari import SAMPLE_RATE, Hibari

from shared.audio.files import making, new_file
from shared.audio.folder import FolderFiles
from shared.speech.cleaning import cleaned
from shared.speech.cutting import pieces
from shared.speech.local import LocalVoices
from shared.speech.piecewise import Piecewise
from shared.speech.stored import StoredSpeech
from shared.speech.voices import VOICES

READY_S: Final = 150.0
"""The goal for the longest text, in seconds until it is ready."""

_TEXT: Final = (
    "The weather will be cold and clear tomorrow morning. Please take a warm coat with you, and call your mother when "
    "you arrive at the station. "
)
_UNPUNCTUATED: Final = "word and then some "


def main() -> None:
    voices = LocalVoices()

    def ours(text: str) -> float:
        return asyncio.run(_all_pieces(voices, text))

    began = time.process_time()
    ours(_TEXT)
    print(f"first text, with the model's loading: {time.process_time() - began:.2f} s of CPU\n")
    print(
        "| text | sound | CPU | of a second of sound | the model alone | ratio | peak |\n|---|---|---|---|---|---|---|"
    )
    for name, text in (
        ("20,000 characters", (_TEXT * 150)[:20_000]),
        ("20,000 without punctuation", (_UNPUNCTUATED * 1_100)[:20_000]),
    ):
        _row(name, text, 1, ours, None)
    floor = Hibari(threads=1)  # after the rows above: a second model would count in their memory
    for name, text, runs in (("60 characters", _TEXT[:52], 30), ("1,000 characters", (_TEXT * 8)[:1_000], 7)):
        _row(name, text, runs, ours, lambda said: len(floor(said, seed=0)) / SAMPLE_RATE)
    asyncio.run(_long_memo(voices, (_TEXT * 750)[:100_000], lambda said: len(floor(said, seed=0)) / SAMPLE_RATE))


async def _long_memo(voices: LocalVoices, text: str, floor: Callable[[str], float]) -> None:
    """Speak the longest text as the speaker does: piece by piece into a folder, and joined.

    The floor speaks a part of it before and after, since other programs slow both down.
    """
    alone = [_rtf(floor, text[:2_000])]
    with TemporaryDirectory() as folder:
        files, file = FolderFiles(Path(folder)), new_file("bench")
        await files.put(making(file), b"")
        speech = StoredSpeech(voices, files, provider="local", piecewise=Piecewise(files))
        began, cpu = time.perf_counter(), time.process_time()
        sound_s = await speech.speak_long(speech.reading(text), VOICES["sam"], file=file, time_left_s=lambda: inf)
        ready_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    alone.append(_rtf(floor, text[:2_000]))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"\n{len(text)} characters: ready in {ready_s:.0f} s (bound: {READY_S:.0f}) with {cpu_s:.0f} s of CPU, "
        f"{sound_s:.0f} s of sound, {cpu_s / sound_s / statistics.mean(alone):.2f} of the model alone, "
        f"peak {peak_mb} MB"
    )


def _rtf(say: Callable[[str], float], text: str) -> float:
    """Return the seconds of CPU for a second of sound."""
    began = time.process_time()
    sound_s = say(text)
    return (time.process_time() - began) / sound_s


async def _all_pieces(voices: LocalVoices, text: str) -> float:
    """Speak a text in as many calls as it needs, and return the seconds of sound."""
    parts = pieces(voices.reading(cleaned(text)), voices.quick_characters)
    return sum([(await voices.speak(part, VOICES["sam"])).seconds for part in parts])


def _row(name: str, text: str, runs: int, ours: Callable[[str], float], floor: Callable[[str], float] | None) -> None:
    sound_s, cpu_s, floor_rtf = 0.0, [], []
    for _ in range(runs):
        began = time.process_time()
        sound_s = ours(text)
        cpu_s.append(time.process_time() - began)
        if floor is not None:
            began = time.process_time()
            floor_s = floor(text)
            floor_rtf.append((time.process_time() - began) / floor_s)
    rtf = statistics.median(cpu_s) / sound_s
    alone = f"{statistics.median(floor_rtf):.4f} | {rtf / statistics.median(floor_rtf):.2f}" if floor_rtf else " | "
    median_s = statistics.median(cpu_s)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"| {name} | {sound_s:.1f} s | {median_s:.3f} s | {rtf:.4f} | {alone} | {peak_mb} MB |",
        flush=True,
    )


if __name__ == "__main__":
    main()
