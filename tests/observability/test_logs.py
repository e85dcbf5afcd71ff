"""The service's own log lines."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.core.request import request_id
from shared.observability import trace
from shared.observability.logs import configure_logging
from tests.handlers.world import kept_logs

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def first_lines() -> Iterator[io.StringIO]:
    """Yield the output of the handler that a container's first call of `configure_logging` makes."""
    logger = logging.getLogger("agent_talk")
    handlers, propagates, logger.handlers, logger.propagate = logger.handlers, logger.propagate, [], True
    try:
        configure_logging("INFO")
        (own,) = logger.handlers
        assert isinstance(own, logging.StreamHandler)
        own.stream = io.StringIO()
        assert not logger.propagate
        yield own.stream
    finally:
        logger.handlers, logger.propagate = handlers, propagates


def test_a_line_is_json_with_its_time_and_ids(first_lines: io.StringIO) -> None:
    """A line has its time in UTC, the ids of the request and its trace, or null, and any object as its text."""
    token = request_id.set("r-1")
    try:
        with trace.continued([(b"traceparent", f"00-{TRACE_ID}-00f067aa0ba902b7-01".encode())]):
            logging.getLogger("agent_talk.test").info("hello", extra={"path": Path("a/b")})
    finally:
        request_id.reset(token)
    logging.getLogger("agent_talk.test").warning("alone")
    within, alone = (json.loads(line) for line in first_lines.getvalue().splitlines())
    fields = ("message", "level", "request_id", "trace_id", "path")
    assert [within.get(field) for field in fields] == ["hello", "INFO", "r-1", TRACE_ID, "a/b"]
    assert [alone.get(field) for field in fields] == ["alone", "WARNING", None, None, None]
    at = datetime.fromisoformat(within["timestamp"])
    assert ("T" in within["timestamp"], at.utcoffset()) == (True, UTC.utcoffset(at))


def test_a_line_is_written_once_and_by_our_handler_alone() -> None:
    """Lambda adds its own handler to the root logger, which would write each line again, as text."""
    root, other = logging.getLogger(), logging.StreamHandler(io.StringIO())
    root.addHandler(other)
    try:
        with kept_logs() as logs:
            configure_logging("INFO")
            logging.getLogger("agent_talk.test").info("hello")
    finally:
        root.removeHandler(other)
    assert [line["message"] for line in logs.lines] == ["hello"]
    assert other.stream.getvalue() == ""


def test_libraries_log_no_requests() -> None:
    """Below the level of warnings they log complete requests, with paths, addresses and keys."""
    names = ("mangum", "botocore", "stripe", "httpx", "httpcore")
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    configure_logging("DEBUG")
    for name in names:
        assert logging.getLogger(name).getEffectiveLevel() == logging.WARNING
    assert logging.getLogger("agent_talk").getEffectiveLevel() == logging.DEBUG
