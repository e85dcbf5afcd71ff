"""Reading a text for a voice, without stopping the event loop."""

import asyncio
from typing import Final

from shared.speech.synthesizer import Synthesizer

READ_AT_ONCE: Final = 2_000
"""Characters that the event loop reads itself, in some 10 ms. A thread costs more than a short text's reading."""


async def read_text(speaker: Synthesizer, text: str) -> str:
    """Return what the speaker says of a text. Long texts take up to a second, so a thread reads them."""
    if len(text) > READ_AT_ONCE:
        return await asyncio.to_thread(speaker.reading, text)
    return speaker.reading(text)
