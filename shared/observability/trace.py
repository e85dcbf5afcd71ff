"""W3C Trace Context: requests to the store continue the caller's trace, and log lines have its id.

A trace is continued, never begun: without a valid `traceparent` no header is sent. No spans of ours are recorded, so a
new trace would be empty.
"""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

_VERSION_0: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_LATER: Final = re.compile(r"(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_STATE: Final = re.compile(r"[\t -~]{1,4096}")
"""Values that every HTTP library sends unchanged and every server accepts."""

SAMPLED: Final = 0x01
"""The only flag of version 00. Unknown flags must not be propagated."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    trace_id: str
    flags: int
    state: str | None

    def headers(self) -> Mapping[str, str]:
        """Return the headers of one outgoing request, with a span id of its own."""
        parent = f"00-{self.trace_id}-{secrets.token_hex(8)}-{self.flags:02x}"
        return {"traceparent": parent, **({"tracestate": self.state} if self.state else {})}


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current() -> Trace | None:
    """Return the trace of the request being served; None if it has none."""
    return _current.get()


def headers() -> Mapping[str, str]:
    """Return the headers of one outgoing request; empty without a trace."""
    trace = _current.get()
    return {} if trace is None else trace.headers()


@contextmanager
def continued(given: Iterable[tuple[bytes, bytes]]) -> Iterator[None]:
    """Continue the trace of these headers, if they have a valid one."""
    token = _current.set(parse(given))
    try:
        yield
    finally:
        _current.reset(token)


def parse(given: Iterable[tuple[bytes, bytes]]) -> Trace | None:
    """Parse the trace of these raw headers. None if there is none, an invalid one, or more than one."""
    fields = [(name.lower(), value.decode("latin-1").strip(" \t")) for name, value in given]
    parents = [value for name, value in fields if name == b"traceparent"]
    if len(parents) != 1:
        return None
    found = _VERSION_0.fullmatch(parents[0]) or _LATER.fullmatch(parents[0])
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    state = ",".join(value for name, value in fields if name == b"tracestate")
    return Trace(trace_id=found[1], flags=int(found[3], 16) & SAMPLED, state=state if _STATE.fullmatch(state) else None)
