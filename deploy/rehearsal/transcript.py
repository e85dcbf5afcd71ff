"""What the rehearsal prints, and how it ends when something is not as it should be."""

import re


class NotAsItShould(Exception):
    """What the rehearsal found."""


def expect(right: bool, otherwise: str) -> None:  # noqa: FBT001 it reads as a sentence
    """Raises NotAsItShould."""
    if not right:
        raise NotAsItShould(otherwise)


def shortened(text: str) -> str:
    """As much as a transcript needs, without keys and sessions."""
    return re.sub(r"(at_live_|eyJ)[\w.-]+", r"\1…", text)[:150].replace("\n", " ")


def tell(step: str) -> None:
    print(f"\n== {step}", flush=True)
