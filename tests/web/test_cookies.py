"""Foreign requests, at ASGI, where a header may be repeated; API Gateway joins its values."""

from collections.abc import Sequence

import pytest

from shared.web.cookies import CookieMiddleware, read_cookies
from shared.web.middleware import Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

OWN = b"https://api.example.org"
EVIL = b"https://evil.example.org"
HOST = b"api.example.org"


class _Seen:
    """The app behind the middleware: it records the cookie that it gets, and answers with one."""

    def __init__(self) -> None:
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 it reads no body
        self.scope = scope
        headers = [(b"set-cookie", b"auth_token=y"), (b"x-kept", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


async def served(*, origins: Sequence[bytes] = (), hosts: Sequence[bytes] = (HOST,)) -> tuple[Scope, list[Message]]:
    """Send a request with these headers through the middleware. Returns the app's scope, and the answer's messages."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    headers = [(b"host", host) for host in hosts] + [(b"origin", origin) for origin in origins]
    scope = {"type": "http", "scheme": "https", "headers": [*headers, (b"cookie", b"auth_token=x; other=1")]}
    await CookieMiddleware(app := _Seen(), origins=["https://app.example.org"])(scope, receive, send)
    return app.scope, sent


@pytest.mark.parametrize(
    ("origins", "hosts"),
    [
        ([], [HOST]),
        ([], []),
        ([OWN], [HOST]),
        ([b"https://app.example.org"], [HOST]),
        ([b"https://app.example.org"], []),
        ([b"https://app.example.org"], [HOST, HOST]),
    ],
)
async def test_cookie_is_read_for_an_origin_of_ours(origins: Sequence[bytes], hosts: Sequence[bytes]) -> None:
    """No origin, the API's own and a configured one are ours. The app finds the session, and no cookie's header."""
    scope, (start,) = await served(origins=origins, hosts=hosts)
    assert "agent_talk.is_foreign" not in scope
    assert scope["agent_talk.session_cookies"].all == ("x",)
    assert b"cookie" not in dict(scope["headers"])
    assert b"set-cookie" in dict(start["headers"])


@pytest.mark.parametrize(
    ("origins", "hosts"),
    [
        ([EVIL], [HOST]),
        ([OWN, OWN], [HOST]),
        ([OWN, EVIL], [HOST]),
        ([EVIL, OWN], [HOST]),
        ([OWN], []),
        ([OWN], [HOST, b"evil.example.org"]),
        ([EVIL], [b"evil.example.org", HOST]),
        ([b""], [HOST]),
        ([b"null"], []),
    ],
)
async def test_cookie_is_not_read_when_headers_are_ambiguous(origins: Sequence[bytes], hosts: Sequence[bytes]) -> None:
    """Two origins are no origin of ours, and two hosts, or none, are not this host: no cookie is read, and none set."""
    scope, (start,) = await served(origins=origins, hosts=hosts)
    assert scope["agent_talk.is_foreign"] is True
    assert "agent_talk.session_cookies" not in scope
    assert b"cookie" not in dict(scope["headers"])
    assert dict(start["headers"]) == {b"x-kept": b"1"}


async def test_other_protocols_pass_with_their_cookies() -> None:
    """Start and end of the process have no headers, and reach the app unchanged."""
    scope: Scope = {"type": "lifespan"}

    async def send(_: Message) -> None:
        return None

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 it is only reached
        seen.append(scope)

    await CookieMiddleware(app, origins=())(scope, receive, send)
    assert seen == [{"type": "lifespan"}]


def test_first_host_cookie_wins() -> None:
    """A second one of that name is none that a browser sends, so it is not looked at, and ends no session."""
    cookies = read_cookies(["__Host-auth_token=a; __Host-auth_token=b; auth_token=c", "auth_token=a"])
    assert cookies.candidates == ("a",)
    assert cookies.all == ("a", "c")
