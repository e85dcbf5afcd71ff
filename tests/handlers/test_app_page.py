"""The page that mails lead to, as an answer: what it may load, and what it is made of."""

from typing import Final

import pytest

from handlers.pages import web_page
from tests.handlers.test_usage_page import Outline, directives, own_policy
from tests.handlers.world import World

PAGE: Final = "/app"


@pytest.mark.parametrize("rest", [False, True])
def test_app_page_is_served_to_anyone(world: World, rest: bool) -> None:  # noqa: FBT001 a parameter
    """And is known again by its ETag."""
    answer = world.get(PAGE, rest=rest)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["x-frame-options"] == "DENY"
    assert world.get(PAGE, headers={"if-none-match": answer.headers["etag"]}, rest=rest).status == 304


def test_app_page_loads_nothing(world: World) -> None:
    """Its policy admits its own style and script, and requests to its own origin."""
    answer = world.get(PAGE)
    outline = Outline(answer.body.decode())
    assert directives(answer) == own_policy(outline)
    assert {kind: len(texts) for kind, texts in outline.texts.items()} == {"style": 2, "script": 1}
    assert outline.values("style") == []
    assert [value for value in outline.values("href") if value != "data:,"] == ["usage"]


def test_app_page_names_what_it_labels() -> None:
    """Every id is one element's, and each label and description names one."""
    outline = Outline(web_page("app.html").html)
    ids = outline.values("id")
    assert len(ids) == len(set(ids))
    named = [word for name in ("for", "aria-labelledby", "aria-describedby") for word in outline.values(name)]
    assert {word for words in named for word in words.split()} <= set(ids)
