"""Each of our own voices saying one sentence, as MP3 files beside this module. `python -m tools.samples` makes them."""

from pathlib import Path
from typing import Final

from shared.speech.voices import VOICES

FOLDER: Final = Path(__file__).parent


def sample(voice: str) -> bytes | None:
    """Return the MP3 of a voice's sample by the voice's id. None: there is no such voice."""
    return (FOLDER / f"{voice}.mp3").read_bytes() if voice in VOICES else None
