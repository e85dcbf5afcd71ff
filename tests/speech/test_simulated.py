from io import BytesIO
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from mutagen.mp3 import MONO, MP3

from shared.audio.formats import FORMATS
from shared.core.text import characters
from shared.speech.simulated import MAX_SIMULATED_TENTHS, SimulatedSpeech, simulated_audio, simulated_file
from shared.speech.voices import VOICES
from shared.web.ranges import Part, requested_part
from tests.support import repeatable

_SAMPLES = 576
_RATE_HZ = 24_000


def frames(audio: bytes) -> int:
    """Return the number of MPEG-2 Layer III frames, by following their headers (ISO/IEC 13818-3)."""
    count = at = 0
    while at < len(audio):
        header = int.from_bytes(audio[at : at + 4])
        assert header >> 21 == 0x7FF, "a frame begins with its sync word"
        assert (header >> 19 & 3, header >> 17 & 3, header >> 16 & 1) == (0b10, 0b01, 1), "MPEG-2, Layer III, no CRC"
        assert (header >> 12 & 15, header >> 10 & 3, header >> 9 & 1) == (1, 1, 0), "8 kbit/s, 24 kHz, unpadded"
        at += 72 * 8000 // _RATE_HZ
        count += 1
    assert at == len(audio), "the last frame is whole"
    return count


def simulated(tenths: int) -> bytes:
    audio = simulated_audio(simulated_file(tenths))
    assert audio is not None
    return audio


@pytest.mark.parametrize("tenths", [0, 1, 2, 7, 10, 123, 599, 600])
def test_simulated_audio_is_frames_of_the_estimated_duration(tenths: int) -> None:
    duration_s = frames(simulated(tenths)) * _SAMPLES / _RATE_HZ
    assert duration_s == pytest.approx(tenths / 10, abs=0.024)
    assert duration_s > 0


@pytest.mark.parametrize("tenths", [1, 10, 600])
def test_simulated_audio_is_an_mp3_that_players_read(tenths: int) -> None:
    info: Any = MP3(BytesIO(simulated(tenths))).info  # type: ignore[no-untyped-call]
    assert (info.version, info.layer, info.sample_rate, info.bitrate, info.mode) == (2, 3, _RATE_HZ, 8000, MONO)
    assert not info.sketchy
    assert info.length == pytest.approx(tenths / 10, abs=0.024)


def test_simulated_audio_is_silent() -> None:
    """No frame has main data: its side information is all zeros."""
    assert {simulated(10)[at : at + 24][4:] for at in range(0, 240, 24)} == {bytes(20)}


@pytest.mark.parametrize("form", ["wav", "opus"])
@pytest.mark.parametrize("tenths", [0, 1, 10, 123, 600])
def test_other_formats_are_silent_and_exact(tenths: int, form: str) -> None:
    """A player of each format plays digital silence of exactly the length in the name."""
    audio = simulated_audio(simulated_file(tenths, form))
    assert audio is not None
    sound, rate = soundfile.read(BytesIO(audio))
    assert len(sound) == tenths * rate // 10
    assert not np.any(np.abs(sound) > 1e-9)
    assert FORMATS[form].read(audio).seconds == tenths / 10


@pytest.mark.parametrize("tenths", [601, 9999, 80_000, 999_999])
def test_simulated_audio_is_60_s_at_most(tenths: int) -> None:
    assert simulated(tenths) == simulated(MAX_SIMULATED_TENTHS)
    assert len(simulated(tenths)) == 60_000


@pytest.mark.parametrize(
    "file",
    [
        "",
        "simulated-.mp3",
        "simulated--1.mp3",
        "simulated-01.mp3",
        "simulated-1.mp3\n",
        "simulated-1.flac",
        "simulated-1000000.mp3",
        "simulated-1_0.mp3",
        "simulated-\u0661.mp3",
        "SIMULATED-1.mp3",
        "../simulated-1.mp3",
        "x.mp3",
    ],
)
def test_other_names_are_no_simulated_audio(file: str) -> None:
    assert simulated_audio(file) is None


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "seconds"),
    [("a", 0.1), ("ab", 0.2), ("abc", 0.2), ("Hello", 0.4), ("x" * 100, 8.0), ("👩", 0.2), ("x" * 5000, 400.0)],
)
async def test_a_text_takes_0_08_s_a_character(text: str, seconds: float) -> None:
    speech = await SimulatedSpeech().speak(text, VOICES["adam"], file="")
    assert speech.duration_seconds == seconds
    assert speech.audio_url == f"/audio/simulated-{round(seconds * 10)}.mp3"


@pytest.mark.parametrize(("text", "count"), [("", 0), ("abc", 3), ("é", 1), ("e\u0301", 2), ("👩\u200d🚀", 5)])
def test_characters_are_utf_16_code_units(text: str, count: int) -> None:
    assert characters(text) == count


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=10-19", 10, 20),
        ("bytes=10-", 10, 100),
        ("bytes=10-1000", 10, 100),
        ("bytes=-1", 99, 100),
        ("bytes=-100", 0, 100),
        ("bytes=-1000", 0, 100),
        ("bytes=99-", 99, 100),
        (" bytes=1-2 ", 1, 3),
    ],
)
def test_a_range_is_answered_with_its_bytes(header: str, start: int, end: int) -> None:
    assert requested_part(header, 100) == Part(start=start, end=end, total=100, is_range=True)


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=999999-"])
def test_a_range_outside_the_file_cannot_be_satisfied(header: str) -> None:
    assert requested_part(header, 100) is None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=5-4",
        "bytes=0-1,4-5",
        "bytes=a-b",
        "items=0-1",
        "bytes 0-1",
        "bytes=0-1;",
        f"bytes=0-{'9' * 5000}",
    ],
)
def test_range_header_asks_for_the_whole_file_when_not_single(header: str | None) -> None:
    assert requested_part(header, 100) == Part(start=0, end=100, total=100, is_range=False)


@repeatable
@given(st.text(), st.integers(1, 10**9))
def test_whatever_is_asked_a_part_lies_within_the_file(header: str, total: int) -> None:
    for asked in (header, f"bytes={header}"):
        part = requested_part(asked, total)
        assert part is None or 0 <= part.start < part.end <= part.total == total
