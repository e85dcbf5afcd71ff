"""The page of `make run` with the last mails, which the console mailer keeps."""

from html import escape

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from shared.mail.console import ConsoleMailer
from shared.mail.sender import Mail

PATH = "/dev/mails"
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def mails_app(mailer: ConsoleMailer) -> FastAPI:
    """Return the page as an app. It loads nothing, and runs no script."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get(PATH)
    async def show_mails() -> HTMLResponse:
        mails = "".join(map(_shown, mailer.kept)) or "<p>No mail has been sent yet."
        return HTMLResponse(f'<!doctype html><html lang="en"><title>Mails</title><h1>Mails</h1>{mails}</html>')

    return app


def _shown(mail: Mail) -> str:
    lines = "".join(f"<p>{_linked(line)}</p>" for line in mail.text.split("\n\n"))
    return f"<hr><h2>{escape(mail.subject)}</h2><p>To {escape(mail.to)}</p>{lines}"


def _linked(line: str) -> str:
    return f'<a href="{escape(line)}">{escape(line)}</a>' if line.startswith("http") else escape(line)
