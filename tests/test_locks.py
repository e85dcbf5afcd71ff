"""The locked requirements: `make lock` renews all of them together."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def pins(name: str) -> set[str]:
    """Return the `package==version` lines of a lock, with their markers."""
    return set(re.findall(r"^[\w.\[\]-]+==[^\\\n]+?(?= *\\?$)", (ROOT / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("lock", "extended"),
    [
        ("requirements-dev.txt", "requirements.txt"),
        ("requirements-speech.txt", "requirements.txt"),
        ("requirements-hearing.txt", "requirements-dev.txt"),
        ("requirements-mutants.txt", "requirements-dev.txt"),
    ],
)
def test_lock_has_all_that_it_extends(lock: str, extended: str) -> None:
    """A lock has the versions of the one that it extends. If it was not renewed, newer imports are missing."""
    assert len(pins(extended)) > 10
    assert pins(extended) - pins(lock) == set()
