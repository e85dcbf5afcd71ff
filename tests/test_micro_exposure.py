"""A starting container's check whether HYPR Micro makes keys without credentials."""

from collections.abc import Callable

import httpx
import pytest

from shared.core.settings import Settings, StoreChoice
from shared.micro import MicroClient
from shared.micro_address import Direct, Platform
from shared.stores.opening import open_store
from tests.fakes.httpx_wire import HttpxWire
from tests.fakes.standin import KEY, StandIn
from tests.fakes.standin_network import ManualClock, StandInTransport

pytestmark = pytest.mark.anyio

Answer = Callable[[httpx.Request], httpx.Response]


def fails(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no way there", request=request)


@pytest.mark.parametrize("is_open", [False, True])
async def test_mints_keys_for_all_is_what_the_server_does(*, is_open: bool) -> None:
    """The request has no credentials: with them a closed server would answer too."""
    clock = ManualClock()
    network = StandInTransport(StandIn(wall=clock.wall, mints_keys_for_all=is_open), clock=clock)
    address = Direct(url="http://micro", api_key=KEY)
    client = MicroClient(HttpxWire(network), address, monotonic=clock.monotonic, sleep=clock.sleep)
    assert await client.mints_keys_for_all() is is_open


@pytest.mark.parametrize(
    ("answer", "is_open"),
    [
        (lambda _: httpx.Response(200, json=[]), True),
        (lambda _: httpx.Response(200, text="<html>"), True),
        (lambda _: httpx.Response(401, json={}), False),
        (lambda _: httpx.Response(403), False),
        (lambda _: httpx.Response(404), False),
        (lambda _: httpx.Response(302, headers={"location": "/"}), False),
        (lambda _: httpx.Response(500), False),
        (fails, False),
    ],
)
@pytest.mark.parametrize(
    "server",
    [Direct(url="http://micro", api_key=KEY), Platform(url="http://platform", app_slug="app")],
    ids=["direct", "platform"],
)
async def test_mints_keys_for_all_reads_the_status(answer: Answer, server: Direct | Platform, *, is_open: bool) -> None:
    """Only a 200 to a request without credentials proves it; an outage proves nothing."""
    seen: list[httpx.Request] = []

    def carry(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer(request)

    assert await MicroClient(HttpxWire(httpx.MockTransport(carry)), server).mints_keys_for_all() is is_open
    for request in seen:
        assert request.url.path.endswith("/api/auth")
        assert not {"authorization", "x-app-slug"} & set(request.headers)


async def test_opened_micro_asks_the_server() -> None:
    """The store of the settings sends its server the request; a store without a server is never exposed."""
    opened = open_store(
        Settings(store=StoreChoice.MICRO, hypr_url="http://127.0.0.1:9", hypermicro_api_key="nobody-listens-there")
    )
    try:
        assert await opened.is_open_to_all() is False
    finally:
        await opened.close()


def test_platform_hides_its_slug() -> None:
    """The slug is a secret: no repr and no error's text contains it."""
    platform = Platform(url="http://platform", app_slug="sl0g")
    assert "sl0g" not in repr(platform)
    assert "sl0g" not in platform.redact("no app sl0g")
