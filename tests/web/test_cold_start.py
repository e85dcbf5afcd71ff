"""The imports of a container before its first event, and those left for that event, each in a new process."""

import importlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.events import http_event
from tests.fakes.stripe_world import SELLING
from tests.support import BY_SES, one_quickly
from tools.local import FUNCTIONS

ROOT: Final = Path(__file__).parents[2]
HEAVY: Final = frozenset(
    {
        "argon2",
        "aws_lambda_powertools",
        "boto3",
        "botocore",
        "h11",
        "httpcore",
        "httpx",
        "pydantic.v1",
        "shared.usage.reports",
        "shared.stores.memory.store",
        "shared.micro",
        "sortedcontainers",
        "stripe",
    }
)
OF_ITS_OWN: Final = {
    "handlers.users": {"argon2"},
    "handlers.usage": {"shared.usage.reports"},
    "handlers.admin": {"shared.usage.reports"},
}
IN_LAMBDA: Final = {
    "AWS_LAMBDA_FUNCTION_NAME": "agent-talk-dev",
    "SESSION_SECRET": "s" * 32,
    "SPEECH": "simulated",
    **BY_SES,
}
MEMORY: Final = {"AGENT_TALK_STORE": "memory"}
MICRO: Final = {"HYPR_URL": "http://127.0.0.1:9", "HYPERMICRO_API_KEY": "nobody-listens-there"}
HANDLERS: Final = sorted(f"handlers.{name}" for name in FUNCTIONS)

MOST_MODULES: Final = 760
"""The most modules of a start on HYPR Micro, those of cryptography in a developer's environment included."""

OF_THE_SDK: Final = frozenset({"boto3", "botocore", "s3transfer", "urllib3", "dateutil", "jmespath", "multiprocessing"})

PROBE: Final = """
import contextlib, gc, importlib, io, json, re, sys
def loaded():
    return {name for name, module in sys.modules.items() if module is not None}
function = importlib.import_module(sys.argv[1]).handler
before = loaded()
compile_pattern, compiled = re._compiler.compile, []
re._compiler.compile = lambda *asked: (compiled.append(str(asked[0])), compile_pattern(*asked))[1]
with contextlib.redirect_stdout(io.StringIO()):
    status = function(json.loads(sys.argv[2]), None)["statusCode"]
assert gc.isenabled()
later = loaded() - before
documented = sum(len(getattr(route, "response_fields", ())) for route in function.app.routes)
documents = vars(sys.modules["fastapi.openapi.models"]).values()
built = sum(hasattr(model, "__pydantic_validator__") for model in documents)
told = {"imported": sorted(before), "later": sorted(later), "compiled": compiled, "documented": documented}
print(json.dumps({**told, "built": built, "status": status}))
"""


@dataclass(frozen=True, kw_only=True)
class Container:
    """A new container: modules before its first event, modules that the event added, compiled patterns, its status."""

    imported: frozenset[str]
    later: frozenset[str]
    compiled: list[str]
    documented: int
    """The number of built models of answers that are not a route's own."""

    built_of_openapi: int
    """The number of built models of FastAPI's own documents."""

    status: int

    @property
    def heavy(self) -> frozenset[str]:
        return self.imported & HEAVY


def container(handler: str, env: dict[str, str], path: str = "/nowhere") -> Container:
    """Import a handler in a new process and serve one event, which needs the store, but no caller."""
    event: Any = http_event("GET", path)
    done = subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-c", PROBE, handler, json.dumps(event)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    told = json.loads(done.stdout)
    return Container(
        imported=frozenset(told["imported"]),
        later=frozenset(told["later"]),
        compiled=told["compiled"],
        documented=told["documented"],
        built_of_openapi=told["built"],
        status=told["status"],
    )


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.thorough
def test_import_is_light_outside_lambda(handler: str) -> None:
    """No store, client or log library is imported; FastAPI imports pydantic.v1 for routes with models."""
    started = container(handler, {})
    has_models = handler != "handlers.mcp"
    assert started.heavy - OF_ITS_OWN.get(handler, set()) == ({"pydantic.v1"} if has_models else set())
    assert started.status == 404
    assert "httpx" not in started.later


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.thorough
def test_first_event_imports_nothing_on_memory(handler: str) -> None:
    """No client of another store is imported at all. The users and admin functions send mail by boto3 here."""
    started = container(handler, IN_LAMBDA | MEMORY)
    others = OF_ITS_OWN.get(handler, set()) | {"botocore"}  # powertools tries to import it
    others |= {"boto3"} if handler in ("handlers.users", "handlers.admin") else set()
    assert started.heavy - others == {"aws_lambda_powertools", "shared.stores.memory.store", "sortedcontainers"}
    assert (started.status, started.later) == (404, frozenset())


