"""The place that settings choose for audio, opened when it is first used: most containers never use it."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from shared.audio.files import AudioFiles, AudioPlaceFailed, closed
from shared.core.speech_settings import AudioChoice, AudioSettings

Close = Callable[[], Awaitable[None]]
OpenFiles = Callable[[], tuple[AudioFiles, Close]]

CHECKED_S: Final = 10.0
"""Seconds for which the outcome of a check is kept: any client can call the health routes, and each check asks S3."""

_NEVER_THERE: Final = closed("0" * 32)
"""The name that a check looks for, in one request. No owner's id has this digest, so it is always absent."""

_log = logging.getLogger("agent_talk.audio")


async def nothing_to_close() -> None:
    """Close a place that has no connections."""


class AudioPlace:
    """The chosen place. `open_files` of None: no audio is kept, since all speech is simulated."""

    def __init__(self, open_files: OpenFiles | None = None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._open = open_files
        self._monotonic = monotonic
        self._checked: tuple[float, bool] | None = None
        self._opened: tuple[AudioFiles, Close] | None = None

    @property
    def files(self) -> AudioFiles | None:
        """The files of the place, opened by the first use; None: there is no place."""
        if self._opened is None and self._open is not None:
            self._opened = self._open()
        return None if self._opened is None else self._opened[0]

    async def answers(self) -> bool:
        """Return whether the place answered, at most CHECKED_S ago. Without a place: True."""
        now = self._monotonic()
        if self._checked is None or now - self._checked[0] > CHECKED_S:
            self._checked = now, await self._check()
        return self._checked[1]

    async def _check(self) -> bool:
        files = self.files
        try:
            if files is not None:
                await files.head(_NEVER_THERE)
        except AudioPlaceFailed:
            _log.exception("the audio place does not answer")
            return False
        return True

    async def close(self) -> None:
        if self._opened is not None:
            (_, close), self._opened = self._opened, None
            await close()


def open_audio(settings: AudioSettings) -> AudioPlace:
    """Return the place that the settings choose. Nothing is imported or connected before its first use."""

    def folder() -> tuple[AudioFiles, Close]:
        from shared.audio.folder import FolderFiles  # noqa: PLC0415

        return FolderFiles(settings.folder), nothing_to_close

    def bucket() -> tuple[AudioFiles, Close]:
        from shared.audio.s3 import S3Files  # noqa: PLC0415 boto3: some tenths of a second

        files = S3Files(settings.bucket)
        return files, files.aclose

    match settings.place:
        case AudioChoice.FOLDER:
            return AudioPlace(folder)
        case AudioChoice.S3:
            return AudioPlace(bucket)
        case None:
            return AudioPlace()
