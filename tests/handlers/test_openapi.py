"""The OpenAPI document of each function, and whether the function conforms to it."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import Phase
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from shared.plans import Tier
from shared.tables.users import Role
from tests.events import http_event
from tests.handlers.conftest import Fuzz
from tests.handlers.world import PUBLIC_URL, World
from tools.local import FUNCTIONS

NewWorld = Callable[..., World]

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

DOCUMENTS: dict[str, dict[str, Any]] = {name: function.app.openapi() for name, function in FUNCTIONS.items()}
METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
ERROR = {"$ref": "#/components/schemas/ErrorAnswer"}
OPENAI_ERROR = {"$ref": "#/components/schemas/OpenAiErrorAnswer"}
OWN_503 = {"/health", "/health/ready", "/health/detailed"}
"""Paths whose 503 is an answer of their own, not the error envelope."""

EXAMPLES = 6
CALLERS = ("session", "session", "session", "key", "nobody")

every_document = pytest.mark.parametrize("name", DOCUMENTS)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def reached(document: dict[str, Any], node: Any, seen: set[str]) -> set[str]:
    """Return the names of all models below a part of the document."""
    if isinstance(node, dict):
        name = str(node.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            reached(document, document["components"]["schemas"][name], seen)
        for value in node.values():
            reached(document, value, seen)
    elif isinstance(node, list):
        for value in node:
            reached(document, value, seen)
    return seen


def answer_models(document: dict[str, Any]) -> dict[str, Any]:
    names: set[str] = set()
    for _, _, operation in operations(document):
        reached(document, operation["responses"], names)
    return {name: document["components"]["schemas"][name] for name in sorted(names)}


@every_document
def test_documented_errors_are_the_envelope(name: str) -> None:
    """This holds for every route, except health's own 503. Routes of OpenAI's SDKs have OpenAI's envelope."""
    for path, method, operation in operations(DOCUMENTS[name]):
        errors = {status: answer for status, answer in operation["responses"].items() if status[0] not in "23"}
        assert {"500", "503", "default"} <= errors.keys(), (method, path)
        for status, answer in errors.items():
            if status == "503" and path in OWN_503:
                continue
            schema = OPENAI_ERROR if path.startswith("/v1/") else ERROR
            assert answer["content"] == {"application/json": {"schema": schema}}, (method, path, status)


@every_document
def test_documents_name_a_body_that_is_too_large(name: str) -> None:
    """Every route refuses one, also where a body means nothing."""
    for path, method, operation in operations(DOCUMENTS[name]):
        assert "413" in operation["responses"], (method, path)


@every_document
def test_documents_have_no_fastapi_errors(name: str) -> None:
    """FastAPI's 422 and its models do not exist here."""
    text = json.dumps(DOCUMENTS[name])
    assert "HTTPValidationError" not in text
    assert '"422"' not in text


