"""Stripe's events, under a scheduler that decides everything.

Stripe changes, and delivers the event of each change several times, at any time after it and in any order. Each
delivery is a handler of its own. Wherever something could happen, the scheduler chooses: Stripe changes, a delivery
begins, a call of the store or a request to Stripe is carried out, a handler dies, or an answer is lost. What a dead
handler had under way may be carried out later. What was not acknowledged is delivered once more at the end, as Stripe
does.

At the end the row and the user's tier must be what Stripe says.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx

from shared.billing.billing import Billing
from shared.billing.syncing import PlanSync
from shared.core.errors import InternalError
from shared.stores.port import Store, StoreUnavailable
from shared.tables.subscriptions import Subscription
from shared.tables.users import User
from tests.fakes.billing_world import BillingWorld, Seen
from tests.fakes.stripe_network import StripeTransport
from tests.fakes.stripe_objects import Json
from tests.fakes.stripe_server import PRO
from tests.proofs.schedules import Choose, Option
from tests.support import Intercepted

QUIET_TURNS: Final = 8
PATIENCE_STEPS: Final = 2_000

T = TypeVar("T")

Change = Callable[[BillingWorld, str], None]
"""What happens at Stripe, to the customer of this id."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """`before` has happened, and was taken, before the schedule begins. Each event comes `deliveries` times."""

    changes: Sequence[Change]
    before: Sequence[Change] = ()
    deliveries: int = 1
    crashes: int = 0
    losses: int = 0


def subscribe(world: BillingWorld, customer: str) -> None:
    world.stripe.objects.subscribe(customer, PRO)


def end(world: BillingWorld, customer: str) -> None:
    """End what is live."""
    world.stripe.objects.end(_live(world, customer))


def fail(world: BillingWorld, customer: str) -> None:
    world.stripe.objects.become(_live(world, customer), "unpaid")


def recover(world: BillingWorld, customer: str) -> None:
    world.stripe.objects.become(_live(world, customer), "active")


def _live(world: BillingWorld, customer: str) -> str:
    return next(str(one["id"]) for one in world.stripe.objects.of(customer) if one["status"] != "canceled")


STORIES: Final[Mapping[str, Story]] = {
    "subscribe and end": Story(changes=[subscribe, end]),
    "end and subscribe": Story(before=[subscribe], changes=[end, subscribe]),
    "one that dies": Story(changes=[subscribe, end], crashes=1),
    "one that gets no answer": Story(before=[subscribe], changes=[fail, recover], losses=1),
    "each twice": Story(changes=[subscribe, end], deliveries=2),
    "three changes, all that may happen": Story(changes=[subscribe, fail, recover], deliveries=2, crashes=1, losses=1),
    "two that are live": Story(before=[subscribe], changes=[subscribe], deliveries=2, crashes=1),
}
"""What two or more handlers meet."""


class NumberedLate(PlanSync):
    """Broken on purpose: the number is drawn after Stripe was asked."""

    async def sync(self, user_id: str, customer: str) -> None:
        standing = await self.standing(customer)
        number = await self._tables.subscriptions.draw(user_id)
        await self._write(user_id, customer, number, standing)


class NeverStamps(PlanSync):
    """Broken on purpose: a user who is on the tier already does not get the number."""

    async def _put_on(self, row: Subscription, *, stamps: bool) -> User | None:  # noqa: ARG002 that is the fault
        return await super()._put_on(row, stamps=False)


@dataclass(eq=False, kw_only=True)
class _Call:
    """A call of the store, or a request to Stripe, that waits for the scheduler."""

    handler: "_Handler"
    verb: str
    carry_out: Callable[[], Awaitable[Any]]
    turn: asyncio.Future[str]


class _Handler(Intercepted):
    """A container that takes one event. Its calls wait for the scheduler."""

    def __init__(self, number: int, world: "PlanSchedule", store: Store, event: Json) -> None:
        super().__init__(store)
        self.number = number
        self.event = event
        self.is_dead = False
        self.task: asyncio.Task[bool] | None = None
        self._world = world

    async def _carry_out(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        if self.is_dead:
            raise asyncio.CancelledError
        how = await self._world.turn_of(self, verb, call)
        if how == "unsent":
            raise StoreUnavailable(f"{verb} was not carried out")
        answer = await call()
        if how == "lost":
            raise StoreUnavailable(f"{verb} was not answered")
        return answer


class _GatedTransport(StripeTransport):
    """Requests of one handler wait for the scheduler."""

    def __init__(self, world: "PlanSchedule", handler: _Handler) -> None:
        super().__init__(world.world.stripe)
        self._world = world
        self._handler = handler

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        how = await self._world.turn_of(
            self._handler, f"stripe {request.method}", lambda: StripeTransport.handle_async_request(self, request)
        )
        if how == "unsent":
            raise httpx.ConnectError("no connection", request=request)
        answer = await super().handle_async_request(request)
        if how == "lost":
            raise httpx.ReadTimeout("no answer", request=request)
        return answer


@dataclass(kw_only=True)
class PlanSchedule:
    """One run of a story. `taken` are the choices that were made."""

    story: Story
    choose: Choose
    protocol: type[PlanSync] = PlanSync
    taken: list[str] = field(default_factory=list)
    crashes: int = 0
    losses: int = 0

    def __post_init__(self) -> None:
        self.world = BillingWorld()
        self._customer = ""
        self._changes = list(self.story.changes)
        self._undelivered: list[Json] = []
        self._again: list[Json] = []
        self._waiting: list[_Call] = []
        self._late: list[_Call] = []
        self._handlers: list[_Handler] = []
        self._arrived = 0
        self._last = 0
        self._is_over = False

    async def run(self) -> None:
        """Raises AssertionError, which names the schedule, if the plan is stale at the end."""
        billing = await self.world.begin()
        self._customer = await self.world.customer()
        for change in self.story.before:
            change(self.world, self._customer)
            await self.world.deliver(billing, self.world.events()[-1])
        while True:
            await self._settle()
            options = self._options()
            if not options:
                break
            chosen = options[self.choose(options, object)]
            self.taken.append(chosen.name)
            assert len(self.taken) < PATIENCE_STEPS, "it does not end"
            chosen.take()
        await self._end()

    async def turn_of(self, handler: _Handler, verb: str, call: Callable[[], Awaitable[Any]]) -> str:
        self._arrived += 1
        if self._is_over:
            return "done"
        waiting = _Call(handler=handler, verb=verb, carry_out=call, turn=asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        return await waiting.turn

    def _options(self) -> Sequence[Option]:
        """The handler that was let go last goes on, unless the scheduler turns to something else."""
        calls = sorted(self._waiting, key=lambda call: (call.handler.number != self._last, call.handler.number))
        options = [Option(name=f"{call.handler.number} {call.verb}", take=self._let(call, "done")) for call in calls]
        for number, event in enumerate(self._undelivered):
            options.append(Option(name=f"deliver {event['type']}", take=self._deliver(number)))
        if self._changes:
            options.append(Option(name=f"Stripe: {self._changes[0].__name__}", take=self._change))
        options += [Option(name=f"late {call.verb}", take=self._land(call)) for call in self._late]
        if self.losses < self.story.losses:
            options += [
                Option(name=f"{call.handler.number} {call.verb} {how}", take=self._let(call, how), fault=True)
                for how in ("lost", "unsent")
                for call in calls
            ]
        if self.crashes < self.story.crashes:
            alive = {call.handler.number: call.handler for call in calls}
            options += [Option(name=f"{n} dies", take=self._kill(one), fault=True) for n, one in alive.items()]
        return options

    def _change(self) -> None:
        self._changes.pop(0)(self.world, self._customer)
        self._undelivered += [self.world.events()[-1]] * self.story.deliveries

    def _deliver(self, number: int) -> Callable[[], None]:
        def take() -> None:
            event = self._undelivered.pop(number)
            self._begin(event)

        return take

    def _begin(self, event: Json) -> _Handler:
        handler = _Handler(len(self._handlers) + 1, self, self.world.store, event)
        billing = self.world.billing(handler, _GatedTransport(self, handler), protocol=self.protocol)
        handler.task = asyncio.create_task(self._take_event(billing, event))
        self._handlers.append(handler)
        self._last = handler.number
        return handler

    async def _take_event(self, billing: Billing, event: Json) -> bool:
        """Whether it was acknowledged."""
        try:
            await self.world.deliver(billing, event)
        except InternalError:
            return False
        return True

    def _let(self, call: _Call, how: str) -> Callable[[], None]:
        def take() -> None:
            self._waiting.remove(call)
            self._last = call.handler.number
            self.losses += how != "done"
            call.turn.set_result(how)

        return take

    def _land(self, call: _Call) -> Callable[[], None]:
        def take() -> None:
            self._late.remove(call)
            self._landing = asyncio.create_task(self._carry_out(call))

        return take

    def _kill(self, handler: _Handler) -> Callable[[], None]:
        def take() -> None:
            self.crashes += 1
            handler.is_dead = True
            self._late += [call for call in self._waiting if call.handler is handler and call.verb != "get"]
            self._waiting = [call for call in self._waiting if call.handler is not handler]
            assert handler.task is not None
            handler.task.cancel()

        return take

    async def _carry_out(self, call: _Call) -> None:
        try:
            await call.carry_out()
        except Exception as exc:  # noqa: BLE001 the handler that it would be told is dead
            self.taken.append(f"({type(exc).__name__})")

    async def _settle(self) -> None:
        quiet = 0
        while quiet < QUIET_TURNS:
            before = self._arrived
            await asyncio.sleep(0)
            quiet = quiet + 1 if self._arrived == before else 0

    async def _end(self) -> None:
        self._is_over = True
        for call in self._late:
            await self._carry_out(call)
        repeated = []
        for handler in self._handlers:
            assert handler.task is not None
            (taken,) = await asyncio.gather(handler.task, return_exceptions=True)
            if taken is not True:
                repeated.append(handler.event)
        for event in repeated:
            await self.world.deliver(self.world.billing(), event)
        seen, says = await self.world.seen(), self._says()
        assert seen == says, f"{seen}, and Stripe says {says}: {' | '.join(self.taken)}"
        live = [one["id"] for one in self.world.stripe.objects.of(self._customer) if one["status"] == "active"]
        assert len(live) <= 1, f"two live subscriptions: {' | '.join(self.taken)}"

    def _says(self) -> Seen:
        """What the owner should see: of the live subscriptions the oldest, of others the newest."""
        all_of = self.world.stripe.objects.of(self._customer)
        live = [one for one in all_of if one["status"] == "active"]
        one = live[-1] if live else all_of[0]
        tier = "pro" if live else "hobby"
        return Seen(tier=tier, of_row=tier, status=one["status"], subscription=one["id"])
