"""The texts that a plan and its voices admit, and the length in a refusal."""

from dataclasses import dataclass, field

import pytest

from shared.core.errors import ValidationFailed
from shared.memos.admissible import check_voices
from shared.memos.requests import Draft
from shared.speech.simulated import SimulatedSpeech
from shared.speech.voices import VOICES


@dataclass(eq=False)
class Slow(SimulatedSpeech):
    """Voices that speak ten characters within a request, and make MP3 of up to twenty."""

    quick_characters: int | None = 10  # type: ignore[assignment] # the simulation has no limit
    formats: dict[str, int | None] = field(default_factory=lambda: {"mp3": 20})


@pytest.mark.parametrize(
    ("text", "reading", "is_at_once", "limit", "provided"),
    [
        ("a" * 11, "a" * 11, True, 10, 11),
        ("a 12", "a twelve, in words", True, 10, 18),
        ("a" * 21, "a" * 21, True, 10, 21),
        ("a" * 21, "a" * 21, False, 20, 21),
        ("a" * 21, "a", True, 20, 21),
    ],
)
def test_check_voices_names_the_bound_that_was_passed(
    text: str, reading: str, *, is_at_once: bool, limit: int, provided: int
) -> None:
    """The bound is that of immediate texts, or the format's. `provided` is always above it."""
    draft = Draft(text=text, voice=VOICES["adam"], is_at_once=is_at_once)
    with pytest.raises(ValidationFailed) as refused:
        check_voices(Slow(), draft, reading)
    assert refused.value.details == {"field": "text", "limit": limit, "provided": provided}


@pytest.mark.parametrize(
    ("text", "reading", "is_at_once"),
    [("a" * 10, "a" * 10, True), ("a" * 20, "a" * 20, False), ("a" * 20, "a" * 10, True)],
)
def test_check_voices_takes_what_its_bounds_say(text: str, reading: str, *, is_at_once: bool) -> None:
    """A text as long as its bound is taken."""
    check_voices(Slow(), Draft(text=text, voice=VOICES["adam"], is_at_once=is_at_once), reading)
