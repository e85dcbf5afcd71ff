"""Plan an owner's memos with their logs, and all other logs, in the order of time.

The predecessor's logs do not contain their memos' ids. A log and a memo are paired if they are at most two seconds
apart and do not contradict each other in their characters and voice.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from shared.audio.files import MEDIA_TYPES, owner_digest
from shared.core.ids import derived_id
from shared.core.text import characters
from shared.speech.voices import VOICES
from shared.stores.port import Document
from shared.tables.issued_keys import IssuedKey
from shared.tables.memos import Memo
from shared.tables.usage_logs import MEMO_DELETED, Action, UsageLog
from tools.moving.findings import Findings
from tools.moving.values import count, levels, mapping, seconds, text
from tools.moving.working_copy import Old, OldKind, WorkingCopy

APART: Final = timedelta(seconds=2)
"""The maximum difference between the predecessor's times of a memo and of its log."""

NO_VOICE: Final = "unknown"
TITLE_MOST: Final = 200
TEXT_MOST: Final = 100_000
METADATA_MOST: Final = 4000
"""The maximum characters of a log's metadata: some ten times the predecessor's longest."""

METADATA_LEVELS: Final = 50
"""The maximum levels of nesting in a log's metadata. A store writes deeper ones than it reads back: 200, its own
included."""

LONE: Final[Document] = {"audio_url": "", "is_long": False}
"""The mark of a log whose memo the predecessor no longer had: a deleted memo's mark, but without its audio."""

_ENDINGS: Final = {**{ending: ending for ending in MEDIA_TYPES}, "ogg": "opus"}


