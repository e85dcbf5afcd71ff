"""Entity tags (RFC 9110, 8.8.3): what a client has already is not sent again."""

import hashlib


def etag_of(content: str) -> str:
    """A strong one."""
    return f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether the client's `If-None-Match` names it, or is `*`. Weak tags compare like strong ones."""
    given = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return given == ["*"] or etag in given
