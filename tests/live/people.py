"""Users of the gateways, over HTTP."""

import itertools
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

PASSWORD: Final = "correct horse"
MEMO: Final = {"text": "Hello", "voice": "rachel"}

_numbers = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The answer of a gateway, `at`, to one request, `what`. `status` 0: there was no answer.

    `began` and `ended` are seconds of the monotonic clock.
    """

    what: str
    at: str
    status: int
    body: Any = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    began: float
    ended: float

    @property
    def took_s(self) -> float:
        return self.ended - self.began


class Front:
    """Sends requests to the gateways in turn, each over a new connection: a killed gateway would leave a dead one."""

    def __init__(self, *urls: str) -> None:
        self._urls = itertools.cycle(urls)
        self._http = httpx.AsyncClient(
            timeout=30,
            trust_env=False,
            limits=httpx.Limits(max_connections=300, max_keepalive_connections=0),
        )
        self.replies: list[Reply] = []

    async def send(
        self, method: str, path: str, *, token: str = "", json: Any = None, idempotency_key: str = ""
    ) -> Reply:
        at, began = next(self._urls), time.monotonic()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        status, body, said = 0, None, httpx.Headers()
        try:
            answer = await self._http.request(method, at + path, headers=headers, json=json)
        except httpx.HTTPError:
            pass
        else:
            status, body, said = answer.status_code, answer.json(), answer.headers
        self._http.cookies.clear()
        reply = Reply(
            what=f"{method} {path}",
            at=at,
            status=status,
            body=body,
            headers=said,
            began=began,
            ended=time.monotonic(),
        )
        self.replies.append(reply)
        return reply

    async def close(self) -> None:
        await self._http.aclose()


@dataclass(kw_only=True)
class Person:
    email: str
    id: str = ""
    session: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    key_id: str = ""


def somebody() -> Person:
    return Person(email=f"p{next(_numbers)}.{secrets.token_hex(4)}@example.org")


async def sign_up(front: Front, person: Person) -> Reply:
    account = {"email": person.email, "password": PASSWORD}
    reply = await front.send("POST", "/api/v1/auth/signup", json=account)
    if reply.status == 201:
        person.id, person.session = reply.body["user"]["id"], reply.body["token"]
        person.key, person.key_id = reply.body["apiKey"]["key"], reply.body["apiKey"]["id"]
    return reply


async def memos_of(front: Front, person: Person) -> dict[str, str]:
    """Return all memos of an owner: their texts by id. Checks that each is complete."""
    found, cursor = dict[str, str](), ""
    while True:
        path = "/api/v1/memos?limit=100" + (f"&cursor={cursor}" if cursor else "")
        page = await front.send("GET", path, token=person.session)
        assert page.status == 200, page
        found |= memos_on(page)
        if not page.body["hasMore"]:
            return found
        cursor = page.body["nextCursor"]


def memos_on(page: Reply) -> dict[str, str]:
    return {memo["id"]: memo["text"] for memo in page.body["memos"]}
