"""A pytest plugin: it sets coverage's context to the test, and writes each test's duration and result to a file."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import coverage
import pytest

REPORT: Final = "MUTANTS_REPORT"
"""The variable that names the file: a JSON object of each test's `[seconds, whether it passed]`."""

_seen: dict[str, tuple[float, bool]] = {}


def name_of(node: str) -> str:
    """Return a test's name without parameters, as in `tests/core/test_clock.py::test_x`: all of them count as one."""
    return node.partition("[")[0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    measured = coverage.Coverage.current()
    assert measured is not None, "run it by `coverage run`"
    measured.switch_context(name_of(item.nodeid))
    try:
        return (yield)
    finally:
        measured.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    name = name_of(report.nodeid)
    seconds, passed = _seen.get(name, (0.0, True))
    _seen[name] = (seconds + report.duration, passed and not report.failed)


def pytest_sessionfinish() -> None:
    Path(os.environ[REPORT]).write_text(json.dumps(_seen))
