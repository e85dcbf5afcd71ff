"""A stand-in for the HYPR Micro server: the same answers, and its races on demand.

Like the server, a write checks first and acts later. It pauses on a schedule between the two, and every request does so
on arrival; a test that controls the schedule decides the order of all steps (`standin_steps`). Each request runs in its
own task, which continues when its sender has stopped. Network failures are in `standin_network`.

    python -m tests.fakes.standin --port 7070 --key some-key

serves it on the loopback interface, empty, until it is stopped.
"""

import argparse
import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from sortedcontainers import SortedDict
from starlette.types import Receive, Scope, Send

from tests.fakes.standin_rules import (
    Refused,
    Rows,
    check_key,
    check_name,
    check_size,
    is_falsy,
    kind_of,
    limit_error,
    new_document,
    new_value,
    query_options,
    read_body,
    read_json,
    select,
)
from tests.fakes.standin_steps import AtOnce, Moment, Schedule, Seen, Step, identify
from tools.serving import AnnouncedServer

SLOTS: Final = 7
OWN_DATABASES: Final = ("__cache", "__meta", "__system", "__ttl", "root")
KEY: Final = "test-key-0123456789abcdef"

Json = Mapping[str, Any]
Answer = tuple[int, Json]
Act = Callable[[], Answer]


@dataclass(frozen=True, kw_only=True)
class _Request:
    seen: Seen
    path: str
    query: Mapping[str, str]
    authorization: str
    body: bytes

    @property
    def row(self) -> bytes:
        return (self.seen.key or "").encode("utf-8", "replace")

    @property
    def counter(self) -> bytes:
        namespace = self.query.get("namespace")
        return (f"{namespace}:" if namespace else "").encode() + self.row


