"""A request for a memo: what is asked for, and what it has taken and written so far."""

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
    """`is_at_once`: a text that cannot be said within the request is refused, and not queued."""

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
    """What is decided of a memo before anything of it is made: its id, its time, and the file its audio is kept as."""

    memo_id: str
    file: str
    created_at: datetime


class MemoTurn(Protocol):
    """A run of an idempotency key, which alone may make its memo. `is_bound`: an earlier one may have begun it.

    `is_new`: the first run of its key, which has no row yet.
    """

    names: MemoNames
    is_bound: bool
    is_new: bool

    async def begin(self) -> None:
        """Begin the run. Raises FirstStillRunning if another run is to make the memo."""

    async def free(self, *, wrote: bool) -> None:
        """Let another run begin, since this one failed. `wrote`: the memo may be there, or still arrive."""


@dataclass(kw_only=True)
class MemoRequest:
    """`memo` is set once its rows are being written: from then on they may exist.

    `speaker` is set once it may keep audio, under the name of `names`. `is_listed`: the memo may be in the list of long
    memos. `turn` None: the request came without an idempotency key.
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
    turn: MemoTurn | None = None