@every_document
def test_answers_have_no_free_form_objects(name: str) -> None:
    """Only a log's metadata and the counts by tier have no fixed fields."""

    def free(node: Any, trail: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if isinstance(node, dict):
            if node.get("type") == "object" and "properties" not in node:
                yield trail
            for key, value in node.items():
                yield from free(value, (*trail, key))
        elif isinstance(node, list):
            for value in node:
                yield from free(value, trail)

    found = {trail[-1] for model in answer_models(DOCUMENTS[name]).values() for trail in free(model, ())}
    assert found <= {"metadata", "byTier"}


@every_document
def test_json_answers_have_models(name: str) -> None:
    """Every documented JSON answer has a schema."""
    for path, method, operation in operations(DOCUMENTS[name]):
        for status, answer in operation["responses"].items():
            for media in answer.get("content", {}).values():
                if media:
                    assert "$ref" in media["schema"], (method, path, status)


@every_document
def test_answer_models_require_all_fields(name: str) -> None:
    """Optional fields are present and null."""
    for model_name, model in answer_models(DOCUMENTS[name]).items():
        if "properties" not in model or model_name == "ErrorDetails":
            continue
        optional = {"details"} if model_name == "ErrorBody" else set()
        assert set(model["properties"]) - set(model.get("required", ())) == optional, model_name
        assert [field for field, of in model["properties"].items() if "default" in of] == [], model_name


def test_export_documents_its_cursor_as_the_header() -> None:
    """The parts of an export have no `nextCursor`: the cursor of the next one is a header."""
    [cursor] = DOCUMENTS["users"]["paths"]["/api/v1/auth/me/export"]["get"]["parameters"]
    assert cursor["description"] == "`X-Next-Cursor` of the part before"


def test_operation_ids_are_unique() -> None:
    """They are unique over all functions, which are served as one API."""
    ids = [operation["operationId"] for document in DOCUMENTS.values() for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_paths_belong_to_one_function() -> None:
    """One function has a path with all its methods."""
    paths = [path for document in DOCUMENTS.values() for path in document["paths"]]
    assert len(paths) == len(set(paths))


@every_document
def test_model_fields_are_camel_case(name: str) -> None:
    """Fields of requests and answers are in camelCase, except OpenAI's."""
    models = DOCUMENTS[name].get("components", {}).get("schemas", {})
    for model in (of for called, of in models.items() if called not in {"CreateSpeech", "ModelEntry"}):
        for field in model.get("properties", {}):
            assert re.fullmatch(r"[a-z][A-Za-z0-9]*", field)


class Prepared:
    """A world with an account, two keys and a memo, for the requests, and an admin."""

    def __init__(self, world: World) -> None:
        self.world = world
        account, admin = world.sign_up("ada@example.org"), world.sign_up("admin@example.org")
        world.put_on(admin, Tier.PRO, Role.ADMIN)
        spare, _ = world.new_key(account, test=True)
        self.tokens = {"session": account.session, "admin": admin.session, "key": account.key, "nobody": None}
        self.ids = {
            "memo_id": world.memo(account.key)["id"],
            "key_id": spare,
            "user_id": account.id,
            "tier": "pro",
            "file": "simulated-9.mp3",
            "sample": "adam.mp3",
        }


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (name, f"{method.upper()} {path}")
        for name, document in DOCUMENTS.items()
        for path, method, _ in operations(document)
    ],
)
def test_an_operation_keeps_to_its_document(new_world: NewWorld, fuzz: Fuzz, name: str, label: str) -> None:
    """This holds for any request, valid or not, without a credential, with a session or with a key."""
    prepared = Prepared(new_world())
    method, _, path = label.partition(" ")
    operation = schemathesis.openapi.from_dict(DOCUMENTS[name])[path][method]
    cases = st.one_of([operation.as_strategy(generation_mode=mode) for mode in GenerationMode])
    seen: set[int] = set()

    @fuzz(EXAMPLES, phases=[Phase.generate])
    @hypothesis.given(case=cases, who=st.sampled_from(CALLERS), known=st.sampled_from([True, True, False]))
    def check(case: schemathesis.Case[Any], who: str, known: bool) -> None:  # noqa: FBT001 drawn
        if known:
            case.path_parameters = {name: prepared.ids[name] for name in case.path_parameters or {}}
        answer = asked(prepared, name, case, who)
        case.validate_response(answer, checks=CHECKS)
        assert str(answer.status_code) in DOCUMENTS[name]["paths"][path][method.lower()]["responses"]
        seen.add(answer.status_code)

    check()
    assert seen
    assert method != "GET" or seen & {200, 307}


def asked(prepared: Prepared, function: str, case: schemathesis.Case[Any], who: str) -> httpx.Response:
    """Send a case as an event. Returns the answer."""
    token = prepared.tokens["admin" if (function, who) == ("admin", "session") else who]
    sent = case.as_transport_kwargs(base_url=PUBLIC_URL)
    sent["headers"] = {name: value for name, value in sent["headers"].items() if name.lower() != "authorization"}
    sent["headers"] |= {"authorization": f"Bearer {token}"} if token else {}
    request = requests.Request(**sent).prepare()
    url = urlsplit(str(request.url))
    body = request.body
    assert body is None or isinstance(body, str | bytes)
    event = http_event(
        str(request.method),
        url.path,
        query=url.query,
        headers={
            name: value if isinstance(value, str) else value.decode("latin-1")
            for name, value in request.headers.items()
        },
        body=body,
    )
    answer = prepared.world.handle(function, event)
    response = httpx.Response(
        answer.status,
        headers=answer.headers,
        content=answer.body,
        request=httpx.Request(str(request.method), str(request.url)),
    )
    response.elapsed = timedelta()
    return response
