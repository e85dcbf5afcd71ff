"""A wire of `MicroClient` over a transport of httpx, such as `StandInTransport` and `httpx.MockTransport`."""

import httpx

from shared.micro_errors import NoAnswer, Unreachable
from shared.micro_wire import Answer, Headers


class HttpxWire:
    """Sends to `http://micro`, and maps httpx's failures to errors that contain whether anything was sent."""

    def __init__(self, transport: httpx.AsyncBaseTransport, *, origin: str = "http://micro") -> None:
        self._transport = transport
        self._origin = origin

    async def send(
        self, method: str, target: str, *, headers: Headers, content: bytes | None, within_s: float
    ) -> Answer:
        request = httpx.Request(
            method,
            self._origin + target,
            headers=[*headers],
            content=content,
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), within_s)},
        )
        try:
            answer = await self._transport.handle_async_request(request)
            body = await answer.aread()
        except httpx.ConnectError as exc:
            raise Unreachable("no connection") from exc
        except httpx.RequestError as exc:
            raise NoAnswer("no answer") from exc
        return Answer(
            status=answer.status_code,
            headers=[(name.lower(), value) for name, value in answer.headers.raw],
            content=body,
        )
