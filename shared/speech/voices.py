"""The twelve voices, in the order in which answers list them."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Voice:
    id: str
    name: str
    gender: str
    description: str


VOICES: Final = {
    voice.id: voice
    for voice in (
        Voice(id=name.lower(), name=name, gender=gender, description=description)
        for name, gender, description in (
            ("Rachel", "female", "Calm, professional"),
            ("Domi", "female", "Strong, confident"),
            ("Bella", "female", "Soft, warm"),
            ("Adam", "male", "Deep narration"),
            ("Sam", "male", "Conversational"),
            ("Charlie", "male", "Casual conversational"),
            ("Emily", "female", "Soft, gentle"),
            ("Ethan", "male", "Young male"),
            ("Freya", "female", "Young, energetic"),
            ("Dorothy", "female", "Storyteller"),
            ("Bill", "male", "Mature male"),
            ("Sarah", "female", "Professional female"),
        )
    )
}
