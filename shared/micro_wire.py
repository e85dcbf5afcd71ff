"""The network port of `MicroClient`: it sends a request, and returns a complete answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case, as `[(b"content-type", b"application/json")]`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    status: int
    headers: Headers
    content: bytes

    def header(self, name: bytes) -> str | None:
        """Return the first header of this name, which is in lower case; None: absent."""
        return next((value.decode("latin-1") for given, value in self.headers if given == name), None)


class Wire(Protocol):
    """Sends requests to one server. `micro_connections.MicroConnections` is the service's."""

    async def send(
        self, method: str, target: str, *, headers: Headers, content: bytes | None, within_s: float
    ) -> Answer:
        """Return the answer, whatever its status. The caller cancels the call after `within_s` seconds.

        Raises Unreachable, before that, if nothing was sent; NoAnswer if anything was sent.
        """
