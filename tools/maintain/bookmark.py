"""A file for where a copy stands, so that one that was interrupted goes on there."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tools.maintain.opened import Impossible


@dataclass(frozen=True, kw_only=True)
class Place:
    """In this pass, after this cursor of it; None: at its beginning."""

    name: str
    after: str | None


class Bookmark:
    """`copy` says from where to where: a place in another copy is none in this one."""

    def __init__(self, path: Path, copy: str) -> None:
        self._path = path
        self._copy = copy

    def exists(self) -> bool:
        return self._path.exists()

    def place(self) -> Place | None:
        """None: there is no file, or it was not written whole for this copy. A cursor of something else would leave out
        rows, so the file is sealed."""
        try:
            kept = json.loads(self._path.read_text())
            place = Place(name=kept["name"], after=kept["after"])
            return place if kept["seal"] == self._seal(place) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def keep(self, place: Place) -> None:
        """Raises Impossible when it cannot be written."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps({"name": place.name, "after": place.after, "seal": self._seal(place)}))
            fresh.replace(self._path)
        except OSError as exc:
            raise Impossible(f"{self._path}, where it is noted how far the copy is: {exc.strerror}") from exc

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)

    def _seal(self, place: Place) -> str:
        return hashlib.sha256(json.dumps([self._copy, place.name, place.after]).encode()).hexdigest()