@dataclass(frozen=True, kw_only=True)
class OldAudio:
    """Audio of the predecessor: the name of its file there, and the name of its copy here."""

    name: str
    file: str


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A log, with its memo, if it is a log of one. `document` is the log's, with its extensions.

    `audio` is the memo's, if its URL names a file that could be copied.
    """

    sort: str
    kind: OldKind
    document: Document
    old_id: str
    memo: Memo | None = None
    audio: OldAudio | None = None


class OldHistory:
    """An owner's history in the predecessor. `keys` are the owner's, by their ids in the predecessor."""

    def __init__(self, *, owner: str, user_id: str, keys: Mapping[str, IssuedKey], findings: Findings) -> None:
        self._owner = owner
        self._user_id = user_id
        self._keys = keys
        self._findings = findings

    def rows(self, copy: WorkingCopy) -> Iterator[Moved]:
        for memo, log in _paired(copy.of(self._owner, OldKind.MEMOS), copy.of(self._owner, OldKind.MADE)):
            if memo is not None:
                yield self._memo(memo, log)
            elif log is not None:
                yield self._lone_log(log)
        for event in copy.of(self._owner, OldKind.EVENTS):
            moved = self._event(event)
            if moved is not None:
                yield moved

    def _memo(self, old: Old, log: Old | None) -> Moved:
        self._note_date(old)
        said = _metadata(log)
        if log is None:
            self._note(old, "it had no log: it gets one, so that figures count it")
        memo_id = derived_id(old.at, f"moved memo {self._user_id} {old.id}")
        words, voice = self._text(old), self._voice(old, said)
        length = self._length(old, said, words)
        key = self._key(old.values.get("api_key_id")) or (
            None if log is None else self._key(log.values.get("api_key_id"))
        )
        audio, url = self._audio(old, memo_id)
        memo = Memo(
            id=memo_id,
            user_id=self._user_id,
            api_key_id=None if key is None else key.id,
            text=words,
            audio_url=url,
            duration_seconds=self._seconds(old, said, length),
            voice=voice,
            character_count=length,
            title=(text(old.values.get("title")) or "")[:TITLE_MOST] or None,
            created_at=old.at,
        )
        characters_logged = count(said.get("characterCount"))
        document = self._log_document(
            memo_id, key, memo.created_at, voice=_voice_of(said) or memo.voice,
            length=memo.character_count if characters_logged is None else characters_logged,
            audio_s=seconds(said.get("duration")) or memo.duration_seconds,
        )  # fmt: skip
        return Moved(sort=memo_id, kind=OldKind.MADE, document=document, old_id=old.id, memo=memo, audio=audio)

    def _lone_log(self, old: Old) -> Moved:
        """Return a log whose memo is missing, with a mark: without it the memo would count as failed."""
        self._note_date(old)
        said = _metadata(old)
        length, audio_s = count(said.get("characterCount")), seconds(said.get("duration"))
        self._note(
            old,
            "no memo of this log is there"
            if length is not None
            else "its metadata cannot be read: it counts 0 characters",
        )
        log_id = derived_id(old.at, f"moved log {self._user_id} {old.id}")
        document = self._log_document(
            log_id, self._key(old.values.get("api_key_id")), old.at, voice=_voice_of(said) or NO_VOICE,
            length=length or 0, audio_s=audio_s or 0.0,
        )  # fmt: skip
        document[MEMO_DELETED] = LONE
        return Moved(sort=log_id, kind=OldKind.MADE, document=document, old_id=old.id)

    def _log_document(
        self, log_id: str, key: IssuedKey | None, at: Any, *, voice: str, length: int, audio_s: float
    ) -> Document:
        metadata = {
            "memoId": log_id,
            "voice": voice,
            "characters": length,
            "audioSeconds": audio_s,
            "test": key is not None and key.is_test,
        }
        return self._log(log_id, Action.MEMO_CREATED, key, metadata, at).document()

    def _event(self, old: Old) -> Moved | None:
        action = text(old.values.get("action"))
        if action not in tuple(Action):
            self._findings.leave("usage_logs", old.id, f"its action is not logged here: {(action or 'none')[:60]}")
            return None
        self._note_date(old)
        metadata = mapping(old.values.get("metadata"))
        if metadata is None and old.values.get("metadata") not in (None, ""):
            self._note(old, "its metadata cannot be read: they are left out")
        if levels(metadata) > METADATA_LEVELS or len(str(metadata)) > METADATA_MOST:
            self._note(old, "its metadata are too long, or nested too deep: they are left out")
            metadata = None
        metadata = dict(metadata or {})
        if not isinstance(metadata.get("voice"), str | None):  # figures group the errors by their voices
            self._note(old, "the voice in its metadata is no name: it is left out")
            del metadata["voice"]
        about = self._key(metadata.get("keyId"))
        if about is not None:
            metadata["keyId"] = about.id
        log_id = derived_id(old.at, f"moved log {self._user_id} {old.id}")
        key = self._key(old.values.get("api_key_id")) or about
        log = self._log(log_id, Action(action), key, metadata, old.at)
        return Moved(sort=log_id, kind=OldKind.EVENTS, document=log.document(), old_id=old.id)

    def _log(self, log_id: str, action: Action, key: IssuedKey | None, metadata: dict[str, Any], at: Any) -> UsageLog:
        return UsageLog(
            id=log_id,
            user_id=self._user_id,
            api_key_id=None if key is None else key.id,
            api_key_name=None if key is None else key.name,
            api_key_prefix=None if key is None else key.prefix,
            action=action,
            metadata=metadata,
            created_at=at,
        )

    def _text(self, old: Old) -> str:
        words = text(old.values.get("text"))
        if words is None:
            self._note(old, "its text was never stored: it comes without one")
        return (words or "")[:TEXT_MOST]

    def _voice(self, old: Old, said: Mapping[str, Any]) -> str:
        voice = _voice_of(old.values) or _voice_of(said)
        if voice is None:
            self._note(old, f"its voice was never stored: it is called {NO_VOICE}")
            return NO_VOICE
        if voice not in VOICES:
            self._note(old, "its voice is offered no more: it keeps its name", detail=voice)
        return voice

    def _length(self, old: Old, said: Mapping[str, Any], words: str) -> int:
        length = count(old.values.get("character_count"))
        if length is None:
            length = count(said.get("characterCount"))
        if length is None:
            self._note(old, "its characters were never counted: they are those of its text")
            return characters(words)
        return length

    def _seconds(self, old: Old, said: Mapping[str, Any], length: int) -> float:
        duration = seconds(old.values.get("duration_seconds")) or seconds(said.get("duration"))
        if duration is None:
            self._note(old, "its duration was never stored: it is estimated")
            return (8 * length + 5) // 10 / 10
        return duration

    def _audio(self, old: Old, memo_id: str) -> tuple[OldAudio | None, str]:
        """Return the audio that could be copied, and the memo's URL until it is."""
        url = text(old.values.get("audio_url")) or ""
        parts = _split(url)
        name = unquote(PurePosixPath(parts[1]).name)
        ending = _ENDINGS.get(name.rpartition(".")[2].lower())
        kept = url if parts[0] in ("http", "https") and len(url) <= 2000 else None
        secret = hashlib.sha256(f"moved audio {memo_id} {name}".encode()).hexdigest()[:32]
        file = f"{owner_digest(self._user_id)}-{secret}.{ending or 'mp3'}"
        if kept is None:
            self._note(old, "its audio has no URL that leads anywhere", detail=url[:200])
        audio = OldAudio(name=name, file=file) if name and ending is not None else None
        return audio, kept or f"/audio/{file}"

    def _key(self, old_id: object) -> IssuedKey | None:
        return self._keys.get(text(old_id) or "")

    def _note_date(self, old: Old) -> None:
        if not old.is_dated:
            self._note(old, "it has no readable date: it gets its owner's")

    def _note(self, old: Old, why: str, *, detail: str = "") -> None:
        self._findings.note(old.kind.table, old.id, why, detail=detail)


