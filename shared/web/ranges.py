"""The part of a file that a `Range` header requests."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, kw_only=True)
class Part:
    """The bytes from `start` up to `end`, exclusive, of `total`.

    `is_range`: a valid range requests them, so the answer is 206, even if they are the whole file (RFC 9110, 14.2):
    players that send `bytes=0-` expect it.
    """

    start: int
    end: int
    total: int
    is_range: bool


def requested_part(header: str | None, total: int) -> Part | None:
    """Return the part of a file that a `Range` header requests (RFC 9110, 14.2).

    None: it cannot be satisfied. Without a header, with several ranges, or with a malformed one, it is the whole file.
    """
    whole = Part(start=0, end=total, total=total, is_range=False)
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.group(1, 2) == ("", "") or max(map(len, match.groups())) > 18:
        return whole
    first, last = match.groups()
    if first == "":
        start, end = max(0, total - int(last)), total
    else:
        start, end = int(first), min(total, int(last) + 1 if last else total)
        if last and int(last) < int(first):
            return whole
    return Part(start=start, end=end, total=total, is_range=True) if start < end else None
