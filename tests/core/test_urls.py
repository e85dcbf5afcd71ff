"""URLs and origins of settings and of `Origin` headers."""

import pytest

from shared.core.urls import is_url, normal_origin, origin_of


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org",
        "ftp://example.org",
        "https://",
        "https://:443",
        "https://ada:secret@example.org",
        "https://ada@example.org",
        "https://example.org/?a=b",
        "https://example.org/#top",
        "https://example.org:65536",
        "https://example.org:port",
        "https://[::1",
        "https://exam ple.org",
        "https://example.org/\n",
        "https://exämple.org",
    ],
)
def test_url_is_refused_unless_absolute_and_plain(url: str) -> None:
    """Other schemes, credentials, a query, a fragment, and an invalid port or host are refused, without an origin."""
    assert not is_url(url)
    assert origin_of(url) is None
    assert normal_origin(url) is None


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("HTTPS://Example.org:443/v1", "https://example.org"),
        ("http://example.org:80", "http://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("https://example.org:80/", "https://example.org:80"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("http://[2001:DB8::1]", "http://[2001:db8::1]"),
        ("http://localhost:3000/path/", "http://localhost:3000"),
    ],
)
def test_origin_has_one_spelling(url: str, origin: str) -> None:
    """An origin is in lower case, without a default port, with IPv6's brackets. A URL with a path is none."""
    assert is_url(url)
    assert origin_of(url) == origin
    assert normal_origin(url) == (origin if url.count("/") == 2 else None)
