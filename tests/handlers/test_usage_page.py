"""The usage page as an answer: what it may load, and what it is made of."""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Final

import pytest

from handlers.pages import web_page
from tests.handlers.world import PRODUCTION, Answer, World

NewWorld = Callable[..., World]

PAGE: Final = "/usage"
VOID: Final = {"meta", "link", "input"}


class Outline(HTMLParser):
    """The elements of a page, and what stands in its styles and scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"style": [], "script": []}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in self.texts:
            self.texts[self._open[-1]].append(data)

    def values(self, name: str) -> list[str]:
        return [str(attributes[name]) for _, attributes in self.elements if attributes.get(name) is not None]


@pytest.fixture
def answer(world: World) -> Answer:
    return world.get(PAGE)


@pytest.fixture
def outline(answer: Answer) -> Outline:
    return Outline(answer.body.decode())


def directives(answer: Answer) -> dict[str, list[str]]:
    policy = answer.headers["content-security-policy"]
    return {name: sources for name, *sources in (directive.split() for directive in policy.split(";"))}


def hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("rest", [False, True])
def test_the_page_is_served_to_anyone(world: World, rest: bool) -> None:  # noqa: FBT001 a parameter
    answer = world.get(PAGE, rest=rest)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.body.startswith(b"<!doctype html>")
    assert answer.headers["x-frame-options"] == "DENY"


def own_policy(outline: Outline) -> dict[str, list[str]]:
    """Return the directives that admit a page's own styles and scripts, requests to its origin, and nothing else."""
    return {
        "default-src": ["'none'"],
        "script-src": [hash_of(text) for text in outline.texts["script"]],
        "style-src": [hash_of(text) for text in outline.texts["style"]],
        "connect-src": ["'self'"],
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }


def test_the_page_is_the_same_for_whoever_asks(new_world: NewWorld, answer: Answer) -> None:
    assert new_world(PRODUCTION).get(PAGE, token="of nobody").body == answer.body


def test_policy_allows_only_the_pages_styles_and_scripts(answer: Answer, outline: Outline) -> None:
    """The policy allows the page's own styles and scripts and nothing else."""
    assert directives(answer) == own_policy(outline) | {"media-src": ["'self'", "https://api.example.org"]}
    assert {kind: len(texts) for kind, texts in outline.texts.items()} == {"style": 3, "script": 2}


def test_page_plays_what_the_bucket_of_audio_serves(new_world: NewWorld) -> None:
    """GET /audio redirects to the bucket, and the policy admits its hosts and no other third party."""
    env = {"SPEECH": "polly", "AUDIO": "s3", "AUDIO_BUCKET": "spoken", "AWS_REGION": "eu-central-1"}
    assert directives(new_world(env).get(PAGE))["media-src"] == [
        "'self'",
        "https://api.example.org",
        "https://spoken.s3.eu-central-1.amazonaws.com",
        "https://spoken.s3.amazonaws.com",
    ]


def test_an_error_keeps_the_policy_of_the_api(world: World) -> None:
    answer = world.post(PAGE)
    assert answer.refusal == (405, "METHOD_NOT_ALLOWED", "Method not allowed")
    assert directives(answer) == {"default-src": ["'none'"], "frame-ancestors": ["'none'"]}


def test_the_page_names_no_other_host(answer: Answer, outline: Outline) -> None:
    assert outline.values("src") == []
    assert [target for target in outline.values("href") if target[0] != "#"] == ["data:,", "app"]
    named = re.findall(rb"\w+://\S+", answer.body)
    assert named == [b"https://github.com/leeoniya/uPlot"]  # of the licence's notice: loaded from nowhere


def test_page_has_no_inline_styles_or_handlers(outline: Outline) -> None:
    """The page has no inline styles and handlers which the policy would refuse."""
    names = {name for _, attributes in outline.elements for name in attributes}
    assert [name for name in names if name == "style" or name.startswith("on")] == []


def test_the_chart_librarys_licence_goes_with_it(answer: Answer) -> None:
    assert b"The MIT License (MIT)\n\nCopyright (c) 2022 Leon Sorokin" in answer.body


def test_ids_are_unique_and_what_refers_to_one_finds_it(outline: Outline) -> None:
    ids = Counter(outline.values("id"))
    assert [found for found, times in ids.items() if times > 1] == []
    referring = [*outline.values("for"), *outline.values("aria-labelledby"), *outline.values("aria-describedby")]
    referring += [target[1:] for target in outline.values("href") if target[0] == "#"]
    assert {found for references in referring for found in references.split()} <= set(ids)


def test_every_field_has_a_label(outline: Outline) -> None:
    fields = {str(of["id"]) for tag, of in outline.elements if tag == "input" and of["type"] != "radio"}
    assert fields == set(outline.values("for"))


def test_each_element_that_the_script_looks_up_is_there(outline: Outline) -> None:
    script = outline.texts["script"][1]
    named = set(re.findall(r'byId\("([\w-]+)"\)', script)) | set(re.findall(r'onSubmit\("([\w-]+)"', script))
    assert named
    assert named <= set(outline.values("id"))


def test_a_client_that_has_the_page_is_told_so(world: World, answer: Answer) -> None:
    etag = answer.headers["etag"]
    assert answer.headers["cache-control"] == "no-cache"
    for known in (etag, f'"another", W/{etag}', "*"):
        again = world.get(PAGE, headers={"if-none-match": known})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
        assert again.headers["content-type"] == answer.headers["content-type"]
        assert again.headers["content-security-policy"] == answer.headers["content-security-policy"]
    assert world.get(PAGE, headers={"if-none-match": '"another"'}).status == 200


def test_the_page_is_put_together_once() -> None:
    assert web_page("usage.html") is web_page("usage.html")
