"""A request for a memo: what is asked for, and what it has taken and written so far."""

from dataclasses import dataclass
from datetime import datetime

from shared.limits.reservation import Reservation
from shared.speech.voices import Voice
from shared.tables.api_keys import IssuedKey
from shared.tables.memos import Memo


@dataclass(frozen=True, kw_only=True)
class Draft:
    text: str
    voice: Voice
    title: str | None = None


@dataclass(kw_only=True)
class MemoRequest:
    """`memo` is set once its rows are being written: from then on they may exist."""

    key: IssuedKey
    draft: Draft
    at: datetime
    reservation: Reservation
    memo: Memo | None = None
