"""Rows that change, on a server whose only atomic operation is an increment: CASPaxos with one acceptor.

A row is a pile of versions. The number of each is a ballot drawn from the row's counter, so each has one writer for
ever. Whoever writes draws a ballot, builds on the newest version, final or not, posts its own as a draft, and looks at
the counter again. If no later ballot was drawn, all that come later will build on this draft: it is decided, and is
made final. A draft that lands late lies below what others have built meanwhile, and is never read. The argument, and
what breaks without each of the steps: docs/decisions/0002-hypr-micro-rows.md.

The waits are courtesy between writers. No clock and no wait decides anything.
"""

import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from shared.core.concurrency import KeyedLocks, gather_settled
from shared.micro import MicroClient
from shared.micro_errors import DocumentExists, DocumentNotFound, MicroError, NoAnswer, NoTimeLeft, Outcome
from shared.stores.micro.layout import TRAIL, Address, RowState, Stamps, Version, read_row_state
from shared.stores.port import Change, Document, serialised

STALE_S: Final = 10.0
"""A draft of this age has lost its writer."""

PATIENCE_S: Final = (0.5, 1.5)
"""How long a writer leaves a fresh draft to its writer before it draws a ballot itself: spread, so that several of them
do not meet again."""

FIRST_WAIT_S: Final = 0.05
LOOKS: Final = 3
"""How often a writer looks for the draft of the ballot before its own."""

RECENT_S: Final = 1.0
RECENT_ROWS: Final = 16
SWEEPING_S: Final = 1.0
"""What cannot be swept away in this time stays until the next change."""

UNANSWERED: Final = 3
"""Requests without an answer after which a change gives up."""

_GOLDEN: Final = 0.6180339887

_log = logging.getLogger("agent_talk.ballots")


@dataclass(kw_only=True)
class _Call:
    """One update, over its attempts."""

    row: Address
    change: Change
    deadline: float
    proposed: dict[int, str | None] = field(default_factory=dict)
    """The ballots under which the change was proposed, and the rows that it made."""
    outbid_by: int = 0
    """A ballot above this call's last: its writer is left the time to post its draft."""


@dataclass(frozen=True, kw_only=True)
class _Proposal:
    """What a change makes of the version that was there. Its ballot is still to come."""

    version: Version
    changed: bool = False
    """Else it is what was there: nothing is to be changed, or not again, or the change `refused`."""
    refused: Exception | None = None

    def under(self, ballot: int) -> Version:
        trail = (*self.version.trail, ballot)[-TRAIL:] if self.changed else self.version.trail
        return replace(self.version, ballot=ballot, trail=trail)


