"""The console: one self-contained page, which loads no further file and calls this service's API alone.

`console/console.html` names its styles and scripts as files. Their content replaces the tags here, and the page's
policy allows exactly these, by their hashes. The modules become one script: `modules.py`. vendor/ contains unchanged
libraries: Preact with htm renders, uPlot draws the charts.
"""

import base64
import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from handlers.models.openapi import errors
from handlers.pages.modules import joined
from shared.web.auth import RequestServices
from shared.web.cookies import session_cookies

routes = APIRouter(tags=["usage"])

_FILES: Final = Path(__file__).parent
_FILE: Final = re.compile(
    r'<link rel="stylesheet" href="(?P<style>[^"]+)">'
    r'|<script src="(?P<script>[^"]+)"></script>'
    r'|<script type="module" src="(?P<module>[^"]+)"></script>'
    r"|<!-- (?P<notice>\S+/LICENSE) -->"
)
_TAGS: Final = {
    "style": ("style", "<style>"),
    "script": ("script", "<script>"),
    "module": ("script", '<script type="module">'),
}
_SOURCE_MAP: Final = re.compile(r"^//# sourceMappingURL=.*$", re.MULTILINE)
"""A line that names a file which is not served: a browser's tools would request it, and report the error."""

_NO_GZIP: Final = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*$")


@dataclass(frozen=True, kw_only=True)
class WebPage:
    html: bytes
    compressed: bytes
    """`html` in gzip."""

    policy: str
    """The Content-Security-Policy without `media-src`, which depends on the deployment."""


_PAGE_ANSWERS: Final[dict[int | str, dict[str, Any]]] = errors() | {
    200: {"description": "The page", "content": {HTMLResponse.media_type: {}}},
}
_REDIRECTION: Final[dict[int | str, dict[str, Any]]] = errors() | {307: {"description": "To the console"}}

Accepted = Annotated[str | None, Header(alias="Accept-Encoding")]


@routes.get("/app", response_class=Response, responses=_PAGE_ANSWERS)
async def get_console(request: Request, services: RequestServices, accepted: Accepted = None) -> Response:
    """Return the console, a web page.

    There an owner signs up, makes memos and keys, sees usage, pays, and closes the account.
    """
    heard = " ".join(dict.fromkeys(("'self'", services.settings.edge.public_origin, *services.settings.audio.origins)))
    page = web_page(marked=bool(session_cookies(request).candidates))
    headers = {"vary": "Accept-Encoding", "content-security-policy": f"{page.policy}; media-src {heard}"}
    if takes_gzip(accepted):
        return HTMLResponse(page.compressed, headers=headers | {"content-encoding": "gzip"})
    return HTMLResponse(page.html, headers=headers)


@routes.get("/", response_class=Response, status_code=307, responses=_REDIRECTION)
@routes.get("/usage", response_class=Response, status_code=307, responses=_REDIRECTION)
async def lead_to_console() -> Response:
    """Redirect to the console, below the stage if the API has one."""
    return RedirectResponse("app")


@routes.get(
    "/llms.txt",
    response_class=Response,
    responses=errors() | {200: {"description": "The text", "content": {PlainTextResponse.media_type: {}}}},
)
async def get_llms_txt(services: RequestServices) -> Response:
    """Return a description of the service for agents, in twenty lines of text."""
    return PlainTextResponse(_read("llms.txt").replace("{url}", services.settings.public_url))


def takes_gzip(accepted: str | None) -> bool:
    """Return whether `Accept-Encoding` names gzip, and not with a weight of 0."""
    codings = [coding.strip().lower() for coding in (accepted or "").split(",")]
    return any(coding.partition(";")[0].strip() == "gzip" and not _NO_GZIP.match(coding) for coding in codings)


@cache
def web_page(*, marked: bool) -> WebPage:
    """Read the console's files and assemble the page. Each form is assembled once, at its first request.

    The page is `marked` if the request has a session's cookie, valid or not: `<html data-session lang="en">`. Its
    script cannot read the cookie, and requests the session only if the page is marked.
    """
    hashes: dict[str, list[str]] = {"style": [], "script": []}

    def inline(match: re.Match[str]) -> str:
        kind, file = str(match.lastgroup), match[match.lastgroup or 0]
        if kind == "notice":
            return f"<!-- {_read(file)} -->"
        text = joined(_FILES / file) if kind == "module" else _SOURCE_MAP.sub("", _read(file))
        tag, opening = _TAGS[kind]
        hashes[tag].append(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")
        return f"{opening}{text}</{tag}>"

    html = _FILE.sub(inline, _read("console/console.html"))
    if marked:
        html = html.replace("<html ", "<html data-session ", 1)
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(hashes["script"]),
        "style-src": " ".join(hashes["style"]),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return WebPage(
        html=html.encode(),
        compressed=gzip.compress(html.encode()),
        policy="; ".join(f"{name} {sources}" for name, sources in policy.items()),
    )


def _read(file: str) -> str:
    """Return a file's text. Lines end with a line feed only: a browser hashes them in this form."""
    return (_FILES / file).read_text(encoding="utf-8")
