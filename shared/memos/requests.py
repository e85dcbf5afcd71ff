"""A request for a memo: what is asked for, and what it has taken and written so far."""

from dataclasses import dataclass, field
from datetime import datetime

from shared.limits.reservation import Reservation
from shared.speech.synthesizer import Synthesizer
from shared.speech.voices import Voice
from shared.tables.issued_keys import IssuedKey
from shared.tables.memos import Memo


@dataclass(frozen=True, kw_only=True)
class Draft:
    text: str
    voice: Voice
    title: str | None = None
    format: str = "mp3"


@dataclass(frozen=True, kw_only=True)
class MemoNames:
    """What a memo is called, before anything of it is made: its id, and the file that its audio is kept as."""

    memo_id: str
    file: str


@dataclass(kw_only=True)
class MemoRequest:
    """`memo` is set once its rows are being written: from then on they may exist.

    `speaker` is set once it may keep audio, under the name of `names`. `is_listed`: the memo may be in the list of long
    memos.
    """

    names: MemoNames
    key: IssuedKey
    draft: Draft
    at: datetime
    reservation: Reservation
    readings: dict[Synthesizer, str] = field(default_factory=dict)
    """What each voice that may say the text makes of it."""

    speaker: Synthesizer | None = None
    memo: Memo | None = None
    is_listed: bool = False
