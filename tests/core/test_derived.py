"""Keys derived from the session secret, and the pseudonyms that one of them makes."""

import re

import jwt
import pytest

from shared.accounts.sessions import Sessions
from shared.core.derived import Pseudonyms, Use, derived_key
from tests.support import SECRET, FakeClock, a_user


def test_derived_keys_differ_by_use_and_by_secret() -> None:
    """A leaked key of one use is useless for any other, and is never the secret itself."""
    keys = {derived_key(secret, use) for secret in (SECRET, SECRET + "x") for use in Use}
    assert len(keys) == 2 * len(Use)
    assert SECRET.encode() not in keys
    assert {len(key) for key in keys} == {32}


def test_session_is_not_signed_with_the_secret_itself() -> None:
    """Sessions are signed with the derived key for sessions."""
    token = Sessions(SECRET, FakeClock()).begin(a_user()).token
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SECRET, algorithms=["HS256"])
    assert jwt.decode(
        token,
        derived_key(SECRET, Use.SESSIONS),
        algorithms=["HS256"],
        options={"verify_exp": False, "verify_iat": False},
    )


def test_pseudonym_is_constant_and_needs_the_secret() -> None:
    """The same text has one pseudonym, which another secret does not make and which shows nothing of the text."""
    pseudonyms = Pseudonyms(SECRET)
    assert pseudonyms.of("ada@example.org") == Pseudonyms(SECRET).of("ada@example.org")
    assert pseudonyms.of("ada@example.org") != Pseudonyms("x" + SECRET).of("ada@example.org")
    assert pseudonyms.of("a") != pseudonyms.of("b")
    assert "ada" not in pseudonyms.of("ada@example.org")


def test_pseudonym_has_32_digits_whatever_came_before() -> None:
    """This holds for an empty text, a first one, a repeated one, and one after another."""
    pseudonyms = Pseudonyms(SECRET)
    for text in ("", "", "a", "a", "b", "a", ""):
        assert pseudonyms.of(text) == Pseudonyms(SECRET).of(text)
        assert re.fullmatch(r"[0-9a-f]{32}", pseudonyms.of(text))