def _paired(memos: Iterator[Old], logs: Iterator[Old]) -> Iterator[tuple[Old | None, Old | None]]:
    """Yield memos with their logs, memos without a log, and logs without a memo. Buffers the logs of four seconds."""
    near: deque[Old] = deque()
    ahead = next(logs, None)
    for memo in memos:
        while near and near[0].at < memo.at - APART:
            yield None, near.popleft()
        while ahead is not None and ahead.at <= memo.at + APART:
            if ahead.at < memo.at - APART:
                yield None, ahead
            else:
                near.append(ahead)
            ahead = next(logs, None)
        fitting = [log for log in near if _distance(memo, log) is not None]
        best = min(fitting, key=lambda log: _distance(memo, log) or (0, 0, timedelta()), default=None)
        if best is not None:
            near.remove(best)
        yield memo, best
    while near:
        yield None, near.popleft()
    while ahead is not None:
        yield None, ahead
        ahead = next(logs, None)


def _distance(memo: Old, log: Old) -> tuple[int, int, timedelta] | None:
    """Return a log's distance from a memo: unknown characters, another key, time; None: it is another memo's log."""
    said = _metadata(log)
    ours, theirs = count(memo.values.get("character_count")), count(said.get("characterCount"))
    voice, other = _voice_of(memo.values), _voice_of(said)
    if (ours is not None and theirs is not None and ours != theirs) or (voice and other and voice != other):
        return None
    other_key = text(memo.values.get("api_key_id")) != text(log.values.get("api_key_id"))
    return (int(ours is None or theirs is None), int(other_key), abs(memo.at - log.at))


def _metadata(log: Old | None) -> Mapping[str, Any]:
    return {} if log is None else mapping(log.values.get("metadata")) or {}


def _voice_of(values: Mapping[str, Any]) -> str | None:
    voice = (text(values.get("voice")) or "").strip()[:100]
    return (voice.lower() if voice.lower() in VOICES else voice) or None


def _split(url: str) -> tuple[str, str]:
    """Return the scheme and the path of a URL, both empty if the text is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme.lower(), parts.path
