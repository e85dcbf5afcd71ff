"""The outermost layer of every answer, as plain ASGI: request ids, security headers, body sizes, and the last resort.

RequestMiddleware (id, trace, headers, log line, last resort) → CORS → CookieMiddleware (own origin? session's tokens)
→ AdmissionMiddleware (store ready? body small enough?) → FastAPI
"""

import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from starlette.responses import RedirectResponse

from shared.core.errors import AgentTalkError, InternalError, PayloadTooLarge, ValidationFailed
from shared.core.request import REQUEST_S, ends_at, request_id
from shared.observability import request_stats, trace
from shared.observability.metrics import Served
from shared.web.error_answers import envelope

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_HEADER_BYTES: Final = 16 * 1024
"""The most bytes of a header's value; the rest is cut off. API Gateway admits 10 KB for all headers, and parsers whose
time grows with the square of the length take milliseconds for this one."""

API_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_log = logging.getLogger("agent_talk.requests")


def standard_headers(request_id: str, *, production: bool, policy: str = API_POLICY) -> dict[str, str]:
    """Return the headers of every answer that does not set its own. `policy` is the Content-Security-Policy.

    Answers are not stored: they contain tokens and personal data, which a browser would show again after a logout.
    """
    headers = {
        "x-request-id": request_id,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "strict-origin-when-cross-origin",
        "content-security-policy": policy,
        "cache-control": "no-store",
    }
    if production:
        headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"
    return headers


def request_id_from(given: str | None) -> str:
    """Return the caller's request id if it has the form of one, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


async def send_error(send: Send, error: AgentTalkError) -> None:
    request_stats.current().error = error.code
    body = json.dumps(envelope(error)).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    await send({"type": "http.response.start", "status": error.status, "headers": _raw(headers)})
    await send({"type": "http.response.body", "body": body})


def _unnamed(_: str) -> None:
    """Return no pseudonym: clients have no name in the log."""


class RequestMiddleware:
    """Logs each request at its end, and passes it to `observe`. The first one is the container's cold start.

    `pseudonym_of` returns the pseudonym of a client's address for the log line.
    """

    def __init__(
        self,
        app: App,
        *,
        production: bool,
        policy: str = API_POLICY,
        pseudonym_of: Callable[[str], str | None] = _unnamed,
        observe: Callable[[Served], object] | None = None,
    ) -> None:
        self._app = app
        self._added = [
            (name, value)
            for name, value in _raw(standard_headers("", production=production, policy=policy))
            if name != b"x-request-id"
        ]
        self._pseudonym_of = pseudonym_of
        self._observe = observe
        self._cold = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["headers"] = [(name, value[:MAX_HEADER_BYTES]) for name, value in scope["headers"]]
        given = next(
            (value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"x-request-id"), None
        )
        context = request_id.set(request_id_from(given))
        deadline = ends_at.set(time.monotonic() + REQUEST_S)
        try:
            with trace.continued(scope["headers"]), request_stats.collected() as spent:
                await self._serve(scope, receive, send, spent)
        finally:
            request_id.reset(context)
            ends_at.reset(deadline)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, spent: request_stats.RequestStats) -> None:
        began = time.perf_counter()
        cold_start, self._cold = self._cold, False
        method: str = scope["method"]
        status: int | None = None
        head = method == "HEAD"
        scope["client_method"] = method  # a signed link is for one method
        if head:  # a route of GET also answers HEAD, without the body; only GET has ranges
            scope["method"] = "GET"
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() != b"range"]

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name.lower() for name, _ in message["headers"]}
                added = [(b"x-request-id", (request_id.get() or "").encode("latin-1")), *self._added]
                message["headers"] = [*message["headers"], *((name, value) for name, value in added if name not in own)]
            elif head:
                message["body"] = b""
            await send(message)

        def served() -> Served:
            return Served(
                request_id=request_id.get(),
                client=self._pseudonym_of((scope.get("client") or ("",))[0]),
                method=method,
                route=getattr(scope.get("route"), "path", None),
                status=status,
                duration_ms=round((time.perf_counter() - began) * 1000, 1),
                cold_start=cold_start,
                spent=spent,
            )

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:  # noqa: BLE001 the last resort
            answered, status = status is not None, InternalError.status
            spent.error = InternalError.code
            done = served()
            _log.exception("the request failed", extra=done.line())
            if not answered:
                await send_error(send_with_headers, InternalError())
        else:
            done = served()
            _log.info("request", extra=done.line())
        if self._observe is not None:
            self._observe(done)


class AdmissionMiddleware:
    """Admits a request if `ready` does not raise and its body has at most 1 MiB. Redirects `/prod` to `/prod/`.

    The whole body is read first: in Lambda it has arrived with the event. It counts as JSON with any Content-Type,
    which clients may omit; an absent body counts as an empty object, so that the error names the missing fields.
    """

    def __init__(self, app: App, *, ready: Callable[[], Awaitable[object]]) -> None:
        self._app = app
        self._ready = ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == scope.get("root_path"):  # `/prod`, from which the page's relative links would lose `prod`
            await RedirectResponse(f"{scope['path'].rpartition('/')[2]}/")(scope, receive, send)
            return
        try:
            await self._ready()
            _check_path(scope)
            scope["query_string"] = _without_empty(scope["query_string"])
            body = await _read(receive)
        except AgentTalkError as error:
            await send_error(send, error)
            return
        if body is None:
            return  # the client hung up before its body was whole: the request must have no effect
        if scope["method"] in ("POST", "PUT", "PATCH", "DELETE"):
            body = body or b"{}"
            headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"content-type"]
            scope["headers"] = [*headers, (b"content-type", b"application/json")]
        sent = False

        async def receive_read() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_read, send)


def _check_path(scope: Scope) -> None:
    """Raise ValidationFailed if the path is not valid Unicode. No answer could contain it."""
    try:
        scope["path"].encode()
    except UnicodeEncodeError as exc:
        raise ValidationFailed("The path is not valid Unicode") from exc


def _without_empty(query: bytes) -> bytes:
    """Drop parameters without a value. An optional parameter that is empty counts as absent."""
    return b"&".join(pair for pair in query.split(b"&") if pair.partition(b"=")[2])


async def _read(receive: Receive) -> bytes | None:
    """Return the whole body; None if the client hung up before its end.

    Raises PayloadTooLarge above MAX_BODY_BYTES.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"Request body exceeds {MAX_BODY_BYTES} bytes")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
