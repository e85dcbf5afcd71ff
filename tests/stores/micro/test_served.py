"""Functions on HYPR Micro over sockets: connections outlive events, and faults of a server are reported."""

import logging
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from handlers import memos, users
from shared.web.function import Function
from tests.events import LambdaContext, http_event
from tests.fakes.standin import KEY, StandIn
from tests.support import SECRET


class Served:
    """A stand-in on a free port, which records its clients' addresses."""

    def __init__(self) -> None:
        self.server = StandIn()
        self.callers: set[tuple[str, int]] = set()
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(self._asgi, port=0, interface="asgi3", log_level="error", lifespan="off")
        )
        self._thread = threading.Thread(target=self._uvicorn.run)

    async def _asgi(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.callers.add(tuple(scope["client"]))
        await self.server(scope, receive, send)

    def start(self) -> str:
        self._thread.start()
        while not self._uvicorn.started:
            self._thread.join(0.01)
        (listening,) = self._uvicorn.servers
        return f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()


@pytest.fixture
def served() -> Iterator[tuple[Served, str]]:
    served = Served()
    url = served.start()
    yield served, url
    served.stop()


@contextmanager
def container(function: Function, url: str, key: str = KEY) -> Iterator[Function]:
    own = function.with_environment({"HYPR_URL": url, "HYPERMICRO_API_KEY": key, "SESSION_SECRET": SECRET})
    yield own
    own.close()


def test_function_uses_one_connection_for_two_events(served: tuple[Served, str]) -> None:
    """Three events in a row open one connection."""
    there, url = served
    unknown_key = {"authorization": "Bearer at_live_" + "a" * 42 + "A"}
    with container(memos.handler, url) as function:
        for _ in range(3):
            assert status(function, "/api/v1/memos", headers=unknown_key) == 401
    assert there.server.served["POST /api/dbs/:db/query"] == 3
    assert len(there.callers) == 1


@pytest.mark.parametrize(
    ("url", "key", "said"),
    [
        (None, "not-its-key", "refuses the API key"),
        ("http://127.0.0.1:9", KEY, "cannot be reached"),
        ("http://xn--a.invalid", KEY, "cannot be reached"),
        ("http://localhost:99999", KEY, "HYPR_URL must be"),
    ],
)
def test_function_answers_503_and_logs_a_faulty_server(
    served: tuple[Served, str], caplog: pytest.LogCaptureFixture, url: str | None, key: str, said: str
) -> None:
    """A server that is set up wrongly is answered 503 and logged in one line."""
    logger = logging.getLogger("agent_talk")
    logger.addHandler(caplog.handler)
    with container(users.handler, url or served[1], key) as function:
        assert status(function, "/api/v1/auth/me") == 503
    logger.removeHandler(caplog.handler)
    (line,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert said in line.getMessage()


def status(function: Function, path: str, **event: Any) -> int:
    answered: int = function(http_event("GET", path, **event), LambdaContext())["statusCode"]
    return answered
