"""The place that settings choose for audio, opened when it is first used: most containers never touch it."""

from collections.abc import Awaitable, Callable

from shared.audio.files import AudioFiles
from shared.core.speech_settings import AudioChoice, AudioSettings

Close = Callable[[], Awaitable[None]]
OpenFiles = Callable[[], tuple[AudioFiles, Close]]


async def nothing_to_close() -> None:
    """Close a place that has no connections."""


class AudioPlace:
    """`open_files` None: nothing keeps audio, since all speech is simulated."""

    def __init__(self, open_files: OpenFiles | None = None) -> None:
        self._open = open_files
        self._opened: tuple[AudioFiles, Close] | None = None

    @property
    def files(self) -> AudioFiles | None:
        """The files of the place; None: there is no place."""
        if self._opened is None and self._open is not None:
            self._opened = self._open()
        return None if self._opened is None else self._opened[0]

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
