"""Which certificates connections trust."""

import ssl

import pytest

from shared.connection_rules import FREEZE_S, KEEPALIVE_S, tls_context

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
