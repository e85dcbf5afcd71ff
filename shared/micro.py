"""HYPR Micro's wire client: documents, ranges, counters and databases, typed, over one funnel.

How a request can fail, and whether it was processed then: `micro_errors`. The server may also carry out a request of
unknown outcome much later: the caller reads to settle it, and never sends it again.
"""

import asyncio
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic_core import from_json

from shared.core.checked_clock import CheckedClock
from shared.micro_address import Direct, Platform, segment
from shared.micro_errors import (
    DocumentNotFound,
    ForeignServer,
    MicroError,
    NoAnswer,
    NoTimeLeft,
    Overloaded,
    Unreachable,
    refusal,
    said_by,
)
from shared.micro_wire import Headers, Wire
from shared.observability import request_stats, trace

WAITS: Final = 3
"""Repeats of a request whose answer has a `Retry-After`. Each attempt counts against the platform's daily plan."""

MIN_WAIT_S: Final = 0.1
"""Least seconds of a wait, if `Retry-After` has fewer, such as 0."""

COUNTERS: Final = "__cache"
"""The server's own database of counters. Never write to it: a document there could break a counter."""

_log = logging.getLogger("agent_talk.micro")

T = TypeVar("T")

Json = dict[str, Any]


class StoredDocument(NamedTuple):
    key: str
    value: Json


class CounterValue(NamedTuple):
    name: str
    value: int


