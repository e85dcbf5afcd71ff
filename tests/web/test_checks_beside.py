"""A check that runs beside the work: its error is the answer, and no answer begins before it ends."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from shared.web.checks_beside import RouteWithChecks, check_beside


class Refused(Exception):
    """The refusal of a check."""


class Noted(JSONResponse):
    """Notes when it begins to be sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"].state.done.append("sent")
        await super().__call__(scope, receive, send)


async def checked(request: Request, refuses: bool = False) -> None:  # noqa: FBT001, FBT002 a parameter of the query
    async def check() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        request.app.state.done.append("check")
        if refuses:
            raise Refused

    check_beside(request, check)


@contextmanager
def serving(route_class: type[APIRoute]) -> Iterator[TestClient]:
    app, routes = FastAPI(), APIRouter(route_class=route_class, default_response_class=Noted)
    app.state.done = []

    @routes.get("/", dependencies=[Depends(checked)])
    async def answer(limit: Annotated[int, Query(le=9)] = 1) -> None:
        app.state.done.append("answer")
        if limit == 0:
            raise ZeroDivisionError

    app.include_router(routes)
    with TestClient(app) as client:
        yield client
    client.close()


def test_nothing_is_answered_before_the_check_ends() -> None:
    with serving(RouteWithChecks) as client:
        assert client.get("/").status_code == 200
        assert client.app.state.done == ["answer", "check", "sent"]  # type: ignore[attr-defined] # an ASGI app


@pytest.mark.parametrize("query", ["", "&limit=0", "&limit=10"], ids=["good", "a defect", "bad input"])
def test_what_a_check_raises_comes_before_all_else(query: str) -> None:
    """The check's error precedes a route's failure too, whose error stays hidden, since it repeats the input."""
    with serving(RouteWithChecks) as client, pytest.raises(Refused) as raised:
        client.get(f"/?refuses=true{query}")
    assert raised.value.__suppress_context__


def test_route_of_another_class_answers_nothing() -> None:
    """Its answer would not wait for the check."""
    with serving(APIRoute) as client, pytest.raises(KeyError):
        client.get("/")
