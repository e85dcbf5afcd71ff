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
def test_cursor_opens_where_it_was_sealed(after: str) -> None:
    """A sealed key of any content is opened unchanged."""
    assert CURSORS.open(SCOPE, sealed(after=after)) == after


def test_cursor_is_none_at_both_ends() -> None:
    """None opens the first page, and the last page has none."""
    assert CURSORS.open(SCOPE, None) is None
    assert CURSORS.seal(SCOPE, None) is None


@pytest.mark.parametrize("length", [0, 1, 2, 3, 32])
def test_cursor_has_the_alphabet_of_urls(length: int) -> None:
    """A cursor of any length needs no encoding in a query."""
    assert set(sealed(after="0" * length)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_cursor_opens_in_every_container() -> None:
    """All containers with the secret open it."""
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
def test_cursor_of_another_list_is_refused(scope: tuple[str | None, ...]) -> None:
    """A cursor is valid only for the table, owner and filter that it was sealed for."""
    with pytest.raises(ValidationFailed):
        CURSORS.open(SCOPE, sealed(scope))
    with pytest.raises(ValidationFailed):
        CURSORS.open(scope, sealed())


def test_cursor_of_another_secret_is_refused() -> None:
    """A change of the secret invalidates all cursors."""
    with pytest.raises(ValidationFailed):
        Cursors("another secret").open(SCOPE, sealed())


def test_cursor_is_refused_when_truncated() -> None:
    """A cursor that is truncated anywhere is refused."""
    whole = sealed()
    for length in range(len(whole)):
        with pytest.raises(ValidationFailed):
            CURSORS.open(SCOPE, whole[:length])


def test_cursor_is_refused_when_changed() -> None:
    """A change of any character, or an additional one that lenient readers of base64 skip, is refused."""
    with pytest.raises(ValidationFailed):
        CURSORS.open(SCOPE, f"{sealed()[:7]}!!!!{sealed()[7:]}")
    whole = sealed(after="0" * 29)  # 45 bytes: base64 has no padding bits
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
def test_open_refuses_what_was_never_sealed(cursor: str) -> None:
    """The error names the field."""
    with pytest.raises(ValidationFailed, match="Invalid cursor") as caught:
        CURSORS.open(SCOPE, cursor)
    assert caught.value.details == {"field": "cursor"}


@repeatable
@given(st.text())
def test_open_refuses_any_text(cursor: str) -> None:
    """Any text is refused by ValidationFailed alone."""
    with pytest.raises(ValidationFailed):
        CURSORS.open(SCOPE, cursor)


def test_cursor_shows_nothing_of_its_list() -> None:
    """Owner and filters cannot be read from it."""
    content = base64.urlsafe_b64decode(sealed(("memos", "canary", None), "row") + "=" * 3)
    assert b"canary" not in content
