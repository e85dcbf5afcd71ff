"""At most one password per processor is hashed at a time, and no request waits in vain."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from shared.accounts.passwords import FIRST_HASH_S, REST_S, Passwords
from shared.core.derived import Pseudonyms
from shared.core.errors import ServiceUnavailable, TooManyAttempts
from shared.core.request import REQUEST_S
from shared.core.settings import AttemptLimits
from shared.limits.attempts import Attempts
from shared.stores.memory.store import MemoryStore
from tests.support import SECRET, FakeClock, outcomes, request_that_has

pytestmark = pytest.mark.anyio


class _HeldHasher(PasswordHasher):
    """Hashes cheaply, once it is released; records the most concurrent hashes."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.go_on = threading.Event()
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.go_on.wait(30)
        with self._lock:
            self.at_once -= 1
        return super().hash(password, salt=salt)


@pytest.fixture
def hasher() -> Iterator[_HeldHasher]:
    hasher = _HeldHasher()
    yield hasher
    hasher.go_on.set()  # a waiting thread would block the end of the test run


@pytest.mark.parametrize("at_once", [1, 2])
async def test_hashing_refuses_at_once_what_cannot_be_served(hasher: _HeldHasher, at_once: int) -> None:
    """A queue as long as the request's time is served; later requests get 503 with `Retry-After`."""
    passwords = Passwords(hasher, at_once=at_once)
    room = round(at_once * (REQUEST_S - REST_S) / FIRST_HASH_S)
    tasks = [asyncio.ensure_future(passwords.hash(f"password {number}")) for number in range(room + 50)]
    await asyncio.sleep(0)
    refused = [task for task in tasks if task.done()]
    assert len(refused) == 50
    for task in refused:
        error = task.exception()
        assert isinstance(error, ServiceUnavailable)
        assert error.headers == {"Retry-After": str(round(REQUEST_S - REST_S))}
    hasher.go_on.set()
    hashes, raised = await outcomes(task for task in tasks if task not in refused)
    assert (len(hashes), raised, hasher.most_at_once) == (room, [], at_once)
    assert await passwords.hash("one more")


async def test_hashing_asks_to_wait_a_second_when_time_is_up() -> None:
    """If the request has no time left for a hash, `Retry-After` is 1, not 0."""
    with request_that_has(REST_S), pytest.raises(ServiceUnavailable) as refused:
        await Passwords().hash("too late")
    assert refused.value.headers == {"Retry-After": "1"}


async def test_hashing_learns_how_long_a_hash_takes(hasher: _HeldHasher) -> None:
    """On a slow machine the queue is shorter: it is measured in seconds, not in hashes."""
    seconds = iter(range(0, 1000, 5))
    hasher.go_on.set()
    passwords = Passwords(hasher, at_once=1, monotonic=lambda: float(next(seconds)))
    for _ in range(20):
        await passwords.hash("slow")
    hasher.go_on.clear()
    tasks = [asyncio.ensure_future(passwords.hash("more")) for _ in range(5)]
    await asyncio.sleep(0)
    assert sum(task.done() for task in tasks) == 3
    hasher.go_on.set()
    await outcomes(tasks)


async def test_an_attempt_that_answers_503_is_given_back() -> None:
    """Only the caller's own failures count: an attempt that was not served leaves the limit unchanged."""
    attempts = Attempts(
        MemoryStore(), AttemptLimits(signups_per_address=1), pseudonyms=Pseudonyms(SECRET), clock=FakeClock()
    )

    async def unserved() -> None:
        attempt = attempts.sign_up("1.2.3.4")
        async with attempt.unless_it_breaks():
            await attempt.begin()
            raise ServiceUnavailable

    for _ in range(3):
        with pytest.raises(ServiceUnavailable):
            await unserved()
    await attempts.sign_up("1.2.3.4").begin()
    with pytest.raises(TooManyAttempts):
        await attempts.sign_up("1.2.3.4").begin()
