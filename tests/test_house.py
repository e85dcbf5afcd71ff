"""The code stays small: the number of packages of the product that a request crosses."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from shared.services import Services
from shared.stores.memory.store import MemoryStore
from tests.events import http_event
from tools.local import local_gateway

ROOT = Path(__file__).parent.parent
GOALS = {"memo": 13, "signup": 12, "charts": 9, "key check": 8}
"""The most packages that each request may cross; `handlers` is one, as is each package or file right below `shared`."""


def package(file: str) -> str | None:
    """Return the package of a file of the product; None for all other files."""
    path = Path(file)
    if not path.is_relative_to(ROOT):
        return None
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[:2]) if parts[0] == "shared" else parts[0] if parts[0] == "handlers" else None


@contextmanager
def crossed() -> Iterator[set[str]]:
    """Yield the set of packages whose functions run in the block."""
    seen: set[str] = set()

    def note(frame: FrameType, _: str, __: Any) -> None:
        name = package(frame.f_code.co_filename)
        if name is not None:
            seen.add(name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(before)


def test_requests_cross_few_packages() -> None:
    """A memo, a sign-up, charts and a key's check each cross at most the packages of GOALS."""
    store = MemoryStore()
    functions = local_gateway({"AGENT_TALK_STORE": "memory"}, lambda settings: Services.on(store, settings)).functions

    def call(name: str, function: str, method: str, path: str, *, body: object = None, token: str = "") -> Any:
        functions[function](http_event("GET", "/nowhere"), None)  # so that the request contains no container's start
        headers = {"authorization": f"Bearer {token}"} if token else {}
        event = http_event(method, path, headers=headers, body=None if body is None else json.dumps(body))
        with crossed() as seen:
            answer = functions[function](event, None)
        counted[name] = len(seen)
        return json.loads(answer["body"])

    counted: dict[str, int] = {}
    try:
        account = {"email": "me@example.org", "password": "correct horse"}
        key = call("signup", "users", "POST", "/api/v1/auth/signup", body=account)["apiKey"]["key"]
        call("memo", "memos", "POST", "/api/v1/memo", body={"text": "Hello", "voice": "adam"}, token=key)
        call("charts", "usage", "GET", "/api/v1/analytics/charts", token=key)
        call("key check", "memos", "GET", f"/api/v1/memo/{'0' * 32}", token=key)
    finally:
        for function in functions.values():
            function.close()
    assert counted.keys() == GOALS.keys()
    assert {name: count for name, count in counted.items() if count > GOALS[name]} == {}


@pytest.mark.parametrize(
    ("file", "name"),
    [("shared/stores/memory/file.py", "shared/stores"), ("shared/plans.py", "shared/plans.py"), ("README.md", None)],
)
def test_package_names_a_file_of_the_product(file: str, name: str | None) -> None:
    """Packages are counted by their first level below `shared`."""
    assert package(str(ROOT / file)) == name
