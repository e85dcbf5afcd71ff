"""Make the samples of our own voices, one sentence each: `python -m tools.samples`.

They are committed and served unchanged, so that listening to a voice needs no model.
"""

import asyncio
from pathlib import Path
from typing import Final

from shared.speech.local import LocalVoices
from shared.speech.samples import FOLDER
from shared.speech.voices import VOICES

TEXT: Final = "Hello, this is {name} speaking."
"""Short, since a listener compares twelve samples, and each file is loaded completely."""


async def make(folder: Path) -> None:
    """Write `<voice>.mp3` of every voice into the folder."""
    voices = LocalVoices()
    for voice in VOICES.values():
        spoken = await voices.speak(voices.reading(TEXT.format(name=voice.name)), voice)
        file = folder / f"{voice.id}.mp3"
        file.write_bytes(spoken.audio)
        print(f"{file.name}: {spoken.seconds:.1f} s, {len(spoken.audio)} bytes")


if __name__ == "__main__":
    asyncio.run(make(FOLDER))
