"""Errors in OpenAI's envelope, on the paths whose callers are its SDKs."""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import MutableHeaders

from shared.web.middleware import App, Message, Receive, Scope, Send

PATHS: Final = frozenset({"/v1/audio/speech", "/v1/models"})

RUNNING: Final = 409
"""The one refusal after which a repeat can succeed: the first request is still running."""

TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    502: "server_error",
    503: "server_error",
}
"""OpenAI's `type` of an error by its status; all others are `invalid_request_error`."""

PARAMS: Final[Mapping[str, str]] = {"text": "input", "format": "response_format"}
"""OpenAI's names of our fields, where they differ."""


class OpenAiErrors:
    """Rewrites our envelope on PATHS. The SDKs repeat 409, 429 and 5xx unless `x-should-retry` forbids it."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        await self._app(scope, receive, _Rewritten(send) if path in PATHS else send)


class _Rewritten:
    """Holds back the start of an error's answer until its body is complete, to change both. The body is small."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        status = self._start["status"]
        body = json.dumps({"error": _error(status, json.loads(self._body)["error"])}).encode() if self._body else b""
        headers = MutableHeaders(raw=list(self._start["headers"]))
        if self._body:
            headers["content-length"] = str(len(body))
        if status < 500 and status != RUNNING:
            headers["x-should-retry"] = "false"
        await self._send({**self._start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def _error(status: int, ours: Mapping[str, Any]) -> Mapping[str, str | None]:
    field = ours.get("details", {}).get("field")
    return {
        "message": ours["message"],
        "type": TYPES.get(status, "invalid_request_error"),
        "param": PARAMS.get(field, field),
        "code": ours["code"],
    }
