"""What an owner, a key, an address and a title do when calls come one at a time: the models of recorded histories."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.proofs.linearizability import UNANSWERED, Call, Model

ACTIVE: Final = "active"
REVOKED: Final = "revoked"


@dataclass(frozen=True, kw_only=True)
class Places:
    """An owner's memos, and the places that are taken: by them, and by calls that failed and have not given back.

    HYPR Micro counts before it refuses, so failed calls may hold places above the limit.
    """

    memos: frozenset[str] = frozenset()
    used: int = 0


def memos_at(limit: int) -> Model[Places]:
    """The memos of an owner who may make `limit`.

    memo   given a text, or None for one that no list shows; answers 201 or 429
    list   answers the texts, a frozenset
    used   answers how many places are taken, at most the limit
    """

    def model(state: Places, call: Call) -> Iterable[Places]:
        match call.what, call.answer:
            case "memo", 201 if state.used < limit:
                return [_made(state, call.given)]
            case "memo", 429 if state.used >= limit:
                return [state]
            case "memo", None:
                held = replace(state, used=state.used + 1)
                may_be_made = call.given is not None and state.used < limit
                return [held, _made(state, call.given)] if may_be_made else [held]
            case "gone again", None:
                return _gone_again(state, call.given)
            case "list", state.memos:
                return [state]
            case "used", int() as used if used == min(limit, state.used):
                return [state]
            case _:
                return []

    return model


def _made(state: Places, text: str) -> Places:
    return Places(memos=state.memos | {text}, used=state.used + 1)


def _gone_again(state: Places, text: str | None) -> list[Places]:
    """What a failed memo took it may give back, the memo and its place each at a time of its own."""
    without = replace(state, memos=state.memos - {text})
    returned = [replace(left, used=left.used - 1) for left in (state, without) if left.used > len(left.memos)]
    return [without, *returned]


def with_removals(calls: Sequence[Call]) -> list[Call]:
    """Add to each memo without an answer that it may be removed and give its place back, at any time after.

    The text of one that no list shows is left out: it can have taken a place, and all such calls are alike.
    """
    listed = frozenset[str]().union(*(call.answer for call in calls if call.what == "list" and call.answer is not None))
    known = [call if _is_answered(call) or call.given in listed else replace(call, given=None) for call in calls]
    return [*known, *(replace(call, what="gone again") for call in known if not _is_answered(call))]


def _is_answered(call: Call) -> bool:
    return call.what != "memo" or call.answer is not UNANSWERED


def key(state: str, call: Call) -> Iterable[str]:
    """A key's use and revocation.

    use      answers 200 or 201, or 403
    revoke   answers 200
    listed   answers whether the list calls it active; `verified` whether the check finds it valid
    """
    match call.what, call.answer:
        case "revoke", 200 | None:
            return [REVOKED]
        case "use", 200 | 201:
            return [state] if state == ACTIVE else []
        case "use", 403:
            return [state] if state == REVOKED else []
        case "listed" | "verified", bool() as active if active == (state == ACTIVE):
            return [state]
        case _:
            return []


UNKNOWN: Final = "somebody whose sign-up was not answered"


def address(owner: str | None, call: Call) -> Iterable[str | None]:
    """One address. Its owner's id is unknown while the sign-up that took it was not answered.

    sign-up   answers the new user's id, or 409
    log-in    answers the user's id, or 401
    """
    match call.what, call.answer:
        case "sign-up", 409:
            return [] if owner is None else [owner]
        case "sign-up", answer:
            return [answer or UNKNOWN] if owner is None else []
        case "log-in", 401:
            return [owner] if owner is None else []
        case "log-in", str() as user if owner in (user, UNKNOWN):
            return [user]
        case _:
            return []


def title(now: Any, call: Call) -> Iterable[Any]:
    """A memo's title.

    write   given a title; answers 200
    read    answers what `shown` makes of the title
    """
    match call.what, call.answer:
        case "write", 200 | None:
            return [call.given]
        case "read", answer if answer == shown(now):
            return [now]
        case _:
            return []


def shown(name: str | None) -> tuple[str | None]:
    """Return a title as an answer, which differs from no answer even if there is no title."""
    return (name,)
