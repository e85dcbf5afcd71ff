"""The reading of a text for a voice, without stopping the event loop."""

import asyncio
from typing import Final

from shared.speech.synthesizer import Synthesizer

READ_AT_ONCE: Final = 2_000
"""The most characters that are read in the event loop, in some 10 ms. For a short text a thread would cost more."""


async def read_text(speaker: Synthesizer, text: str) -> str:
    """Return the speaker's reading of a text. A long text takes up to a second, so a thread reads it."""
    if len(text) > READ_AT_ONCE:
        return await asyncio.to_thread(speaker.reading, text)
    return speaker.reading(text)
