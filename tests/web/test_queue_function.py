"""A function that SQS invokes: its start, the messages to deliver again, and the time of each message."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from shared.core.settings import Settings
from shared.services import Services, build_services
from shared.stores.port import StoreUnavailable
from shared.web.queue_function import ENDS_BEFORE_S, QueueFunction, Record
from tests.events import LambdaContext, sqs_event

NO_SERVICES = {"AGENT_TALK_STORE": "none of ours"}


class _Work:
    """Records what the function calls, in order; messages of the body `bad` fail."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.left_s: list[float] = []

    async def begin(self, services: Services) -> None:
        assert isinstance(services, Services)
        self.done.append("begin")

    async def handle(self, services: Services, record: Record, time_left_s: Callable[[], float]) -> None:
        assert isinstance(services, Services)
        await asyncio.sleep(0)
        if record["body"] == "bad":
            raise StoreUnavailable("the store is down")
        self.done.append(record["body"])
        self.left_s.append(time_left_s())


@pytest.fixture
def work() -> _Work:
    return _Work()


@pytest.fixture
def function(work: _Work) -> Iterator[QueueFunction]:
    function = QueueFunction(work.handle, begin=work.begin, environ={}, monotonic=lambda: 100.0)
    yield function
    function.close()


def test_queue_function_begins_once_before_its_messages(function: QueueFunction, work: _Work) -> None:
    """A container's start runs before its first message, and not again for the next event."""
    assert function(sqs_event(["a"]), LambdaContext()) == {"batchItemFailures": []}
    assert function(sqs_event(["b"]), LambdaContext()) == {"batchItemFailures": []}
    assert work.done == ["begin", "a", "b"]


def test_queue_function_in_another_environment_begins_too(function: QueueFunction, work: _Work) -> None:
    """The same function as another container has its own beginning, clock and handler."""
    function(sqs_event(["a"]), LambdaContext())
    other = function.with_environment({})
    other(sqs_event(["b"]), LambdaContext(remaining_ms=30_000))
    other.close()
    assert work.done == ["begin", "a", "begin", "b"]
    assert work.left_s[1:] == [30 - ENDS_BEFORE_S]


def test_queue_function_hands_over_again_what_failed_alone(function: QueueFunction, work: _Work) -> None:
    """A failed message fails no other, in any order."""
    event = sqs_event(["a", "bad", "b", "bad"])
    answer = function(event, LambdaContext())
    failed = [event["Records"][number]["messageId"] for number in (1, 3)]
    assert answer == {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
    assert work.done == ["begin", "a", "b"]


def test_queue_function_gives_time_until_shortly_before_its_end(function: QueueFunction, work: _Work) -> None:
    """Work ends early enough to write its outcome before Lambda stops the function."""
    function(sqs_event(["a"]), LambdaContext(remaining_ms=300_000))
    assert work.left_s == [300 - ENDS_BEFORE_S]
    assert ENDS_BEFORE_S > 15


def test_queue_function_hands_all_over_again_without_services(work: _Work) -> None:
    """A container that cannot be built loses no message."""
    function = QueueFunction(work.handle, begin=work.begin, environ=NO_SERVICES)
    event = sqs_event(["a", "b"])
    answer = function(event, LambdaContext())
    function.close()
    assert [one["itemIdentifier"] for one in answer["batchItemFailures"]] == [
        record["messageId"] for record in event["Records"]
    ]
    assert work.done == []


@pytest.mark.parametrize("event", [None, [], "Records", {}, {"Records": None}, {"Records": {}}, {"version": "2.0"}])
def test_queue_function_takes_events_of_sqs_alone(function: QueueFunction, event: object) -> None:
    """Another event is a wiring mistake: it is raised, so that Lambda counts it."""
    with pytest.raises(ValueError, match="SQS alone"):
        function(event, LambdaContext())


def test_queue_function_that_is_closed_has_closed_its_services(work: _Work) -> None:
    """The services stay open after an event, and are closed with the function."""
    closed: list[str] = []

    async def close() -> None:
        closed.append("services")

    def build(settings: Settings) -> Services:
        return replace(build_services(settings), close=close)

    function = QueueFunction(work.handle, begin=work.begin, environ={}, build=build)
    function(sqs_event(["a"]), LambdaContext())
    assert closed == []
    function.close()
    assert closed == ["services"]