class Ballots:
    """Reads and changes rows. Every call ends by its `deadline`, a time of the client's clock. Raises MicroError."""

    def __init__(
        self, client: MicroClient, *, stamps: Stamps, sleep: Callable[[float], Awaitable[None]], seed: int = 0
    ) -> None:
        self._client = client
        self._stamps = stamps
        self._sleep = sleep
        self._spread = seed
        self._recent: OrderedDict[str, RowState] = OrderedDict()
        self._begun = 0
        self._forgotten = 0
        self._turns = KeyedLocks()

    async def read(self, row: Address, *, deadline: float) -> RowState:
        order, at = self._begin(), self._now()
        pile = replace(await read_row_state(self._client, row, deadline=deadline), order=order, at=at)
        self._remember(row, pile)
        return pile

    def recent(self, row: Address) -> RowState | None:
        """What this store read within the last second, and has made of it since."""
        pile = self._recent.get(row.stem)
        return pile if pile is not None and self._now() < pile.at + RECENT_S else None

    def forget(self, row: Address) -> None:
        """Something was written that a read or an update under way may have missed."""
        self._forgotten = self._begin()
        self._recent.pop(row.stem, None)

    def is_orphaned(self, pile: RowState) -> bool:
        """Whether the newest version is a draft that its writer will hardly finish."""
        newest = pile.newest
        return newest is not None and not newest.final and self._stamps.age_s(newest.at) >= STALE_S

    async def update(self, row: Address, change: Change, *, deadline: float) -> Document | None:
        """The row after the change. What `change` raises passes through, and then nothing of it is written."""
        began = self._begin()
        async with self._turns.acquire(row.stem, wait_s=deadline - self._now(), late=NoTimeLeft):
            call = _Call(row=row, change=change, deadline=deadline)
            pile, unanswered = self.recent(row), 0
            if pile is None:
                pile = await self.read(row, deadline=deadline)
            # What is remembered can be built upon: a ballot proves it to be the newest. It can refuse nothing, unless
            # it was read while this call waited for its turn.
            certain = pile.order > began
            while True:
                try:
                    settled = await self._attempt(call, pile, certain=certain)
                except MicroError as error:
                    unanswered += 1
                    if error.outcome is not Outcome.UNKNOWN or unanswered == UNANSWERED:
                        raise
                    settled = None
                if settled is not None:
                    self._remember(row, settled)
                    return _made(settled, call.proposed)
                certain, pile = True, await self.read(row, deadline=deadline)

    async def _attempt(self, call: _Call, pile: RowState, *, certain: bool) -> RowState | None:
        """What stands now, or None: start over with a new read."""
        pile = await self._after_others(call, pile)
        if _contains(pile.final, call.proposed):
            return pile
        proposal = None
        if _stands(pile):
            proposal = _propose(call, pile)
            if not proposal.changed:
                return _answered(proposal, pile) if certain else None
        ballot, _ = await gather_settled(
            self._client.increment(call.row.counter, deadline=call.deadline), self._sweep(call, pile)
        )
        if pile.ballot != ballot - 1:
            pile, proposal = await self._below(call, ballot), None
            if pile.ballot >= ballot:
                return None
            if _contains(pile.final, call.proposed):
                return pile
        return await self._write(call, pile, proposal or _propose(call, pile), ballot)

    async def _write(self, call: _Call, pile: RowState, proposal: _Proposal, ballot: int) -> RowState | None:
        if proposal.changed:
            call.proposed[ballot] = proposal.version.text
        elif _stands(pile):
            return _answered(proposal, pile)
        final = await self._decide(call, proposal.under(ballot))
        if final is None:
            return None
        stands = replace(pile, versions=[*pile.versions, final])
        if final.text is None:  # of a deleted row nothing stays that was in it
            await self._sweep(call, stands)
        return _answered(proposal, stands)

    async def _after_others(self, call: _Call, pile: RowState) -> RowState:
        """The pile once no other writer is known to be at it, or after a while."""
        patience_s, wait_s = self._patience_s(), FIRST_WAIT_S
        while patience_s > 0 and self._is_busy(call, pile):
            await self._wait(min(wait_s, patience_s), deadline=call.deadline)
            patience_s, wait_s = patience_s - wait_s, 2 * wait_s
            pile = await self.read(call.row, deadline=call.deadline)
        return pile

    def _is_busy(self, call: _Call, pile: RowState) -> bool:
        if pile.ballot < call.outbid_by:
            return True
        return not (_stands(pile) or _contains(pile.newest, call.proposed) or self.is_orphaned(pile))

    async def _below(self, call: _Call, ballot: int) -> RowState:
        """A new read, and a few more for the draft of the ballot before this one."""
        pile, wait_s = await self.read(call.row, deadline=call.deadline), FIRST_WAIT_S
        for _ in range(LOOKS):
            if pile.ballot >= ballot - 1:
                break
            await self._wait(wait_s, deadline=call.deadline)
            wait_s *= 2
            pile = await self.read(call.row, deadline=call.deadline)
        return pile

    async def _decide(self, call: _Call, version: Version) -> Version | None:
        """The version once it stands, and all that come later build on it. None: another may have come between."""
        draft = replace(version, final=False, at=self._stamps.next())
        database, key = call.row.database, call.row.version(draft.ballot)
        try:
            await self._client.create(database, key, draft.value(), deadline=call.deadline)
        except DocumentExists:
            return None
        later = await self._outbid_by(call.row, draft.ballot, deadline=call.deadline)
        if later is not None:
            call.outbid_by = later
            return None
        final = replace(draft, final=True)
        try:
            await self._client.replace(database, key, final.value(), deadline=call.deadline)
        except DocumentNotFound:
            _log.debug("%s was built upon and swept away", key)
        return final

    async def _outbid_by(self, row: Address, ballot: int, *, deadline: float) -> int | None:
        """The last ballot that was drawn; None: it is this one."""
        latest = await self._client.get_counter(row.counter, deadline=deadline) or 0
        return None if latest == ballot else latest

    async def _sweep(self, call: _Call, pile: RowState) -> None:
        """Delete what the newest final version has replaced, as far as it goes.

        What a change replaces is swept by the next one, beside its ballot: so nobody waits for it.
        """
        row, final = call.row, pile.final
        if final is None:
            return
        keys = [row.version(version.ballot) for version in pile.versions if version.ballot < final.ballot]
        keys += [row.extension(each.stamp) for each in pile.extensions if each.stamp in final.folded]
        await remove(self._client, row.database, keys, deadline=min(call.deadline, self._now() + SWEEPING_S))

    def _remember(self, row: Address, pile: RowState) -> None:
        if not _stands(pile) or pile.order < self._forgotten:
            return
        self._recent[row.stem] = pile
        self._recent.move_to_end(row.stem)
        if len(self._recent) > RECENT_ROWS:
            self._recent.popitem(last=False)

    def _begin(self) -> int:
        """Numbers what begins here: of two, the later one has the higher."""
        self._begun += 1
        return self._begun

    def _patience_s(self) -> float:
        self._spread += 1
        low, high = PATIENCE_S
        return low + (high - low) * (self._spread * _GOLDEN % 1)

    async def _wait(self, seconds: float, *, deadline: float) -> None:
        if self._now() + seconds >= deadline:
            raise NoTimeLeft("another writer was waited for")
        await self._sleep(seconds)

    def _now(self) -> float:
        return self._client.deadline(0)


