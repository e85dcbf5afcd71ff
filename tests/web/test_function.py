"""Lambda's result for an event without a complete answer."""

import json
import logging
from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from shared.web.function import Function
from tests.events import LambdaContext, http_event
from tools.local import FUNCTIONS

routes = APIRouter()


@routes.get("/broken")
async def break_off() -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        yield b"begun"
        raise ZeroDivisionError

    return StreamingResponse(lines())


@pytest.fixture
def function() -> Iterator[Function]:
    function = Function(routes, title="broken", answers_outages=True, environ={})
    yield function
    function.close()


def test_answer_that_breaks_off_is_500(function: Function) -> None:
    """Nothing of the answer that had begun is sent."""
    answer = function(http_event("GET", "/broken"), LambdaContext())
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (500, "INTERNAL_ERROR")


def test_event_that_cannot_be_read_is_400(function: Function) -> None:
    """An unreadable event is 400, also in a container that has served a request before."""
    function(http_event("GET", "/broken"), LambdaContext())
    event = http_event("POST", "/broken") | {"body": "\u00ff", "isBase64Encoded": True}
    answer = function(event, LambdaContext())
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (400, "VALIDATION_ERROR")


def test_first_event_that_is_refused_is_logged(function: Function) -> None:
    """A container whose first event is no request still has its log lines in JSON."""
    own = logging.getLogger("agent_talk")
    kept = own.handlers[:]
    own.handlers.clear()
    try:
        assert function({"Records": []}, LambdaContext())["statusCode"] == 400
        assert len(own.handlers) == 1
    finally:
        own.handlers[:] = kept or own.handlers


def test_functions_that_send_mail_are_two() -> None:
    """Accounts send mails, and admins do. Any other function would only start more slowly."""
    assert {name for name, function in FUNCTIONS.items() if function.sends_mail} == {"users", "admin"}


def test_functions_that_answer_in_an_outage_are_two() -> None:
    """All other functions are 503 before a route runs."""
    assert {name for name, function in FUNCTIONS.items() if function.answers_outages} == {"health", "mcp"}
