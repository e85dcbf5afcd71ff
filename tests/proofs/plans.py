"""Stripe's events, under a scheduler that decides every step.

Stripe changes, and delivers the event of each change several times, at any time after it and in any order. Each
delivery has its own handler. At each step the scheduler chooses: Stripe changes, a delivery begins, a call of the store
or a request to Stripe takes effect, a handler dies, or an answer is lost. Calls of a dead handler may take effect
later. Unacknowledged events are delivered again at the end, as Stripe does.

At the end the row and the user's tier must equal Stripe's state.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from shared.billing.billing import Billing
from shared.billing.syncing import PlanSync
from shared.core.errors import InternalError
from shared.tables.subscriptions import Subscription
from shared.tables.users import User
from tests.fakes.billing_world import BillingWorld, Seen
from tests.fakes.stripe_network import StripeTransport
from tests.fakes.stripe_objects import Json
from tests.fakes.stripe_server import PRO, FakeStripe
from tests.proofs.schedules import Choose, Option
from tests.proofs.turns import Client, Turns

Change = Callable[[BillingWorld, str], None]
"""A change at Stripe, of the customer with this id."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """Changes at Stripe. Those of `before` are processed before the schedule. Each event arrives `deliveries` times."""

    changes: Sequence[Change]
    before: Sequence[Change] = ()
    deliveries: int = 1
    crashes: int = 0
    losses: int = 0


def subscribe(world: BillingWorld, customer: str) -> None:
    world.stripe.objects.subscribe(customer, PRO)


def end(world: BillingWorld, customer: str) -> None:
    """End the live subscriptions."""
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
"""The stories that two or more handlers process."""


class NumberedLate(PlanSync):
    """Broken on purpose: the number is drawn after the request to Stripe."""

    async def sync(self, user_id: str, customer: str) -> None:
        standing = await self.standing(customer)
        number = await self._tables.subscriptions.draw(user_id)
        await self._write(user_id, customer, number, standing)


class NeverStamps(PlanSync):
    """Broken on purpose: a user whose tier is right already does not get the number."""

    async def _put_on(self, row: Subscription, *, stamps: bool) -> User | None:  # noqa: ARG002 ignoring it is the fault
        return await super()._put_on(row, stamps=False)


class _GatedTransport(StripeTransport):
    """Requests of one handler wait for the scheduler."""

    def __init__(self, stripe: FakeStripe, turns: Turns, handler: Client) -> None:
        super().__init__(stripe)
        self._turns = turns
        self._handler = handler

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        how = await self._turns.turn_of(
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
    """One run of a story. Each event has its own handler, a container."""

    story: Story
    choose: Choose
    protocol: type[PlanSync] = PlanSync

    def __post_init__(self) -> None:
        self.world = BillingWorld()
        self.turns = Turns(choose=self.choose, most_crashes=self.story.crashes, most_losses=self.story.losses)
        self._customer = ""
        self._changes = list(self.story.changes)
        self._undelivered: list[Json] = []
        self._handled: list[tuple[Json, asyncio.Task[bool]]] = []

    @property
    def taken(self) -> list[str]:
        return self.turns.taken

    async def run(self) -> None:
        """Run the story. Raises AssertionError, which names the schedule, if the plan is stale at the end."""
        billing = await self.world.begin()
        self._customer = await self.world.customer()
        for change in self.story.before:
            change(self.world, self._customer)
            await self.world.deliver(billing, self.world.events()[-1])
        await self.turns.run(self._happening)
        self.turns.end()
        await self.turns.land_late()
        for event, task in self._handled:
            (taken,) = await asyncio.gather(task, return_exceptions=True)
            if taken is not True:
                await self.world.deliver(self.world.billing(), event)
        self._check(await self.world.seen())

    def _happening(self) -> Sequence[Option]:
        options = [
            Option(name=f"deliver {event['type']}", take=self._deliver(number))
            for number, event in enumerate(self._undelivered)
        ]
        if self._changes:
            options.append(Option(name=f"Stripe: {self._changes[0].__name__}", take=self._change))
        return options

    def _change(self) -> None:
        self._changes.pop(0)(self.world, self._customer)
        self._undelivered += [self.world.events()[-1]] * self.story.deliveries

    def _deliver(self, number: int) -> Callable[[], None]:
        def take() -> None:
            event = self._undelivered.pop(number)
            handler = Client(len(self._handled) + 1, self.turns, self.world.store)
            transport = _GatedTransport(self.world.stripe, self.turns, handler)
            billing = self.world.billing(handler, transport, protocol=self.protocol)
            handler.task = asyncio.create_task(self._take_event(billing, event))
            self._handled.append((event, handler.task))
            self.turns.turn_to(handler)

        return take

    async def _take_event(self, billing: Billing, event: Json) -> bool:
        """Handle an event. Returns whether it was acknowledged."""
        try:
            await self.world.deliver(billing, event)
        except InternalError:
            return False
        return True

    def _check(self, seen: Seen) -> None:
        says, taken = self._says(), " | ".join(self.turns.taken)
        assert seen == says, f"{seen}, and Stripe says {says}: {taken}"
        live = [one["id"] for one in self.world.stripe.objects.of(self._customer) if one["status"] == "active"]
        assert len(live) <= 1, f"two live subscriptions: {taken}"

    def _says(self) -> Seen:
        """Return the plan that the owner should see: the oldest live subscription, else the newest one."""
        all_of = self.world.stripe.objects.of(self._customer)
        live = [one for one in all_of if one["status"] == "active"]
        one = live[-1] if live else all_of[0]
        tier = "pro" if live else "hobby"
        return Seen(tier=tier, of_row=tier, status=one["status"], subscription=one["id"])
