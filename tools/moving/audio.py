"""Copy audio from a folder of the predecessor's files to our audio place, below their owners' prefixes."""

from pathlib import Path

from shared.audio.files import AudioFiles, NameTaken, audio
from shared.tables import Tables
from shared.tables.memos import Memo
from tools.moving.findings import Findings
from tools.moving.history import OldAudio


class AudioMover:
    def __init__(self, tables: Tables, files: AudioFiles, folder: Path, findings: Findings) -> None:
        self._moved = tables.moved
        self._files = files
        self._folder = folder
        self._findings = findings

    async def copy(self, memo: Memo, old_id: str, old: OldAudio) -> str | None:
        """Copy a memo's audio and map its old name. Returns its new URL; None: there is no such file.

        Repeatable. Raises AudioPlaceFailed.
        """
        if not self._is_there(old.name):
            self._note(old_id, "its audio is not in the folder: it keeps its old URL", old.name)
            return None
        if await self._moved.audio_file(old.name) != old.file:
            content = (self._folder / old.name).read_bytes()
            try:
                await self._files.put(audio(old.file), content)
            except NameTaken:
                self._note(old_id, "its file has changed since it was copied: the first copy stays", old.name)
            if not await self._moved.add_audio(memo.user_id, old.name, old.file):
                self._note(old_id, "its old audio URL is another memo's too, and leads to that one", old.name)
        return f"/audio/{old.file}"

    def _is_there(self, name: str) -> bool:
        """Return whether the folder itself contains the file: a name with a path never leaves the folder."""
        return (
            Path(name).name == name
            and not name.startswith(".")
            and "\0" not in name
            and (self._folder / name).is_file()
        )

    def _note(self, old_id: str, why: str, name: str) -> None:
        self._findings.note("memos", old_id, why, detail=name)
