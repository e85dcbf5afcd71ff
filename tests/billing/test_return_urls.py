"""Addresses that browsers may return to from Stripe: the service's own origins, and no look-alikes."""

import pytest

from shared.billing.billing import URL_LENGTH, ReturnUrls
from shared.core.errors import ValidationFailed

APP = "https://app.example.org"
RETURNS = ReturnUrls(app=f"{APP}/talk", origins=frozenset({APP, "http://localhost:8000"}))


def test_return_url_is_the_apps_unless_one_is_named() -> None:
    """The default return address is the app's, with the outcome."""
    assert RETURNS.checked(None, "returnUrl", otherwise="portal") == f"{APP}/talk?billing=portal"


@pytest.mark.parametrize(
    "url",
    [
        APP,
        f"{APP}#a",
        f"{APP}?a=b",
        f"{APP}/a?b=c#d",
        f"{APP}/a#b?c",
        f"{APP}:443/",
        "HTTPS://App.Example.org/A",
        "http://localhost:8000/x",
        f"{APP}/".ljust(URL_LENGTH, "x"),
    ],
)
def test_return_url_of_an_origin_is_taken_as_it_is(url: str) -> None:
    """An address of an allowed origin is used unchanged, with any path, query and fragment."""
    assert RETURNS.checked(url, "returnUrl", otherwise="portal") == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/talk",
        "//app.example.org",
        "http://app.example.org",
        f"{APP}:8443",
        f"{APP}.evil.org",
        f"{APP}@evil.org",
        f"https://evil.org#{APP}",
        f"https://evil.org?{APP}",
        f"https://evil.org\\@{APP[8:]}",
        f"{APP}\\x",
        f"{APP}/a b",
        f"{APP}?a b",
        f"{APP}#a\\b",
        f"{APP}/a\n",
        f"{APP}/ä",
        "javascript:alert(1)",
        f"{APP}/".ljust(URL_LENGTH + 1, "x"),
    ],
)
def test_return_url_of_another_origin_is_refused(url: str) -> None:
    """Another origin is refused, and a URL that browsers may parse differently than this service."""
    with pytest.raises(ValidationFailed, match="returnUrl") as refused:
        RETURNS.checked(url, "returnUrl", otherwise="portal")
    assert refused.value.details == {"field": "returnUrl"}
