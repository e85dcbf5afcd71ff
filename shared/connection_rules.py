"""How long HTTP connections are kept, and which certificates they trust.

Between two invocations Lambda may freeze a container for any time. Meanwhile the server closes its side (HYPR Micro
after 5 s idle), and whether it processed a request that is written to such a connection is unknown. So a connection is
reused only while the server certainly keeps it:

- it has been idle for less than KEEPALIVE_S, by the monotonic clock;
- a freeze may stop that clock, so the wall clock runs ahead of it: by at most FREEZE_S.

Together they bound the true idle time of a reused connection by 3 s. A freeze during a request is not covered.
"""

import os
import ssl
from functools import cache
from typing import Final
from urllib.parse import urlsplit

import certifi

KEEPALIVE_S: Final = 2.0
"""Seconds for which an idle connection is kept. With FREEZE_S it must stay below the server's 5 s."""

CONNECT_S: Final = 2.0
"""Seconds for opening a connection. A server that answers no SYN by then is down; more would only delay the 503."""

FREEZE_S: Final = 1.0
"""Seconds by which the wall clock runs ahead of the monotonic one before a freeze is assumed. Slewing moves both
clocks; a step of the wall clock costs one needless reconnection."""


def tls_context(url: str) -> ssl.SSLContext:
    """Return the TLS context for a server. Certificates are read once: that takes longer than the rest of opening.

    For an http: URL no certificates are read, and none is trusted. Raises OSError if the certificates cannot be read.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if urlsplit(url).scheme == "http" else _certificates()


@cache
def _certificates() -> ssl.SSLContext:
    return context_trusting(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def context_trusting(file: str | None, folder: str | None) -> ssl.SSLContext:
    """Return a context that trusts the certificates in a file and a folder.

    They are the values of SSL_CERT_FILE and SSL_CERT_DIR, as in OpenSSL and httpx. Without both: Mozilla's authorities.
    """
    if not file and not folder:
        file = certifi.where()
    context = ssl.create_default_context(cafile=file or None, capath=folder or None)
    context.set_alpn_protocols(["http/1.1"])
    return context
