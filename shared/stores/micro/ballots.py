"""Change rows on a server whose only atomic operation is an increment: CASPaxos with one acceptor.

A row has versions. The number of each is a ballot drawn from the row's counter, so each has exactly one writer. A
writer draws a ballot, builds on the newest version, draft or final, posts its own as a draft, and reads the counter
again. If no later ballot was drawn, every later writer will build on this draft: it is decided, and is made final. A
draft that arrives late is older than the versions written meanwhile, and is never read. The proof, and the failures
without each of the steps: docs/decisions/0002-hypr-micro-rows.md.

Waiting only reduces contention. Correctness never depends on a clock or a timeout.
"""

import logging
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from shared.core.concurrency import KeyedLocks, gather_settled
from shared.core.remembered import Remembered
from shared.micro import MicroClient
from shared.micro_errors import DocumentExists, DocumentNotFound, MicroError, NoAnswer, NoTimeLeft, Outcome
from shared.stores.checked import TextChange, Texts
from shared.stores.micro.layout import TRAIL, Address, HybridClock, RowState, Version, read_row_state
from shared.stores.port import Document, serialised

STALE_S: Final = 10.0
"""Seconds after which a draft's writer is assumed dead, and a reader finishes the draft. Longer than a verb lasts: a
smaller value would compete with living writers."""

PATIENCE_S: Final = (0.5, 1.5)
"""Seconds, at least and at most, that a writer waits for another's fresh draft before it draws a ballot. The waits are
spread between the two, so that waiting writers do not collide again."""

FIRST_WAIT_S: Final = 0.05
"""Seconds before the second read of a row that another writer is changing. Each later wait is twice as long."""

LOOKS: Final = 3
"""Further reads for the draft of the ballot before a writer's own. After them it builds on the newest draft that it
read."""

RECENT_S: Final = 1.0
"""Seconds for which a row that was read may serve as the base of a change, which saves a request. An older base has
often changed since, and then the attempt costs more requests than it saves."""

RECENT_ROWS: Final = 16
"""Rows that a store remembers for this. A request changes a few."""

SWEEPING_S: Final = 1.0
"""Seconds for deleting old versions, in parallel with a change. The next change deletes the rest."""

UNANSWERED: Final = 3
"""Requests without an answer after which a change gives up. Each may have cost seconds of the verb's time."""

_GOLDEN: Final = 0.6180339887
"""The fraction of the golden ratio: its multiples, modulo 1, are spread evenly."""

_log = logging.getLogger("agent_talk.ballots")


@dataclass(kw_only=True)
class _Call:
    """One update, with all its attempts."""

    row: Address
    change: TextChange
    deadline: float
    proposed: dict[int, Texts] = field(default_factory=dict)
    """The change's results, by the ballot under which each was proposed."""
    outbid_by: int = 0
    """A ballot above this call's last: its writer is given time to post its draft."""


@dataclass(frozen=True, kw_only=True)
class _Proposal:
    """A change's result from the newest version. Its ballot is drawn later."""

    version: Version
    before: str | None = None
    changed: bool = False
    """False: the version is proposed unchanged, since the change left it equal, is in it already, or was `refused`."""
    refused: Exception | None = None

    def under(self, ballot: int) -> Version:
        trail = (*self.version.trail, ballot)[-TRAIL:] if self.changed else self.version.trail
        return replace(self.version, ballot=ballot, trail=trail)


