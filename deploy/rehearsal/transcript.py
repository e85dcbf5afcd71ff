"""The output of the rehearsal, and the exception that ends it at a fault."""

import re


class NotAsItShould(Exception):
    """A fault that the rehearsal found, as a sentence."""


def expect(right: bool, otherwise: str) -> None:  # noqa: FBT001 it reads as a sentence
    """Raise NotAsItShould with `otherwise`, unless `right`."""
    if not right:
        raise NotAsItShould(otherwise)


def shortened(text: str) -> str:
    """Return the beginning of a text, enough for a transcript, without keys and sessions."""
    return re.sub(r"(at_live_|eyJ)[\w.-]+", r"\1…", text)[:150].replace("\n", " ")


def tell(step: str) -> None:
    print(f"\n== {step}", flush=True)
