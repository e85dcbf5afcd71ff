import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.cursors import Cursors
from shared.core.errors import ValidationFailed
from tests.support import SECRET, repeatable

CURSORS = Cursors(SECRET)
SCOPE = ("memos", "owner", None)


def sealed(scope: tuple[str | None, ...] = SCOPE, after: str = "0" * 32) -> str:
    cursor = CURSORS.seal(scope, after)
    assert cursor is not None
    return cursor


@repeatable
@given(st.text("abcdefXYZ019_.-", max_size=128))
def test_a_cursor_opens_to_where_it_was_sealed(after: str) -> None:
    assert CURSORS.open(SCOPE, sealed(after=after)) == after


def test_no_cursor_means_the_beginning_and_the_end_has_none() -> None:
    assert CURSORS.open(SCOPE, None) is None
    assert CURSORS.seal(SCOPE, None) is None


def test_a_cursor_is_of_the_alphabet_of_urls() -> None:
    assert set(sealed()) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_cursor_opens_for_every_holder_of_the_secret() -> None:
    assert Cursors(SECRET).open(SCOPE, sealed(after="x")) == "x"


@pytest.mark.parametrize(
    "scope",
    [
        ("memos", "other", None),
        ("logs", "owner", None),
        ("memos", "owner", "adam"),
        ("memos", "owner", "None"),
        ("memos", "owner"),
        ("memos", "owner", None, None),
        ("memos', 'owner", None),
        (),
    ],
)
def test_a_cursor_of_another_list_is_refused(scope: tuple[str | None, ...]) -> None:
    with pytest.raises(ValidationFailed):
        CURSORS.open(SCOPE, sealed(scope))
    with pytest.raises(ValidationFailed):
        CURSORS.open(scope, sealed())


def test_a_cursor_of_another_secret_is_refused() -> None:
    with pytest.raises(ValidationFailed):
        Cursors("another secret").open(SCOPE, sealed())


def test_a_truncated_cursor_is_refused_wherever_it_is_cut() -> None:
    whole = sealed()
    for length in range(len(whole)):
        with pytest.raises(ValidationFailed):
            CURSORS.open(SCOPE, whole[:length])


def test_a_cursor_with_any_character_changed_is_refused() -> None:
    whole = sealed(after="0" * 29)  # 45 bytes: no bit of base64 is without meaning
    for at, character in enumerate(whole):
        changed = whole[:at] + ("A" if character != "A" else "B") + whole[at + 1 :]
        with pytest.raises(ValidationFailed):
            CURSORS.open(SCOPE, changed)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        " ",
        "=",
        "====",
        "é",
        "👩",
        "\ud800",
        "\x00",
        "a",
        "not+base64/",
        "0" * 32,
        "A" * 5000,
        base64.urlsafe_b64encode(bytes(16) + b"0" * 32).decode(),
        base64.urlsafe_b64encode(bytes(16) + b"\xff").decode(),
    ],
)
def test_what_was_never_sealed_is_refused_and_named(cursor: str) -> None:
    with pytest.raises(ValidationFailed, match="Invalid cursor") as caught:
        CURSORS.open(SCOPE, cursor)
    assert caught.value.details == {"field": "cursor"}


@repeatable
@given(st.text())
def test_no_text_breaks_the_opening(cursor: str) -> None:
    with pytest.raises(ValidationFailed):
        CURSORS.open(SCOPE, cursor)


def test_a_cursor_shows_nothing_of_its_list() -> None:
    content = base64.urlsafe_b64decode(sealed(("memos", "canary", None), "row") + "=" * 3)
    assert b"canary" not in content