class Ballots:
    """Reads and changes rows. Every call ends by its `deadline`, a time of the client's clock. Raises MicroError."""

    def __init__(
        self, client: MicroClient, *, clock: HybridClock, sleep: Callable[[float], Awaitable[None]], seed: int = 0
    ) -> None:
        self._client = client
        self._clock = clock
        self._sleep = sleep
        self._spread = seed
        self._recent = Remembered[str, RowState](RECENT_ROWS)
        self._begun = 0
        self._forgotten = 0
        self._locks = KeyedLocks()

    async def read(self, row: Address, *, deadline: float) -> RowState:
        order, at = self._begin(), self._now()
        state = replace(await read_row_state(self._client, row, deadline=deadline), order=order, at=at)
        self._remember(row, state)
        return state

    def recent(self, row: Address) -> RowState | None:
        """Return the row as this store read it within RECENT_S, with its own changes since. None: it did not."""
        state = self._recent.get(row.stem)
        return state if state is not None and self._now() < state.at + RECENT_S else None

    def forget(self, row: Address) -> None:
        """Forget a row, and the results of reads that have begun. They may have missed a write."""
        self._forgotten = self._begin()
        self._recent.pop(row.stem, None)

    def is_orphaned(self, state: RowState) -> bool:
        """Return whether the newest version is a draft whose writer is assumed dead."""
        newest = state.newest
        return newest is not None and not newest.final and self._clock.age_s(newest.at) >= STALE_S

    async def update(self, row: Address, change: TextChange, *, deadline: float) -> Texts:
        """Change a row; return it before and after. An exception of `change` propagates, and nothing is written."""
        began = self._begin()
        async with self._locks.acquire(row.stem, wait_s=deadline - self._now(), late=NoTimeLeft):
            call = _Call(row=row, change=change, deadline=deadline)
            state, unanswered = self.recent(row), 0
            if state is None:
                state = await self.read(row, deadline=deadline)
            # A remembered row can be the base of a change: a ballot proves it the newest. It cannot be the reason of a
            # refusal, unless it was read while this call waited for the lock.
            certain = state.order > began
            while True:
                try:
                    settled = await self._attempt(call, state, certain=certain)
                except MicroError as error:
                    unanswered += 1
                    if error.outcome is not Outcome.UNKNOWN or unanswered == UNANSWERED:
                        raise
                    settled = None
                if settled is not None:
                    self._remember(row, settled)
                    return _made(settled, call.proposed)
                certain, state = True, await self.read(row, deadline=deadline)

    async def _attempt(self, call: _Call, state: RowState, *, certain: bool) -> RowState | None:
        """Return the row as decided by this attempt; None: start again with a new read."""
        state = await self._after_others(call, state)
        if _contains(state.final, call.proposed):
            return state
        proposal = None
        if _is_decided(state):
            proposal = _propose(call, state)
            if not proposal.changed:
                return _answered(proposal, state) if certain else None
        ballot, _ = await gather_settled(
            self._client.increment(call.row.counter, deadline=call.deadline), self._sweep(call, state)
        )
        if state.ballot != ballot - 1:
            state, proposal = await self._below(call, ballot), None
            if state.ballot >= ballot:
                return None
            if _contains(state.final, call.proposed):
                return state
        return await self._write(call, state, proposal or _propose(call, state), ballot)

    async def _write(self, call: _Call, state: RowState, proposal: _Proposal, ballot: int) -> RowState | None:
        if proposal.changed:
            call.proposed[ballot] = proposal.before, proposal.version.text
        elif _is_decided(state):
            return _answered(proposal, state)
        final = await self._decide(call, proposal.under(ballot))
        if final is None:
            return None
        decided = replace(state, versions=[*state.versions, final])
        if final.text is None:  # else a deleted row's content would stay until the next change, which may never come
            await self._sweep(call, decided)
        return _answered(proposal, decided)

    async def _after_others(self, call: _Call, state: RowState) -> RowState:
        """Return the row once no other writer seems to change it, or when patience ends."""
        patience_s, wait_s = self._patience_s(), FIRST_WAIT_S
        while patience_s > 0 and self._is_busy(call, state):
            await self._wait(min(wait_s, patience_s), deadline=call.deadline)
            patience_s, wait_s = patience_s - wait_s, 2 * wait_s
            state = await self.read(call.row, deadline=call.deadline)
        return state

    def _is_busy(self, call: _Call, state: RowState) -> bool:
        if state.ballot < call.outbid_by:
            return True
        return not (_is_decided(state) or _contains(state.newest, call.proposed) or self.is_orphaned(state))

    async def _below(self, call: _Call, ballot: int) -> RowState:
        """Read the row again, up to LOOKS more times if the draft before `ballot` is missing."""
        state, wait_s = await self.read(call.row, deadline=call.deadline), FIRST_WAIT_S
        for _ in range(LOOKS):
            if state.ballot >= ballot - 1:
                break
            await self._wait(wait_s, deadline=call.deadline)
            wait_s *= 2
            state = await self.read(call.row, deadline=call.deadline)
        return state

    async def _decide(self, call: _Call, version: Version) -> Version | None:
        """Post a draft and make it final once it is decided. None: it is not decided, so start again."""
        draft = replace(version, final=False, at=self._clock.stamp())
        database, key = call.row.database, call.row.version(draft.ballot)
        try:
            await self._client.create(database, key, draft.value(), deadline=call.deadline)
        except DocumentExists:  # a network that delivers a request twice may return the second answer
            if await self._client.get(database, key, deadline=call.deadline) != draft.value():
                return None
        later = await self._outbid_by(call.row, draft.ballot, deadline=call.deadline)
        if later is not None:
            call.outbid_by = later
            return None
        final = replace(draft, final=True)
        try:
            await self._client.replace(database, key, final.value(), deadline=call.deadline)
        except DocumentNotFound:
            _log.debug("%s: a later version replaced it before it was marked final; it counts", key)
        return final

    async def _outbid_by(self, row: Address, ballot: int, *, deadline: float) -> int | None:
        """Return the last ballot that was drawn; None: it is this one."""
        latest = await self._client.get_counter(row.counter, deadline=deadline) or 0
        return None if latest == ballot else latest

    async def _sweep(self, call: _Call, state: RowState) -> None:
        """Delete the documents that the newest final version replaced, within SWEEPING_S.

        A change does this for the one before it, in parallel with drawing its ballot: so it delays no caller.
        """
        row, final = call.row, state.final
        if final is None:
            return
        keys = [row.version(version.ballot) for version in state.versions if version.ballot < final.ballot]
        keys += [row.extension(extension.stamp) for extension in state.extensions if extension.stamp in final.folded]
        await remove(self._client, row.database, keys, deadline=min(call.deadline, self._now() + SWEEPING_S))

    def _remember(self, row: Address, state: RowState) -> None:
        if not _is_decided(state) or state.order < self._forgotten:
            return
        self._recent[row.stem] = state

    def _begin(self) -> int:
        """Return the number of a read or an update that begins now. Later ones have higher numbers."""
        self._begun += 1
        return self._begun

    def _patience_s(self) -> float:
        self._spread += 1
        low, high = PATIENCE_S
        return low + (high - low) * (self._spread * _GOLDEN % 1)

    async def _wait(self, seconds: float, *, deadline: float) -> None:
        if self._now() + seconds >= deadline:
            raise NoTimeLeft("the time was spent waiting for another writer of the row")
        await self._sleep(seconds)

    def _now(self) -> float:
        return self._client.deadline(0)


