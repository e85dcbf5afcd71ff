"""The bounds of the checks of spoilt audio, in samples of known loudness. A granule is 24 ms, a step is 1.5 dB."""

from struct import pack

import pytest

from shared.audio.ogg import silence
from shared.audio.wav import with_header
from shared.core.errors import SpeechFailed
from shared.speech.spoilt import check_audio

RATE = 24_000
GRANULE = 576
TEXT = "word " * 40
"""A text that may take 5.4 to 49 s."""
LOUD = 190
FULL = 210
SILENT = None

Run = tuple[int | None, int]
"""The gain and the number of granules; None: digital silence."""

SPEECH: list[Run] = [(LOUD, 5), (LOUD - 12, 5)] * 20
"""4.8 s, in which no granule is quiet, and no three seconds are steady."""


def wav(*runs: Run) -> bytes:
    """Return square waves with the granules of each run."""
    sound = b""
    for gain, count in runs:
        value = 0 if gain is None else min(32_767, round(32_768 * 10 ** ((gain - FULL) * 1.5 / 20)))
        sound += pack("<2h", value, -value) * (GRANULE // 2 * count)
    return with_header(sound, RATE)


def reason(audio: bytes, text: str = TEXT, form: str = "wav") -> str:
    """Return the check's reason; empty: the audio passes."""
    try:
        check_audio(audio, text, form)
    except SpeechFailed as exc:
        return str(exc.message)
    return ""


@pytest.mark.parametrize(
    ("text", "least_s", "most_s"),
    [
        ("word " * 40, 5.4, 49.0),
        ("one two three", 0.0, 4.36),
        ("one two three " * 10, 3.48, 34.6),
        ("a" * 19 + " b", 0.0, 6.28),
        (f"{'a' * 20} {'b' * 30} {'c' * 200}", 1.016, 61.48),
        ("100%", 0.0, 12.52),
        ("7 + 7 = 14 " * 10, 1.24, 185.8),
        (f"prologue {'. ' * 30}", 0.0, 96.76),
        ("- - - - " * 10 + "one " * 20, 1.56, 145.0),
        ("WWW", 0.0, 3.16),
        ("no\n" * 10, 0.0, 34.6),
    ],
)
def test_length_is_bounded_by_the_text(text: str, least_s: float, most_s: float) -> None:
    """The bounds are 0.4 and 3 times 0.08 s a character, and a second of silence more or less.

    A word counts up to 20 characters at least, and a word of signs none. A sign or a line's end counts up to 12 at
    most, and a capital 3. Opus has no other check.
    """
    for seconds, fits in (
        (least_s - 0.01, False),
        (least_s + 0.01, True),
        (most_s - 0.01, True),
        (most_s + 0.01, False),
    ):
        if seconds > 0:
            said = reason(silence(round(48_000 * seconds)), text, "opus")
            assert (said == "") is fits, seconds
            assert fits or said.startswith("The audio takes"), said


def test_speech_passes() -> None:
    assert reason(wav(*SPEECH, *SPEECH)) == ""


@pytest.mark.parametrize(
    ("gain", "count", "is_hole"),
    [(LOUD - 19, 63, True), (LOUD - 19, 61, False), (LOUD - 18, 63, False), (SILENT, 63, True), (SILENT, 61, False)],
)
def test_hole_is_27_db_below_and_lasts_1_5_s(gain: int | None, count: int, *, is_hole: bool) -> None:
    """A hole is found anywhere, the ends included."""
    for at in (0, len(SPEECH), 2 * len(SPEECH)):
        runs = [*SPEECH, *SPEECH]
        runs[at:at] = [(gain, count)]
        assert reason(wav(*runs)) == ("The audio has a hole of 1.5 s" if is_hole else "")


@pytest.mark.parametrize(("pauses", "holes"), [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3)])
def test_each_pause_of_the_text_explains_one_hole(pauses: int, holes: int) -> None:
    runs = [*SPEECH, *[(SILENT, 70), *SPEECH] * holes]
    for pause in ("\n", "...", "…"):
        said = reason(wav(*runs, *SPEECH), TEXT + pause.join(["word "] * (pauses + 1)))
        assert said == ("The audio has a hole of 1.7 s" if holes > pauses else "")


@pytest.mark.parametrize(
    ("gain", "count", "is_steady"), [(9, 126, True), (9, 124, False), (10, 126, False), (0, 126, True)]
)
def test_noise_is_steady_within_15_db_for_3_s(gain: int, count: int, *, is_steady: bool) -> None:
    """Three seconds without a granule 15 dB below the loud ones are a steady noise."""
    runs = [*SPEECH, (LOUD - gain, count), (LOUD - 12, 5), *SPEECH]
    assert reason(wav(*runs)) == ("The audio is a steady noise" if is_steady else "")


@pytest.mark.parametrize(("clipped", "is_clipped"), [(100, True), (99, False)])
def test_audio_is_clipped_in_its_loudest_quarter(clipped: int, *, is_clipped: bool) -> None:
    """Audio is clipped if the 100 loudest of 400 granules reach full scale."""
    runs = [(FULL, 1), (FULL - 12, 3)] * clipped + [(FULL - 12, 400 - 4 * clipped)]
    assert reason(wav(*runs)) == ("The audio is clipped" if is_clipped else "")


@pytest.mark.parametrize(("sounding", "says"), [(39, "The audio is silent"), (40, "The audio has a hole of 8.6 s")])
def test_audio_is_silent_in_nine_tenths_of_its_time(sounding: int, says: str) -> None:
    """Audio with sound in less than a tenth of its time is silent. With more, the rest is a hole."""
    assert reason(wav((LOUD, sounding), (SILENT, 400 - sounding))) == says
