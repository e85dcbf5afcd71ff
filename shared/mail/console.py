"""Mails on a laptop: printed, and the newest kept for a page. On a server the logs would contain working links."""

import sys
from collections import deque
from collections.abc import Callable
from typing import Final

from shared.mail.messages import recipient
from shared.mail.sender import Mail

KEPT: Final = 20
"""Mails that are kept, the newest ones. More would not fit on a page."""


class ConsoleMailer:
    def __init__(self, *, write: Callable[[str], object] | None = None) -> None:
        self._write = write or _to_stderr
        self._kept: deque[Mail] = deque(maxlen=KEPT)

    @property
    def kept(self) -> tuple[Mail, ...]:
        """The last mails, newest first."""
        return tuple(self._kept)

    async def send(self, mail: Mail, *, left_s: float) -> None:  # noqa: ARG002 printing takes no time
        recipient(mail.to)
        self._kept.appendleft(mail)
        self._write(f"Mail to {mail.to}: {mail.subject}\n\n{mail.text}")

    async def aclose(self) -> None:
        """Do nothing: a console needs no closing, and the mails stay."""


def _to_stderr(text: str) -> None:
    """Print to stderr: `make invoke` prints the answer to stdout."""
    print(text, file=sys.stderr)  # noqa: T201 the console it is
