"""Sequential models of an owner, a key, an address and a title, to check recorded histories."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.proofs.linearizability import UNANSWERED, Call, Model

ACTIVE: Final = "active"
REVOKED: Final = "revoked"


@dataclass(frozen=True, kw_only=True)
class Places:
    """An owner's memos, those being made whose place is taken, and all taken places.

    Failed calls took `failed` of the places and have not given them back. These may exceed the limit: HYPR Micro
    counts before it refuses.
    """

    memos: frozenset[str] = frozenset()
    begun: frozenset[str] = frozenset()
    used: int = 0
    failed: int = 0


def memos_at(limit: int) -> Model[Places]:
    """Return the model of an owner with this limit; `with_moments` adds the calls that no client made.

    memo      given a text, or None for one that no list shows; takes a place and answers 201, or answers 429
    written   given a text: lists contain it from now on
    returned  a failed memo gives its place back
    removed   given a text: a failed memo is deleted, before or after its place is given back, or without that
    list      answers the texts, a frozenset
    used      answers the number of taken places, at most the limit
    """

    def model(state: Places, call: Call) -> Iterable[Places]:
        match call.what, call.answer:
            case "memo", 429 if state.used >= limit:
                return [state]
            case "memo", 201 if state.used < limit:
                return [_begun(state, call.given)]
            case "memo", None:
                may_be_made = call.given is not None and state.used < limit
                taken = _begun(state, call.given) if may_be_made else replace(state, used=state.used + 1)
                return [replace(taken, failed=state.failed + 1)]
            case "written", _ if call.given in state.begun:
                return [replace(state, begun=state.begun - {call.given}, memos=state.memos | {call.given})]
            case "returned", None if state.failed:
                return [replace(state, used=state.used - 1, failed=state.failed - 1)]
            case "removed", None:
                return [replace(state, memos=state.memos - {call.given}, begun=state.begun - {call.given})]
            case "list", state.memos:
                return [state]
            case "used", int() as used if used == min(limit, state.used):
                return [state]
            case _:
                return []

    return model


def _begun(state: Places, text: str) -> Places:
    return replace(state, begun=state.begun | {text}, used=state.used + 1)


def with_moments(calls: Sequence[Call]) -> list[Call]:
    """Add the moment at which each memo appears, after it took its place; for unanswered ones also their undoing.

    If no list shows an unanswered memo, its text is left out: it may have taken a place, and all these calls are
    equal.
    """
    listed = frozenset[str]().union(*(call.answer for call in calls if call.what == "list" and call.answer is not None))
    known = [call if not _has_failed(call) or call.given in listed else replace(call, given=None) for call in calls]
    made = [call for call in known if call.what == "memo" and call.answer != 429 and call.given is not None]
    return [
        *known,
        *(replace(call, what="written") for call in made),
        *(replace(call, what="returned", given=None) for call in known if _has_failed(call)),
        *(replace(call, what="removed") for call in made if _has_failed(call)),
    ]


def _has_failed(call: Call) -> bool:
    return call.what == "memo" and call.answer is UNANSWERED


def key(state: str, call: Call) -> Iterable[str]:
    """Return the next states of a key under use and revocation.

    use      answers 200 or 201, or 403
    revoke   answers 200
    listed   answers whether the list shows it as active; `verified` whether the check accepts it
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
    """Return the next states of one address. Its owner's id is unknown if the sign-up that took it was not answered.

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
    """Return the next states of a memo's title.

    write   given a title; answers 200
    read    answers `shown` of the title
    """
    match call.what, call.answer:
        case "write", 200 | None:
            return [call.given]
        case "read", answer if answer == shown(now):
            return [now]
        case _:
            return []


def shown(name: str | None) -> tuple[str | None]:
    """Return a title as an answer, which differs from a missing answer even if there is no title."""
    return (name,)
