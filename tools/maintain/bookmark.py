"""A file with the position of a copy, so that an interrupted copy continues there."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tools.maintain.opened import Impossible


@dataclass(frozen=True, kw_only=True)
class Place:
    """A position in a copy: in the pass `name`, after the cursor `after`; None: at the beginning of the pass."""

    name: str
    after: str | None


class Bookmark:
    """The file of a copy's position. `copy` names source and target: a position of another copy is not used.

    The file contains `{"name": "memos", "after": "019c…", "seal": "<SHA-256 of copy, name and after>"}`.
    """

    def __init__(self, path: Path, copy: str) -> None:
        self._path = path
        self._copy = copy

    def exists(self) -> bool:
        return self._path.exists()

    def place(self) -> Place | None:
        """Return the position; None: there is no complete file of this copy.

        The seal proves it: with a cursor of another copy, rows would be left out.
        """
        try:
            kept = json.loads(self._path.read_text())
            place = Place(name=kept["name"], after=kept["after"])
            return place if kept["seal"] == self._seal(place) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def keep(self, place: Place) -> None:
        """Write the position. Raises Impossible if the file cannot be written."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps({"name": place.name, "after": place.after, "seal": self._seal(place)}))
            fresh.replace(self._path)
        except OSError as exc:
            raise Impossible(f"the position of the copy cannot be written to {self._path}: {exc.strerror}") from exc

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)

    def _seal(self, place: Place) -> str:
        return hashlib.sha256(json.dumps([self._copy, place.name, place.after]).encode()).hexdigest()