class MicroClient:
    """One HYPR Micro server, over `micro_connections.MicroConnections(server.url)`.

    `checked_clock` observes the server's time in each answer.

    Every call ends by `deadline`, a time of the injected monotonic clock, and at the latest `timeout_s` after it began;
    both must be before the Lambda function's timeout. Until then a call

    - is sent once more, on a new connection, if it was not sent, or if it only reads and was not answered;
    - waits and is sent again, up to WAITS times, if the answer is 429 or 503 with a `Retry-After` that ends in time.

    A write that was sent and not answered raises NoAnswer. Logs and errors contain keys, so a key contains no secret.
    """

    def __init__(
        self,
        wire: Wire,
        server: Direct | Platform,
        *,
        timeout_s: float = 8.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        checked_clock: CheckedClock | None = None,
    ) -> None:
        self._wire = wire
        self._server = server
        self._base = urlsplit(server.root).path
        self._anonymous = [(b"user-agent", b"agent-talk")]
        self._identified = [*self._anonymous, *_encoded(server.headers)]
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._sleep = sleep
        self._checked_clock = checked_clock

    def deadline(self, budget_s: float) -> float:
        """Return the time `budget_s` seconds from now. Calls that share a budget take it as `deadline`."""
        return self._monotonic() + budget_s

    async def create(self, database: str, key: str, value: Json, *, deadline: float | None = None) -> None:
        """Create a document. Raises DocumentExists.

        Not atomic: several concurrent creates of one key can succeed, and the last one wins.
        """
        segment(key)
        body = {"key": key, "value": value}
        await self._request("POST", f"{_database(database)}/docs", _ok, body=body, deadline=deadline)

    async def get(self, database: str, key: str, *, deadline: float | None = None) -> Json | None:
        """Return the document; None: absent."""
        path = f"{_database(database)}/docs/{segment(key)}"
        try:
            return await self._request("GET", path, _value, repeatable=True, deadline=deadline)
        except DocumentNotFound:
            return None

    async def replace(self, database: str, key: str, value: Json, *, deadline: float | None = None) -> None:
        """Replace a whole document; the last writer wins. Raises DocumentNotFound if it is absent."""
        path = f"{_database(database)}/docs/{segment(key)}"
        await self._request("PUT", path, _ok, body={"value": value}, deadline=deadline)

    async def delete(self, database: str, key: str, *, deadline: float | None = None) -> None:
        """Delete a document. Raises DocumentNotFound. A concurrent `replace` may write it again."""
        await self._request("DELETE", f"{_database(database)}/docs/{segment(key)}", _ok, deadline=deadline)

    async def query(
        self,
        database: str,
        *,
        start: str | None = None,
        end: str | None = None,
        limit: int = 1000,
        reverse: bool = False,
        deadline: float | None = None,
    ) -> list[StoredDocument]:
        """Return documents in byte order of their keys, from `start` inclusive to `end` exclusive.

        With `reverse`, from the high `start` inclusive down to the low `end` exclusive. None: no bound. `limit` is 1 to
        10000; fewer documents: there are no more. To continue after a key, start at the key + NUL, or in reverse at the
        key itself and skip it.
        """
        body = _range(start, end, limit, reverse=reverse)
        path = f"{_database(database)}/query"
        return await self._request("POST", path, _documents, body=body, repeatable=True, deadline=deadline)

    async def keys(
        self, database: str, *, start: str, end: str, limit: int = 1000, deadline: float | None = None
    ) -> list[str]:
        """Return the keys of the documents that `query` would return."""
        body = {**_range(start, end, limit, reverse=False), "keysOnly": True}
        return await self._request(
            "POST", f"{_database(database)}/query", _keys, body=body, repeatable=True, deadline=deadline
        )

    async def increment(self, counter: str, by: int = 1, *, deadline: float | None = None) -> int:
        """Add to a counter, atomically, and return the sum. An absent counter is 0. No other operation is atomic."""
        path = f"/api/cache/{segment(counter)}/increment"
        return await self._request("POST", path, _number, body={"by": by}, deadline=deadline)

    async def get_counter(self, counter: str, *, deadline: float | None = None) -> int | None:
        """Return the value of a counter; None: absent."""
        path = f"/api/cache/{segment(counter)}"
        return await self._request("GET", path, _found, repeatable=True, deadline=deadline)

    async def counters(
        self,
        *,
        start: str | None = None,
        end: str | None = None,
        limit: int = 1000,
        reverse: bool = False,
        deadline: float | None = None,
    ) -> list[CounterValue]:
        """Return counters in byte order of their names; bounds and limit as in `query`."""
        body = _range(start, end, limit, reverse=reverse)
        path = f"{_database(COUNTERS)}/query"
        return await self._request("POST", path, _counters, body=body, repeatable=True, deadline=deadline)

    async def delete_counter(self, counter: str, *, deadline: float | None = None) -> bool:
        """Delete a counter, and return whether it existed. It starts at 0 again: never delete a counter of ballots."""
        return await self._request("DELETE", f"/api/cache/{segment(counter)}", _deleted, deadline=deadline)

    async def databases(self, *, deadline: float | None = None) -> list[str]:
        """Return the created databases, sorted. One that was only read or written has a slot, but is not listed."""
        return await self._request("GET", "/api/dbs", _names, repeatable=True, deadline=deadline)

    async def create_database(self, database: str, *, deadline: float | None = None) -> None:
        """Create a database. Raises DatabaseExists, DatabasesFull."""
        await self._request("POST", _database(database), _ok, deadline=deadline)

    async def health(self, *, deadline: float | None = None) -> str:
        """Return the server's version. The request needs no key, so it does not test the key."""
        return await self._request("GET", "/health", _version, repeatable=True, deadline=deadline)

    async def mints_keys_for_all(self, *, deadline: float | None = None) -> bool:
        """Return whether the server gives keys to callers without credentials.

        It does if `GET /api/auth` is answered 200. False also if there is no answer.
        """
        try:
            await self._request("GET", "/api/auth", _anything, anonymous=True, repeatable=True, deadline=deadline)
        except MicroError as error:
            return error.status == 200
        return True

    async def _request(
        self,
        method: str,
        path: str,
        read: Callable[[Any], T],
        *,
        body: Json | None = None,
        anonymous: bool = False,
        repeatable: bool = False,
        deadline: float | None = None,
    ) -> T:
        content = None if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        ends_at = min(self._monotonic() + self._timeout_s, math.inf if deadline is None else deadline)
        reconnections, waits = 1, WAITS
        while True:
            try:
                return await self._attempt(method, path, content, read, anonymous=anonymous, ends_at=ends_at)
            except Overloaded as error:
                wait_s = math.inf if error.retry_after_s is None else max(MIN_WAIT_S, error.retry_after_s)
                if waits == 0 or self._monotonic() + wait_s >= ends_at:
                    raise
                waits -= 1
                await self._sleep(wait_s)
            except (Unreachable, NoAnswer) as error:
                is_harmless = repeatable or isinstance(error, Unreachable)
                if not is_harmless or reconnections == 0 or self._monotonic() >= ends_at:
                    raise
                reconnections -= 1

    async def _attempt(
        self,
        method: str,
        path: str,
        content: bytes | None,
        read: Callable[[Any], T],
        *,
        anonymous: bool,
        ends_at: float,
    ) -> T:
        began = self._monotonic()
        left_s = ends_at - began
        if left_s <= 0:
            raise NoTimeLeft(f"no time left for {method} {path}")
        headers = [*(self._anonymous if anonymous else self._identified), *_encoded(trace.headers())]
        if content is not None:
            headers.append((b"content-type", b"application/json"))
        said, checked_clock = "abandoned", self._checked_clock
        sent_at = checked_clock.system() if checked_clock else None
        try:
            # The wire gives up earlier if it cannot send: a request that this timeout ends may have been processed.
            async with asyncio.timeout(left_s):
                answer = await self._wire.send(
                    method, self._base + path, headers=headers, content=content, within_s=left_s
                )
            said = str(answer.status)
            if checked_clock and sent_at:
                checked_clock.observe(sent_at, answer.header(b"date"))
        except TimeoutError as exc:
            said = NoAnswer.__name__
            raise NoAnswer("no answer in time") from exc
        except (Unreachable, NoAnswer) as error:
            said = type(error).__name__
            raise
        finally:
            took_ms = 1000 * (self._monotonic() - began)
            request_stats.current().asked_store(took_ms)
            _log.debug("%s %s: %s in %.1f ms", method, path, said, took_ms)
        if not 200 <= answer.status < 300:
            raise refusal(answer, redact=self._server.redact)
        try:
            return read(from_json(answer.content))
        except (KeyError, TypeError, ValueError) as exc:
            said = said_by(answer, redact=self._server.redact)
            raise ForeignServer("unexpected shape", status=answer.status, said=said) from exc