async def remove(client: MicroClient, database: str, keys: list[str], *, deadline: float) -> None:
    """Delete what counts no more, at once. What cannot be deleted stays, and still does not count."""

    async def delete(key: str) -> None:
        try:
            await client.delete(database, key, deadline=deadline)
        except DocumentNotFound:
            pass
        except MicroError as error:
            _log.debug("%s stays: %s", key, error)

    await gather_settled(*(delete(key) for key in keys))


def _propose(call: _Call, pile: RowState) -> _Proposal:
    base = pile.newest
    if base is not None and _contains(base, call.proposed):
        return _Proposal(version=base)
    if base is not None and _may_have_contained(base, call.proposed):
        raise NoAnswer("so many have changed the row since that it does not tell whether this change is in it")
    kept = base or Version(ballot=0, final=False, text=None, at="")
    document = pile.over(base)
    before = None if document is None else serialised(document)
    try:
        changed = call.change(document)
        after = None if changed is None else serialised(changed)
    except Exception as exc:  # noqa: BLE001 -- the caller's own, whatever it is; raised once the base stands
        return _Proposal(version=kept, refused=exc)
    if after == before:
        return _Proposal(version=kept)
    seen = frozenset(extension.stamp for extension in pile.extensions)
    folded = seen if pile.at_once else seen | kept.folded
    return _Proposal(version=replace(kept, text=after, folded=folded), changed=True)


def _contains(version: Version | None, proposed: Container[int]) -> bool:
    return version is not None and any(ballot in proposed for ballot in version.trail)


def _may_have_contained(version: Version, proposed: Iterable[int]) -> bool:
    """Whether one of these ballots may have left the trail: its change would be made twice."""
    return len(version.trail) == TRAIL and any(ballot < version.trail[0] for ballot in proposed)


def _stands(pile: RowState) -> bool:
    """Nothing newer is under way."""
    return pile.newest is None or pile.newest.final


def _answered(proposal: _Proposal, pile: RowState) -> RowState:
    if proposal.refused is not None:
        raise proposal.refused
    return pile


def _made(settled: RowState, proposed: Mapping[int, str | None]) -> Document | None:
    """The row as the change made it, whatever others have made of it since; as it is, when there was nothing to do."""
    trail = () if settled.final is None else settled.final.trail
    texts = [proposed[ballot] for ballot in trail if ballot in proposed]
    if not texts:
        return settled.row()
    made: Document | None = None if texts[0] is None else json.loads(texts[0])
    return made