class StandIn:
    """The server, as an ASGI application. `served` counts the received requests by route."""

    def __init__(
        self,
        *,
        schedule: Schedule | None = None,
        wall: Callable[[], float] = time.time,
        keys: Iterable[str] = (KEY,),
        mints_keys_for_all: bool = False,
    ) -> None:
        """With `mints_keys_for_all` GET `/api/auth` needs no credentials, as on a server without a proxy before it."""
        self.served: Counter[str] = Counter()
        self._schedule = schedule or AtOnce()
        self._wall = wall
        self._keys = frozenset(keys)
        self._created: set[str] = set()
        self._rows: dict[str, Rows] = {name: SortedDict() for name in OWN_DATABASES}
        self._expires_at: dict[bytes, float] = {}
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._handlers: Mapping[str, Callable[[_Request], Answer | Act]] = {
            "GET /health": lambda _: (200, {"status": "ok", "version": "1.0.0", "adminAuth": "not configured"}),
            "GET /api/dbs": lambda _: (200, {"ok": True, "databases": sorted(self._created)}),
            "POST /api/dbs/:db": self._create_database,
            "DELETE /api/dbs/:db": self._delete_database,
            "POST /api/dbs/:db/docs": self._create,
            "GET /api/dbs/:db/docs": self._list,
            "GET /api/dbs/:db/docs/:key": self._get,
            "PUT /api/dbs/:db/docs/:key": self._replace,
            "DELETE /api/dbs/:db/docs/:key": self._delete,
            "POST /api/dbs/:db/query": self._query,
            "POST /api/cache/set": self._set,
            "GET /api/cache/health": lambda _: (200, {"ok": True, "latencyMs": 0}),
            "GET /api/cache/:key": self._read_counter,
            "DELETE /api/cache/:key": self._delete_counter,
            "GET /api/cache/:key/exists": self._exists,
            "GET /api/cache/:key/ttl": lambda request: (200, {"ttl": self._ttl(request.counter)}),
            "POST /api/cache/:key/increment": lambda request: self._add(request, 1),
            "POST /api/cache/:key/decrement": lambda request: self._add(request, -1),
        }

        self._handlers_for_all: Mapping[str, Callable[[_Request], Answer | Act]] = (
            {"GET /api/auth": lambda _: (200, {"keys": []})} if mints_keys_for_all else {}
        )
        self._handlers = {**self._handlers, **self._handlers_for_all}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["raw_path"].decode("ascii")
        request = _Request(
            seen=identify(scope["method"], path, sender=(scope.get("client") or ("",))[0]),
            path=unquote(path),
            query=dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True)),
            authorization=headers.get(b"authorization", ""),
            body=body,
        )
        task = asyncio.create_task(self._carry_out(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        status, answer = await asyncio.shield(task)
        content = json.dumps(answer).encode()
        length = str(len(content)).encode()
        date = formatdate(self._wall(), usegmt=True).encode()
        fields = [(b"content-type", b"application/json"), (b"content-length", length), (b"date", date)]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": content})

    async def _carry_out(self, request: _Request) -> Answer:
        self.served[request.seen.route] += 1
        number = self.served.total()
        await self._schedule.pause(Step(number=number, seen=request.seen, moment=Moment.ARRIVES))
        try:
            outcome = self._dispatch(request)
            if callable(outcome):
                await self._schedule.pause(Step(number=number, seen=request.seen, moment=Moment.ACTS))
                outcome = outcome()
        except Refused as refused:
            return refused.status, {"ok": False, "error": refused.error}
        return outcome

    def _dispatch(self, request: _Request) -> Answer | Act:
        seen, header = request.seen, request.authorization
        if request.path.startswith("/api/cache/"):
            scheme, _, key = header.partition(" ")
            told = "Missing Authorization header" if not header else None
            told = told or (None if key in self._keys else "Invalid API key")
            if header and (scheme != "Bearer" or not key or " " in key):
                told = "Invalid Authorization header format. Expected: Bearer <api-key>"
            if told and seen.route != "GET /api/cache/health":
                return 401, {"ok": False, "error": "Unauthorized", "message": told}
        elif request.path.startswith("/api/") and seen.route not in self._handlers_for_all:
            if not header:
                raise Refused(401, "Authorization header required")
            # The scheme may be missing, or in lower case.
            bare = header[6:].lstrip() if header[:7].lower() == "bearer " else header
            if bare not in self._keys:
                raise Refused(401, "Invalid API key")
        if seen.route not in self._handlers:
            return 404, {"error": "Not Found", "message": f"Route {seen.method} {request.path} not found"}
        if seen.database is not None:
            check_name(seen.database)
            if seen.key is not None:
                check_key(seen.key)
        return self._handlers[seen.route](request)

    def _open(self, name: str | None) -> Rows:
        assert name is not None
        if name not in self._rows:
            if len(self._rows) == len(OWN_DATABASES) + SLOTS:
                text = "MDB_DBS_FULL: Environment maxdbs limit reached (increase your maxDbs option)"
                raise Refused(500, text)
            self._rows[name] = SortedDict()
        return self._rows[name]

    def _create_database(self, request: _Request) -> Act:
        name = request.seen.database
        assert name is not None
        if name in self._created:
            raise Refused(500, f"Database '{name}' already exists")

        def act() -> Answer:
            self._open(name)
            self._created.add(name)
            return 201, {"ok": True, "db": name}

        return act

    def _delete_database(self, request: _Request) -> Act:
        name = request.seen.database
        assert name is not None
        if name not in self._created:
            raise Refused(500, f"Database '{name}' not found")

        def act() -> Answer:
            self._rows[name].clear()
            self._created.discard(name)
            return 200, {"ok": True}

        return act

    def _create(self, request: _Request) -> Act:
        key, value = new_document(read_body(request.body))
        row, rows = key.encode("utf-8", "replace"), self._open(request.seen.database)
        if not is_falsy(rows.get(row)):
            raise Refused(409, f"Document with key '{key}' already exists")

        def act() -> Answer:
            check_size(row)
            rows[row] = value
            return 201, {"ok": True, "key": key}

        return act

    def _present(self, request: _Request) -> Rows:
        rows = self._open(request.seen.database)
        if is_falsy(rows.get(request.row)):
            raise Refused(404, f"Document with key '{request.seen.key}' not found")
        return rows

    def _get(self, request: _Request) -> Answer:
        rows = self._open(request.seen.database)
        if request.row not in rows:
            raise Refused(404, f"Document with key '{request.seen.key}' not found")
        return 200, {"ok": True, "key": request.seen.key, "value": rows[request.row]}

    def _replace(self, request: _Request) -> Act:
        value = new_value(read_body(request.body))
        rows = self._present(request)

        def act() -> Answer:
            rows[request.row] = value
            return 200, {"ok": True}

        return act

    def _delete(self, request: _Request) -> Act:
        rows = self._present(request)

        def act() -> Answer:
            rows.pop(request.row, None)
            return 200, {"ok": True}

        return act

    def _list(self, request: _Request) -> Answer:
        options: dict[str, Any] = {
            name: request.query[name] for name in ("startKey", "endKey", "prefix") if name in request.query
        }
        if text := request.query.get("limit"):
            options["limit"] = int(text) if text.isdecimal() else math.nan
            if error := limit_error(options["limit"]):
                raise Refused(400, error)
        return 200, select(self._open(request.seen.database), options)

    def _query(self, request: _Request) -> Answer:
        options = query_options(read_body(request.body))
        return 200, select(self._open(request.seen.database), options)

    def _set(self, request: _Request) -> Answer:
        body = read_body(request.body)
        if is_falsy(body.get("key")):
            raise Refused(400, "key is required")
        if "value" not in body:
            raise Refused(400, "value is required")
        ttl = body.get("ttl")
        if "ttl" in body and not (kind_of(ttl) == "number" and ttl > 0):
            raise Refused(400, "ttl must be a positive number")
        namespace = request.query.get("namespace") or body.get("namespace")
        row = (f"{namespace}:" if namespace else "").encode() + body["key"].encode()
        self._rows["__cache"][row] = body["value"]
        if ttl:
            self._expires_at[row] = self._wall() + ttl
        return 200, {"ok": True, "key": body["key"], **({"ttl": ttl} if ttl else {})}

    def _read_counter(self, request: _Request) -> Answer:
        if self._expired(request.counter):
            self._rows["__cache"].pop(request.counter, None)
            del self._expires_at[request.counter]
        rows = self._rows["__cache"]
        return 200, {"value": rows.get(request.counter), "found": request.counter in rows}

    def _delete_counter(self, request: _Request) -> Act:
        found = request.counter in self._rows["__cache"]

        def act() -> Answer:
            check_size(request.counter)
            if found:
                self._rows["__cache"].pop(request.counter, None)
            self._expires_at.pop(request.counter, None)
            return 200, {"deleted": found}

        return act

    def _exists(self, request: _Request) -> Answer:
        ttl = self._ttl(request.counter)
        return 200, {"exists": False} if ttl == -2 else {"exists": True, "ttl": ttl}

    def _add(self, request: _Request, sign: int) -> Answer:
        try:
            body = read_json(request.body)
        except ValueError:
            body = {}
        if body is None:
            raise Refused(500, "Cannot read properties of null (reading 'by')")
        by = body.get("by") if isinstance(body, dict) else None
        by = 1 if by is None else by
        if kind_of(by) != "number" or not math.isfinite(by):
            raise Refused(400, "by must be a finite number")
        rows = self._rows["__cache"]
        value = rows.get(request.counter, 0)
        if kind_of(value) != "number":
            verb = "increment" if sign == 1 else "decrement"
            kind = kind_of(value) if kind_of(value) in ("string", "boolean") else "object"
            raise Refused(400, f"Cannot {verb} non-numeric value. Key '{request.seen.key}' contains {kind}")
        check_size(request.counter)
        rows[request.counter] = value + sign * by
        return 200, {"value": rows[request.counter]}

    def _expired(self, row: bytes) -> bool:
        return row in self._expires_at and self._expires_at[row] <= self._wall()

    def _ttl(self, row: bytes) -> int:
        if row not in self._rows["__cache"] or self._expired(row):
            return -2
        return math.ceil(self._expires_at[row] - self._wall()) if row in self._expires_at else -1


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fakes.standin", description="Serve an empty HYPR Micro stand-in."
    )
    parser.add_argument("--port", type=int, default=7070)
    parser.add_argument("--key", default=KEY)
    chosen = parser.parse_args()
    server = StandIn(keys=(chosen.key,))
    welcome = (
        f"A HYPR Micro stand-in answers on http://127.0.0.1:{chosen.port}; its rows are in memory.\n"
        "In another terminal:\n"
        f"  HYPR_URL=http://127.0.0.1:{chosen.port} HYPERMICRO_API_KEY={chosen.key} make run"
    )
    AnnouncedServer(server, host="127.0.0.1", port=chosen.port, welcome=welcome).run()


if __name__ == "__main__":
    main()
