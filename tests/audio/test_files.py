"""Names of the audio place: the facts that they reveal, and those that they hide."""

import re

import pytest

from shared.audio.files import (
    MEDIA_TYPES,
    audio,
    checked,
    closed,
    file_of,
    is_file,
    lease,
    making,
    media_type,
    new_file,
    owner_digest,
    piece,
)


def test_new_file_begins_with_the_owners_digest() -> None:
    """All of an owner's files have one prefix, which no other owner has and which does not contain the owner's id."""
    files = [new_file("0190b5a2c3d4", random_hex=lambda _: "f" * 32) for _ in range(2)]
    assert files[0] == f"{owner_digest('0190b5a2c3d4')}-{'f' * 32}.mp3"
    assert "0190b5a2c3d4" not in files[0]
    assert owner_digest("0190b5a2c3d5") != owner_digest("0190b5a2c3d4")


def test_new_file_asks_for_128_random_bits() -> None:
    asked: list[int] = []

    def random_hex(count: int) -> str:
        asked.append(count)
        return "0" * 2 * count

    new_file("ada", random_hex=random_hex)
    assert asked == [16]
    assert len({new_file("ada") for _ in range(1000)}) == 1000


@pytest.mark.parametrize("ending", MEDIA_TYPES)
def test_new_file_has_names_in_every_area(ending: str) -> None:
    file = new_file("ada", ending)
    assert is_file(file)
    assert media_type(file) == MEDIA_TYPES[ending]
    for name in (audio(file), making(file), piece(file, 0), piece(file, 99_999), closed(owner_digest("ada"))):
        assert checked(name) == name
        assert re.fullmatch(r"[a-z0-9./-]+", name)


@pytest.mark.parametrize("number", [0, 7, 99_999])
def test_file_of_finds_the_file_in_every_area(number: int) -> None:
    """A file's own name contains a hyphen too, and the numbers of parts and turns are no part of it."""
    file = new_file("ada")
    names = (audio(file), making(file), piece(file, number), lease(file, number, number % 1000))
    assert [file_of(name) for name in names] == [file] * len(names)


@pytest.mark.parametrize(
    "text", ["", "x", "simulated-5.mp3", f"{'0' * 32}-{'0' * 31}.mp3", f"{'0' * 32}-{'0' * 32}.MP3"]
)
def test_is_file_knows_its_own_form_alone(text: str) -> None:
    assert not is_file(text)
