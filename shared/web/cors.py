"""CORS: pages of configured origins may call in production; in development all pages may, without credentials."""

from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

from shared.core.errors import ValidationFailed
from shared.web.error_answers import envelope
from shared.web.middleware import App

READ_HEADERS: Final = (
    *("Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"),
    *("If-None-Match", "If-Range", "Range", "traceparent", "tracestate"),
    *("MCP-Protocol-Version", "Mcp-Method", "Mcp-Name", "X-Stainless-Retry-Count"),
)
"""Request headers that the API reads."""

SDK_HEADERS: Final = (
    *("OpenAI-Organization", "OpenAI-Project", "X-Stainless-Arch", "X-Stainless-Async", "X-Stainless-Helper-Method"),
    *("X-Stainless-Lang", "X-Stainless-OS", "X-Stainless-Package-Version", "X-Stainless-Runtime"),
    *("X-Stainless-Runtime-Version", "X-Stainless-Timeout"),
)
"""Further request headers of OpenAI's SDKs. The API ignores them, but a page could not use an SDK without them."""

EXPOSED_HEADERS: Final = (
    *("X-Request-Id", "X-Memo-Id", "X-Next-Cursor", "Idempotency-Replayed", "Retry-After", "ETag", "Content-Range"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit"),
)
"""Response headers that pages of other origins may read."""


class Cors(CORSMiddleware):
    """Answers preflights. A refusal has the envelope of all errors."""

    def __init__(self, app: App, *, origins: tuple[str, ...], production: bool) -> None:
        super().__init__(
            app,
            allow_origins=origins if production else ("*",),
            allow_credentials=production,
            allow_methods=("GET", "HEAD", "POST", "PATCH", "DELETE"),
            allow_headers=(*READ_HEADERS, *SDK_HEADERS) if production else ("*",),
            expose_headers=EXPOSED_HEADERS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code == ValidationFailed.status:
            body = envelope(ValidationFailed(bytes(response.body).decode()))
            return JSONResponse(body, status_code=response.status_code, headers={"vary": response.headers["vary"]})
        return response
