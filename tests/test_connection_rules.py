"""The certificates that connections trust."""

import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from shared.connection_rules import FREEZE_S, KEEPALIVE_S, context_trusting, tls_context
from tests.certificates import self_signed

SERVER_KEEPS_S = 5.0


def test_connection_is_reused_only_while_the_server_keeps_it() -> None:
    """HYPR Micro closes connections after 5 s idle: both clocks together end their use before."""
    assert KEEPALIVE_S + FREEZE_S < SERVER_KEEPS_S


@pytest.mark.parametrize("url", ["https://micro", "HTTPS://micro", "micro", ""])
def test_tls_context_reads_certificates_once(url: str) -> None:
    """Certificates are read once, and checked for every URL but plain http."""
    context = tls_context(url)
    assert context is tls_context("https://other")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] > 0


@pytest.mark.parametrize("url", ["http://micro", "HTTP://micro:7070"])
def test_tls_context_trusts_none_for_plain_http(url: str) -> None:
    """For plain HTTP no certificates are read and none is trusted."""
    context = tls_context(url)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] == 0


def chosen_protocol(client: ssl.SSLContext, certificate: Path) -> str | None:
    """Let a client and a server with this certificate shake hands in memory. Returns the negotiated protocol.

    Raises SSLError if the client does not trust the server.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    server.set_alpn_protocols(["h2", "http/1.1"])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (asking, answering):
            with suppress(ssl.SSLWantReadError):  # it is the other end's turn
                end.do_handshake()
    return answering.selected_alpn_protocol()


@pytest.mark.parametrize("folder", [None, ""])
def test_context_trusts_the_file_that_is_named(tmp_path: Path, folder: str | None) -> None:
    """It trusts no other authority, and uses HTTP/1.1 with servers that offer more."""
    certificate = self_signed(tmp_path)
    context = context_trusting(str(certificate), folder)
    assert chosen_protocol(context, certificate) == "http/1.1"
    assert context.cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize("file", [None, ""])
def test_context_trusts_the_folder_that_is_named(tmp_path: Path, file: str | None) -> None:
    """Its certificates are read when they are needed. No other authority is trusted."""
    assert context_trusting(file, str(tmp_path)).cert_store_stats()["x509_ca"] == 0


@pytest.mark.parametrize("unset", [None, ""])
def test_context_trusts_mozillas_authorities_else(tmp_path: Path, unset: str | None) -> None:
    """It trusts no self-signed certificate."""
    context = context_trusting(unset, unset)
    assert context.cert_store_stats()["x509_ca"] > 50
    with pytest.raises(ssl.SSLCertVerificationError):
        chosen_protocol(context, self_signed(tmp_path))
