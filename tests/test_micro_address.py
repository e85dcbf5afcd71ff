"""Invalid addresses and path segments are refused."""

from urllib.parse import unquote

import pytest

from shared.micro_address import Direct, Platform, segment
from tests.fakes.standin import KEY


def test_segment_encodes_once_and_takes_the_longest() -> None:
    """A segment is percent-encoded once, and may be as long as the server takes."""
    assert segment("a/b%2F.~") == "a%2Fb%252F.~"
    for longest in ("a" * 1024, "é" * 989):
        assert unquote(segment(longest)) == longest


@pytest.mark.parametrize("ending", ["", "/", "//"])
def test_address_takes_a_url_with_a_final_slash(ending: str) -> None:
    """A path with a final slash is accepted too: no path of a request begins with two slashes."""
    assert Direct(url=f"https://micro:7070/a{ending}", api_key=KEY).root == "https://micro:7070/a"
    proxy = Platform(url=f"https://platform/a{ending}", app_slug="talk")
    assert proxy.root == "https://platform/a/proxy/hypermicro"


@pytest.mark.parametrize(
    "url", ["", "micro:7070", "ftp://micro", "http://", "http://user:pw@micro", "http://micro?x=1", "http://micro#x"]
)
def test_address_refuses_a_url_that_cannot_be_right(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        Direct(url=url, api_key=KEY)
    with pytest.raises(ValueError, match="URL"):
        Platform(url=url, app_slug="talk")


@pytest.mark.parametrize("ending", ["\n", " ", "é", "\0"])
def test_address_refuses_a_bad_key_and_does_not_show_it(ending: str) -> None:
    """An API key that no header can contain raises an error that does not show it."""
    with pytest.raises(ValueError, match="API key") as caught:
        Direct(url="http://micro", api_key=KEY + ending)
    assert KEY not in str(caught.value)
    with pytest.raises(ValueError, match="slug"):
        Platform(url="http://micro", app_slug="talk" + ending)
