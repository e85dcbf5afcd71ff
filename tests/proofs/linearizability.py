"""Check whether recorded calls could have happened one at a time, by a search after Wing and Gong.

A history is linearizable if each call took effect at one moment between its beginning and its end, and every answer is
right for that order. A call without an answer has no end: it took effect at some moment after its beginning, or never.

Jeannette M. Wing and Chun Gong, Testing and Verifying Concurrent Objects, 1993; visited states are not searched again,
after Gavin Lowe, Testing for Linearizability, 2017.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, TypeVar

UNANSWERED: Final = None
"""The answer of a call that failed, was cut off, or was answered 503."""

S = TypeVar("S", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call as its client saw it: `Call(what="use", answer=200, began=0.1, ended=0.2)`.

    `began` and `ended` are seconds of one monotonic clock for all clients.
    """

    what: str
    given: Any = None
    answer: Any = UNANSWERED
    began: float
    ended: float = inf


Model = Callable[[S, Call], Iterable[S]]
"""Returns the possible next states if the call took effect in a state with this answer; none: the answer is wrong."""


def is_linearizable(calls: Sequence[Call], model: Model[S], initial: S) -> bool:
    """Return whether some order of the calls explains all answers."""
    answered = sum(1 << number for number, call in enumerate(calls) if call.answer is not UNANSWERED)
    ends = [inf if call.answer is UNANSWERED else call.ended for call in calls]
    twins = _twins(calls)
    searched, ahead = {(0, initial)}, [(0, initial)]
    while ahead:
        done, state = ahead.pop()
        if done & answered == answered:
            return True
        left = [number for number in range(len(calls)) if not done >> number & 1]
        first_end = min(ends[number] for number in left)
        for number in left:
            if calls[number].began > first_end:
                continue  # an open call had ended before this one began, so that call took effect first
            if number in twins and not done >> twins[number] & 1:
                continue
            for after in model(state, calls[number]):
                step = (done | 1 << number, after)
                if step not in searched:
                    searched.add(step)
                    ahead.append(step)
    return False


def _twins(calls: Sequence[Call]) -> dict[int, int]:
    """Return by number the predecessor of each call: the last equal call that began earlier.

    Equal calls without an answer are interchangeable, so one order of them represents all. Without this the search
    doubles with each.
    """
    latest, twins = dict[tuple[str, Any], int](), dict[int, int]()
    for number in sorted(range(len(calls)), key=lambda number: calls[number].began):
        call = calls[number]
        if call.answer is UNANSWERED:
            if (call.what, call.given) in latest:
                twins[number] = latest[call.what, call.given]
            latest[call.what, call.given] = number
    return twins