async def remove(client: MicroClient, database: str, keys: list[str], *, deadline: float) -> None:
    """Delete documents that have no effect any more, in parallel. A document that cannot be deleted has none either."""

    async def delete(key: str) -> None:
        try:
            await client.delete(database, key, deadline=deadline)
        except DocumentNotFound:
            pass
        except MicroError as error:
            _log.debug("%s was replaced and not deleted: %s", key, error)

    await gather_settled(*(delete(key) for key in keys))


def _propose(call: _Call, state: RowState) -> _Proposal:
    base = state.newest
    if base is not None and _contains(base, call.proposed):
        return _Proposal(version=base)
    if base is not None and _may_have_contained(base, call.proposed):
        raise NoAnswer("the row has changed so often that its trail cannot tell whether this change is in it")
    kept = base or Version(ballot=0, final=False, text=None, at="")
    before = _text(state.over(base))
    try:
        after = call.change(before)
    except Exception as exc:  # noqa: BLE001 the exception of `change`; raised once the base is decided
        return _Proposal(version=kept, refused=exc)
    if after == before:
        return _Proposal(version=kept)
    seen = frozenset(extension.stamp for extension in state.extensions)
    folded = seen if state.at_once else seen | kept.folded
    return _Proposal(version=replace(kept, text=after, folded=folded), before=before, changed=True)


def _text(document: Document | None) -> str | None:
    return None if document is None else serialised(document)


def _contains(version: Version | None, proposed: Container[int]) -> bool:
    return version is not None and any(ballot in proposed for ballot in version.trail)


def _may_have_contained(version: Version, proposed: Iterable[int]) -> bool:
    """Return whether one of these ballots may have left the trail. A new proposal could repeat its change."""
    return len(version.trail) == TRAIL and any(ballot < version.trail[0] for ballot in proposed)


def _is_decided(state: RowState) -> bool:
    """Return whether no draft is newer than the final version."""
    return state.newest is None or state.newest.final


def _answered(proposal: _Proposal, state: RowState) -> RowState:
    if proposal.refused is not None:
        raise proposal.refused
    return state


def _made(settled: RowState, proposed: Mapping[int, Texts]) -> Texts:
    """Return the row before and after this call's change. If it made none: the row twice."""
    trail = () if settled.final is None else settled.final.trail
    row = _text(settled.row())
    return next((proposed[ballot] for ballot in trail if ballot in proposed), (row, row))
