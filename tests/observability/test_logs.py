"""The service's own log lines."""

import io
import logging

from shared.observability.logs import configure_logging
from tests.handlers.world import kept_logs


def test_a_line_is_written_once_and_by_our_handler_alone() -> None:
    """Lambda gives the root logger a handler of its own: it would write each line again, as text."""
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
    """Below a warning they log whole requests, with paths, addresses and keys in them."""
    configure_logging("DEBUG")
    for name in ("mangum", "botocore", "stripe", "httpx", "httpcore"):
        assert logging.getLogger(name).getEffectiveLevel() == logging.WARNING
    assert logging.getLogger("agent_talk").getEffectiveLevel() == logging.DEBUG
