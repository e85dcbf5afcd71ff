"""A request for a memo: its content, and the places it has taken and the rows it may have written so far."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.core.text import characters
from shared.limits.reservation import Reservation
from shared.speech.synthesizer import Synthesizer
from shared.speech.voices import Voice
from shared.tables.issued_keys import IssuedKey
from shared.tables.memos import Memo


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The content of a request. `is_at_once`: a text that cannot be said within the request is refused, not queued."""

    text: str
    voice: Voice
    title: str | None = None
    format: str = "mp3"
    is_at_once: bool = False

    def memo(
        self,
        names: "MemoNames",
        *,
        user_id: str,
        api_key_id: str | None,
        audio_url: str,
        seconds: float,
        is_long: bool = False,
    ) -> Memo:
        return Memo(
            id=names.memo_id,
            user_id=user_id,
            api_key_id=api_key_id,
            text=self.text,
            audio_url=audio_url,
            duration_seconds=seconds,
            voice=self.voice.id,
            character_count=characters(self.text),
            title=self.title,
            created_at=names.created_at,
            is_long=is_long,
        )


@dataclass(frozen=True, kw_only=True)
class MemoNames:
    """A memo's id, its audio's file and its time, decided before anything is made. A `file` is `4f1d…-9c07….mp3`."""

    memo_id: str
    file: str
    created_at: datetime


class MemoTurn(Protocol):
    """A run of an idempotency key, which alone may make the key's memo.

    `is_bound`: an earlier run may have begun the memo. `is_new`: this is the key's first run, and has no row yet.
    """

    names: MemoNames
    is_bound: bool
    is_new: bool

    async def begin(self) -> None:
        """Begin the run. Raises FirstStillRunning if another run makes the memo."""

    async def free(self, *, wrote: bool) -> None:
        """Let another run begin, since this one failed. `wrote`: the memo may exist, or its write may still arrive."""


@dataclass(kw_only=True)
class MemoRequest:
    """One request and its progress. `memo` is set before its rows are written: from then on they may exist.

    `speaker` is set before it can keep audio, in the file of `names`. `is_listed`: the memo may be in the list of long
    memos. `turn` of None: the request has no idempotency key.
    """

    names: MemoNames
    key: IssuedKey
    draft: Draft
    at: datetime
    reservation: Reservation
    readings: dict[Synthesizer, str] = field(default_factory=dict)
    """The reading of each adapter that may say the text."""

    speaker: Synthesizer | None = None
    memo: Memo | None = None
    is_listed: bool = False
    turn: MemoTurn | None = None
