"""HYPR Micro behind TLS: the key is sent only to the server that the URL names."""

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from shared.connection_rules import tls_context
from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.micro_connections import MicroConnections
from shared.micro_errors import NoAnswer, Unreachable
from tests.certificates import self_signed
from tests.fakes.raw_server import Then, answer, raw_server
from tests.fakes.standin import KEY

pytestmark = pytest.mark.anyio

COUNTED = [answer(b'{"value": 1}')]


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


async def test_tls_is_spoken_with_the_right_certificate(tmp_path: Path) -> None:
    """A server with a certificate that the client trusts gets the requests, over one connection."""
    certificate = self_signed(tmp_path)
    async with raw_server(COUNTED, COUNTED, tls=serving(certificate)) as server:
        async with MicroConnections(server.url, tls=trusting(certificate)) as wire:
            client = MicroClient(wire, Direct(url=server.url, api_key=KEY))
            assert [await client.increment("c"), await client.increment("c")] == [1, 1]
        assert (server.accepted, len(server.requests)) == (1, 2)


@pytest.mark.parametrize("wrong", ["another authority", "another host", "expired", "the world's authorities"])
async def test_key_is_not_sent_with_a_wrong_certificate(tmp_path: Path, wrong: str) -> None:
    """A server whose certificate has expired, or is of another host or authority, gets no request."""
    host = "elsewhere.example" if wrong == "another host" else "localhost"
    ends_in = timedelta(minutes=-1 if wrong == "expired" else 60)
    certificate = self_signed(tmp_path, host=host, ends_in=ends_in)
    trusted = certificate
    if wrong == "another authority":
        (tmp_path / "other").mkdir()
        trusted = self_signed(tmp_path / "other")
    async with raw_server(tls=serving(certificate)) as server:
        tls = tls_context(server.url) if wrong == "the world's authorities" else trusting(trusted)
        async with MicroConnections(server.url, tls=tls) as wire:
            with pytest.raises(Unreachable, match="certificate verify failed"):
                await MicroClient(wire, Direct(url=server.url, api_key=KEY)).increment("c")
        assert server.requests == []


async def test_tls_answer_that_breaks_off_is_unknown(tmp_path: Path) -> None:
    """A connection that ends or breaks in the middle of an answer is of unknown outcome under TLS too."""
    certificate = self_signed(tmp_path)
    for then in (Then.CLOSE, Then.RESET):
        async with raw_server([COUNTED[0][:-1], then], tls=serving(certificate)) as server:
            async with MicroConnections(server.url, tls=trusting(certificate)) as wire:
                with pytest.raises(NoAnswer):
                    await MicroClient(wire, Direct(url=server.url, api_key=KEY)).increment("c")
            assert len(server.requests) == 1


async def test_plain_http_answer_to_tls_is_unreachable() -> None:
    """A server without TLS at an https URL gets no request."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with MicroConnections(url) as wire:
            with pytest.raises(Unreachable):
                await MicroClient(wire, Direct(url=url, api_key=KEY), timeout_s=30).increment("c")
