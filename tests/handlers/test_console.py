"""The console as an answer: its policy, its parts, and its compression."""

import base64
import gzip
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest

from handlers import pages
from handlers.pages import takes_gzip, web_page
from tests.handlers.world import PRODUCTION, Answer, World

NewWorld = Callable[..., World]

PAGE: Final = "/app"
FIRST_VIEW_BYTES: Final = 150_000
VOID: Final = {"meta", "link"}


class Outline(HTMLParser):
    """The elements of a page, and the contents of its styles and scripts."""

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
def test_console_is_served_to_anyone(world: World, rest: bool) -> None:  # noqa: FBT001 a parameter
    """It needs no credential, and no page may frame it."""
    answer = world.get(PAGE, rest=rest)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.body.startswith(b"<!doctype html>")
    assert answer.headers["x-frame-options"] == "DENY"


def test_console_is_the_same_for_every_caller(new_world: NewWorld, answer: Answer) -> None:
    """The page is the same for any credential and deployment."""
    assert new_world(PRODUCTION).get(PAGE, token="forged").body == answer.body


def test_policy_allows_the_consoles_own_code_alone(answer: Answer, outline: Outline) -> None:
    """The policy allows its styles and scripts by hash, its API, audio of this service, and no markup from texts."""
    assert directives(answer) == {
        "default-src": ["'none'"],
        "script-src": [hash_of(text) for text in outline.texts["script"]],
        "style-src": [hash_of(text) for text in outline.texts["style"]],
        "connect-src": ["'self'"],
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["'none'"],
        "media-src": ["'self'", "https://api.example.org"],
    }
    assert len(outline.texts["script"]) == 5
    assert "sourceMappingURL" not in answer.body.decode()


def test_console_plays_what_the_audio_place_serves(new_world: NewWorld) -> None:
    """GET /audio redirects to the bucket, and the policy admits its hosts and no other third party."""
    env = {"SPEECH": "polly", "AUDIO": "s3", "AUDIO_BUCKET": "spoken", "AWS_REGION": "eu-central-1"}
    assert directives(new_world(env).get(PAGE))["media-src"] == [
        "'self'",
        "https://api.example.org",
        "https://spoken.s3.eu-central-1.amazonaws.com",
        "https://spoken.s3.amazonaws.com",
    ]


def test_console_error_keeps_the_policy_of_the_api(world: World) -> None:
    """An error is an API answer, which loads nothing."""
    answer = world.post(PAGE)
    assert answer.refusal == (405, "METHOD_NOT_ALLOWED", "Method not allowed")
    assert directives(answer) == {"default-src": ["'none'"], "frame-ancestors": ["'none'"]}


def test_console_is_one_element_and_loads_no_file(outline: Outline) -> None:
    """No source, no style attribute, no handler: the policy would refuse them."""
    assert outline.values("src") == []
    assert [target for target in outline.values("href") if not target.startswith("data:")] == []
    names = {name for _, attributes in outline.elements for name in attributes}
    assert [name for name in names if name == "style" or name.startswith("on")] == []


def test_our_modules_write_no_markup() -> None:
    """Texts from outside become text nodes: no module of ours can make markup or code of a text."""
    for module in (Path(pages.__file__).parent / "console").glob("*.js"):
        text = module.read_text(encoding="utf-8")
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function|dangerously", text
        )
        assert found == [], module.name


def test_vendored_licences_go_with_the_console(answer: Answer) -> None:
    """Each library's complete licence is in the page that contains the library."""
    folder = Path(pages.__file__).parent / "vendor"
    licences = sorted(folder.glob("*/LICENSE"))
    assert [licence.parent.name for licence in licences] == ["htm", "preact", "uplot"]
    for licence in licences:
        assert licence.read_bytes() in answer.body


def test_console_is_compressed_for_who_takes_gzip(world: World, answer: Answer) -> None:
    """The compressed page is the same, below 150 kB. Browsers may store neither form."""
    compressed = world.get(PAGE, headers={"accept-encoding": "br, gzip;q=0.8"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == answer.body
    assert len(compressed.body) < FIRST_VIEW_BYTES
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == compressed.headers["vary"] == "Accept-Encoding, Origin"
    assert answer.headers["cache-control"] == compressed.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0.1", True),
        ("br, identity", False),
        ("xgzip", False),
    ],
)
def test_takes_gzip_reads_codings_and_weights(accepted: str | None, takes: bool) -> None:  # noqa: FBT001 a parameter
    """RFC 9110, 12.5.3: a weight of 0 means that the coding is not wanted."""
    assert takes_gzip(accepted) is takes


@pytest.mark.parametrize("path", ["/", "/usage"])
def test_old_addresses_lead_to_the_console(world: World, path: str) -> None:
    """The redirect is relative, so it works below a stage too."""
    answer = world.get(path)
    assert (answer.status, answer.headers["location"]) == (307, "app")


@pytest.mark.parametrize("marked", [False, True])
def test_console_is_assembled_once(marked: bool) -> None:  # noqa: FBT001 a parameter
    """Each form is assembled at its first request in a container, and then reused."""
    assert web_page(marked=marked) is web_page(marked=marked)


@pytest.mark.parametrize("cookies", [("auth_token=anything",), ("other=1", "auth_token=anything")])
def test_console_is_marked_if_a_session_came_along(world: World, answer: Answer, cookies: tuple[str, ...]) -> None:
    """No script can read the cookie; except for the mark the page and its policy are the same for any cookie."""
    with_session = world.get(PAGE, cookies=cookies)
    assert b"<html data-session lang" in with_session.body
    assert with_session.body.replace(b"data-session ", b"", 1) == answer.body
    assert directives(with_session) == directives(answer)
    assert world.get(PAGE, cookies=("other=1",)).body == answer.body
