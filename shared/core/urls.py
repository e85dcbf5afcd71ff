"""URLs and origins of settings and of `Origin` headers."""

from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_url(text: str) -> bool:
    """Return whether this is an http(s) URL without credentials, query and fragment."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 raises if it is no number, or too large
    except ValueError:  # urlsplit raises it too, if brackets contain no IPv6 address
        return False
    plain = text.isascii() and text.isprintable() and " " not in text and "@" not in parts.netloc
    return plain and parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and not (parts.query or parts.fragment)


def origin_of(url: str) -> str | None:
    """Return the origin of a URL in one spelling: lower case, without a default port. None if it is no URL.

    `HTTPS://Example.org:443/v1` → `https://example.org`.
    """
    if not is_url(url):
        return None
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def normal_origin(text: str) -> str | None:
    """Return an origin in the spelling of `origin_of`; None if it is no origin."""
    return origin_of(text) if is_url(text) and not urlsplit(text).path else None
