"""Addresses and path segments that cannot be right are refused."""

from urllib.parse import unquote

import pytest

from shared.micro import Direct, Platform, segment
from tests.fakes.standin import KEY


def test_a_segment_is_encoded_once_and_holds_what_is_just_not_too_long() -> None:
    assert segment("a/b%2F.~") == "a%2Fb%252F.~"
    for longest in ("a" * 1024, "é" * 989):
        assert unquote(segment(longest)) == longest


@pytest.mark.parametrize(
    "url", ["", "micro:7070", "ftp://micro", "http://", "http://user:pw@micro", "http://micro?x=1"]
)
def test_an_address_that_cannot_be_right_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        Direct(url=url, api_key=KEY)
    with pytest.raises(ValueError, match="URL"):
        Platform(url=url, app_slug="talk")


@pytest.mark.parametrize("ending", ["\n", " ", "é", "\0"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_quoted(ending: str) -> None:
    with pytest.raises(ValueError, match="API key") as caught:
        Direct(url="http://micro", api_key=KEY + ending)
    assert KEY not in str(caught.value)
    with pytest.raises(ValueError, match="slug"):
        Platform(url="http://micro", app_slug="talk" + ending)