@pytest.mark.parametrize("handler", ["handlers.subscriptions", "handlers.users"])
@pytest.mark.thorough
def test_stripe_is_imported_when_it_is_first_asked(handler: str) -> None:
    """The import takes up to a second, so neither a start nor an event without payments does it, even if plans are
    sold."""
    started = container(handler, IN_LAMBDA | MEMORY | SELLING, "/api/v1/billing/tiers")
    assert not {"stripe", "shared.billing.client"} & (started.imported | started.later)


@pytest.mark.thorough
def test_mailer_is_imported_ahead_where_mail_is_sent() -> None:
    """Otherwise a first mail could time out waiting for boto3. A function that sends no mail imports none."""
    assert "shared.mail.ses" in container("handlers.users", IN_LAMBDA | MEMORY).imported
    by_smtp = {"MAIL": "smtp", "SMTP_HOST": "smtp.example.org"}
    assert "shared.mail.smtp" in container("handlers.users", IN_LAMBDA | MEMORY | by_smtp).imported
    assert not {"shared.mail.ses", "email.headerregistry"} & container("handlers.keys", IN_LAMBDA | MEMORY).imported


@pytest.mark.thorough
def test_models_of_documents_are_built_outside_lambda_alone() -> None:
    """Lambda serves no OpenAPI document, and FastAPI's own models of one take a fifth of an initialisation."""
    outside = container("handlers.memos", {})
    assert (outside.documented > 0, outside.built_of_openapi > 0) == (True, True)
    in_lambda = container("handlers.memos", IN_LAMBDA | MEMORY)
    assert (in_lambda.documented, in_lambda.built_of_openapi) == (0, 0)


@pytest.mark.parametrize("handler", one_quickly(*HANDLERS))
def test_start_imports_few_modules(handler: str) -> None:
    """The imports of a start are counted, without the SDK's modules, so one more package fails this test."""
    imported = container(handler, IN_LAMBDA | MICRO).imported
    of_the_sdk = {name for name in imported if name.partition(".")[0] in OF_THE_SDK}
    assert len(imported - of_the_sdk) <= MOST_MODULES


@pytest.mark.thorough
def test_first_event_compiles_no_pattern() -> None:
    """All patterns were compiled when the function was built."""
    started = container("handlers.memos", IN_LAMBDA | MEMORY, "/api/v1/voices")
    assert (started.status, started.compiled) == (200, [])


@pytest.mark.parametrize("handler", ["handlers.health", "handlers.memos"])
@pytest.mark.thorough
def test_first_event_imports_nothing_on_micro(handler: str) -> None:
    """The store's client is imported before the first event."""
    started = container(handler, IN_LAMBDA | MICRO)
    assert started.heavy >= {"h11", "shared.micro"}
    assert not started.heavy & {
        "argon2",
        "boto3",
        "httpcore",
        "httpx",
        "pydantic.v1",
        "shared.usage.reports",
        "shared.stores.memory.store",
        "sortedcontainers",
    }
    assert (started.status, started.later) == (404 if handler == "handlers.health" else 503, frozenset())


@pytest.mark.parametrize(
    "env",
    [MICRO | {"HYPR_URL": "https://[::1"}, MICRO | {"HYPR_URL": "https://localhost:9", "SSL_CERT_FILE": "/absent"}],
    ids=["URL", "certificates"],
)
@pytest.mark.thorough
def test_first_event_reports_a_wrong_server(env: dict[str, str]) -> None:
    """Preparation fails no import: the first event is 503."""
    assert container("handlers.memos", IN_LAMBDA | env).status == 503


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_routes_are_built_once(name: str) -> None:
    """The function takes the router's own routes."""
    function = importlib.import_module(f"handlers.{name}").handler
    assert function.app.routes == function.routes.routes
