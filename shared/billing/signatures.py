"""The signature of a webhook: `Stripe-Signature: t=1772452800,v1=5257a869…,v1=…,v0=…`.

`v1` is the HMAC-SHA-256 of `<t>.<body>` under a secret of the endpoint; while a secret is replaced there are two. Other
schemes are ignored. Stripe's SDK checks the same, but accepts any future time; a test compares both.
"""

import hmac
from collections.abc import Sequence
from typing import Final

TOLERANCE_S: Final = 300
"""Seconds that a signature may be older than this clock, or ahead of it. With a larger number a captured event could be
replayed for longer; Stripe signs each repeat anew."""


def is_signed(body: bytes, header: str, secrets: Sequence[str], *, now: float) -> bool:
    """Return whether one of the secrets signed this body within TOLERANCE_S of `now`. `now` is in epoch seconds."""
    fields = [field.split("=") for field in header.split(",")]
    times = [field[1] for field in fields if field[0] == "t" and len(field) > 1]
    try:
        at = int(times[0])
    except (IndexError, ValueError):
        return False
    if not now - TOLERANCE_S <= at <= now + TOLERANCE_S:  # a difference would overflow for a number of 400 digits
        return False
    given = [field[1].encode() for field in fields if field[0] == "v1" and len(field) > 1]
    made = [hmac.digest(secret.encode(), b"%d.%s" % (at, body), "sha256").hex().encode() for secret in secrets]
    return any(hmac.compare_digest(one, other) for one in given for other in made)