def _encoded(headers: Mapping[str, str]) -> Headers:
    return [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def _database(name: str) -> str:
    return f"/api/dbs/{segment(name)}"


def _range(start: str | None, end: str | None, limit: int, *, reverse: bool) -> Json:
    bounds = {"startKey": start, "endKey": end}
    return {**{name: key for name, key in bounds.items() if key is not None}, "limit": limit, "reverse": reverse}


def _as(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, received {type(value).__name__}")
    return value


def _ok(answer: Any) -> None:
    if answer["ok"] is not True:
        raise ValueError("not ok")


def _anything(_: Any) -> None:
    """Accept any JSON as an answer."""


def _value(answer: Any) -> Json:
    return _as(dict, answer["value"])


def _documents(answer: Any) -> list[StoredDocument]:
    return [StoredDocument(_as(str, doc["key"]), _as(dict, doc["value"])) for doc in _as(list, answer["docs"])]


def _keys(answer: Any) -> list[str]:
    return [_as(str, doc["key"]) for doc in _as(list, answer["docs"])]


def _counters(answer: Any) -> list[CounterValue]:
    return [CounterValue(name=_as(str, doc["key"]), value=_as(int, doc["value"])) for doc in _as(list, answer["docs"])]


def _number(answer: Any) -> int:
    return _as(int, answer["value"])


def _found(answer: Any) -> int | None:
    return _as(int, answer["value"]) if _as(bool, answer["found"]) else None


def _deleted(answer: Any) -> bool:
    return _as(bool, answer["deleted"])


def _names(answer: Any) -> list[str]:
    return [_as(str, name) for name in _as(list, answer["databases"])]


def _version(answer: Any) -> str:
    if answer["status"] != "ok":
        raise ValueError("not ok")
    return _as(str, answer["version"])
