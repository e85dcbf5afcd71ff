"""The socket of the local servers."""

from socket import IPPROTO_TCP, TCP_NODELAY, create_connection

from tools.serving import listening_on


def test_answers_do_not_wait_for_an_acknowledgement() -> None:
    """A reused connection sends a body immediately, without 40 ms of waiting for its head's acknowledgement."""
    with (
        listening_on("127.0.0.1", 0) as server,
        create_connection(server.getsockname()) as _,
        server.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(IPPROTO_TCP, TCP_NODELAY) != 0
