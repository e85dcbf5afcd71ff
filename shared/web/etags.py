"""Entity tags (RFC 9110, 8.8.3): content that a client already has is not sent again."""

import hashlib


def etag_of(content: str) -> str:
    """Return a strong entity tag with its quotes: `"9f86d081884c7d659a2feaa0c55ad015"`."""
    return f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Return whether `If-None-Match` names this tag, or is `*`. Weak tags compare like strong ones."""
    given = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return given == ["*"] or etag in given
