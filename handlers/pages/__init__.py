"""The pages: each one self-contained answer, which loads nothing but this service's own API.

A page names its styles and scripts as files. Here each takes the place of its tag, and the page's policy allows
exactly these, by their hashes. uPlot draws the charts; vendor/ holds it unchanged.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from handlers.models.openapi import errors
from shared.web.auth import RequestServices
from shared.web.etags import etag_of, is_known

routes = APIRouter(tags=["usage"])

_FILES: Final = Path(__file__).parent
_FILE = re.compile(
    r'<link rel="stylesheet" href="(?P<style>[^"]+)">'
    r'|<script src="(?P<script>[^"]+)"></script>'
    r"|<!-- (?P<notice>\S+/LICENSE) -->"
)


@dataclass(frozen=True, kw_only=True)
class WebPage:
    html: str
    policy: str
    """Its Content-Security-Policy, but for where sound may come from, which is a deployment's."""

    etag: str


_PAGE_ANSWERS: Final[dict[int | str, dict[str, Any]]] = errors() | {
    200: {"description": "The page", "content": {HTMLResponse.media_type: {}}},
    304: {"description": "The client has it already"},
}

Known = Annotated[str | None, Header(alias="If-None-Match")]


@routes.get("/usage", response_class=Response, responses=_PAGE_ANSWERS)
async def get_page(services: RequestServices, known: Known = None) -> Response:
    """Show calls, characters, voices, errors and limits to who signs in, and play the latest memos."""
    heard = " ".join(dict.fromkeys(("'self'", services.settings.edge.public_origin, *services.settings.audio.origins)))
    page = web_page("usage.html")
    return _answer(page, f"{page.policy}; media-src {heard}", known)


@routes.get("/app", response_class=Response, responses=_PAGE_ANSWERS)
async def get_app(known: Known = None) -> Response:
    """Confirm an address or choose a new password, by a mail's link. Opening it changes nothing."""
    page = web_page("app.html")
    return _answer(page, page.policy, known)


@routes.get(
    "/",
    response_class=Response,
    status_code=307,
    responses=errors() | {307: {"description": "To the page"}},
)
async def lead_to_page() -> Response:
    """Redirect to the page, below the stage if the API has one."""
    return RedirectResponse("usage")


@routes.get(
    "/llms.txt",
    response_class=Response,
    responses=errors() | {200: {"description": "The text", "content": {PlainTextResponse.media_type: {}}}},
)
async def get_llms_txt(services: RequestServices) -> Response:
    """Tell an agent what the service does and how to call it, in twenty lines."""
    return PlainTextResponse(_read("llms.txt").replace("{url}", services.settings.public_url))


def _answer(page: WebPage, policy: str, known: str | None) -> Response:
    headers = {"etag": page.etag, "cache-control": "no-cache", "content-security-policy": policy}
    if is_known(page.etag, known):
        return HTMLResponse(status_code=304, headers=headers)
    return HTMLResponse(page.html, headers=headers)


@cache
def web_page(file: str) -> WebPage:
    """Read a page's files and assemble it, once, at its first request."""
    hashes: dict[str, list[str]] = {"style": [], "script": []}

    def inline(match: re.Match[str]) -> str:
        kind = str(match.lastgroup)
        text = _read(match[kind])
        if kind == "notice":
            return f"<!-- {text} -->"
        hashes[kind].append(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")
        return f"<{kind}>{text}</{kind}>"

    html = _FILE.sub(inline, _read(file))
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(hashes["script"]),
        "style-src": " ".join(hashes["style"]),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return WebPage(
        html=html,
        policy="; ".join(f"{name} {sources}" for name, sources in policy.items()),
        etag=etag_of(html),
    )


def _read(file: str) -> str:
    """Lines end with a line feed only, as the browser counts them when it checks a hash."""
    return (_FILES / file).read_text(encoding="utf-8")
