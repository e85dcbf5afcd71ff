"""Choose the entries of the bundle's archive, and write an archive that depends on them alone.

The same files give the same bytes: entries are sorted, and have no time, owner or mode of this machine. (Another zlib
may compress differently; the unpacked files are still the same.)
"""

import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

CODE: Final = ("handlers", "shared")
"""Our own packages."""

OWN_ENDINGS: Final = frozenset({".py", ".html", ".css", ".js", ".mp3"})
"""The endings of our own files; OWN_NAMES are further ones. Any other file may be an editor's, or a secret."""

OWN_NAMES: Final = frozenset({"LICENSE", "voices.json", "llms.txt"})
"""Our own files by name. voices.json is a deployment's map of voices, below shared/, named by SPEECH_VOICES."""

LEFT_OUT: Final = {
    "bin": "commands of packages; functions run none",
    "cffi": "argon2's bindings are built already, and need its backend only",
    "pycparser": "read by cffi alone",
    "boto3": "Lambda has it",
    "botocore": "Lambda has it",
    "s3transfer": "Lambda has it",
    "requests": "Stripe's SDK takes it if it is there, for requests that block; ours are httpx's",
    "urllib3": "read by requests alone",
    "charset_normalizer": "read by requests alone",
    "stripe/params": "types of the SDK's arguments, which it imports for type checkers alone",
    "stripe/data": "certificates of the SDK's own clients; ours has certifi's",
}
"""Installed packages, and folders in them, that no function imports, each with the reason."""

_JUNK_FOLDERS: Final = frozenset({"__pycache__", "tests", "test"})
_JUNK_ENDINGS: Final = frozenset({".pyc", ".pyi", ".pyx", ".pxd", ".c", ".h", ".exe"})
_JUNK_NAMES: Final = frozenset({"py.typed", ".lock", ".gitignore"})
_KEPT_METADATA: Final = frozenset({"METADATA", "entry_points.txt"})
"""The metadata that `importlib.metadata` reads at run time. The rest describes the installation on this machine."""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can contain."""

Entries = Mapping[PurePosixPath, Path]
"""The file of each entry."""


def entries(source: Path, packages: Path) -> Entries:
    """Return the entries of the functions: our own code from `source`, and the installed `packages`.

    Raises FileExistsError if a package would replace our own code, and ValueError for one of our files of no known
    kind. Hidden files are left out.
    """
    chosen: dict[PurePosixPath, Path] = {name: path for name, path in _files(packages) if _is_needed(name)}
    for folder in CODE:
        taken = [name for name in chosen if name.parts[0] in (folder, f"{folder}.py")]
        if taken:
            raise FileExistsError(f"a package installs {taken[0]}, where our own {folder} belongs")
    return {**chosen, **own_entries(source)}


def own_entries(source: Path) -> Entries:
    """Return the entries of our own code in `source`. Raises ValueError for a file of no known kind."""
    own = {
        PurePosixPath(folder) / name: path
        for folder in CODE
        for name, path in _files(source / folder)
        if not _is_hidden(name)
    }
    strangers = sorted(str(name) for name, path in own.items() if not _is_own(path))
    if strangers:
        raise ValueError(f"these would be deployed, and are no code: {', '.join(strangers)}")
    return own


def write(archive: Path, chosen: Entries) -> None:
    """Write the archive, and replace an older one atomically: a concurrent reader reads a complete one."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    unfinished = archive.with_name(f"{archive.name}.{os.getpid()}")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name in sorted(chosen):
            entry = zipfile.ZipInfo(str(name), date_time=_EPOCH)
            entry.create_system = 3  # Unix, whose modes follow
            entry.external_attr = (0o100755 if name.suffix == ".so" else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, chosen[name].read_bytes())
    unfinished.replace(archive)


def _files(folder: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield PurePosixPath(path.relative_to(folder).as_posix()), path


def _is_hidden(name: PurePosixPath) -> bool:
    return any(part == "__pycache__" or part.startswith(".") for part in name.parts)


def _is_own(path: Path) -> bool:
    return not path.is_symlink() and (path.suffix in OWN_ENDINGS or path.name in OWN_NAMES)


def _is_needed(name: PurePosixPath) -> bool:
    top = name.parts[0]
    if top in LEFT_OUT or "/".join(name.parts[:2]) in LEFT_OUT or not _JUNK_FOLDERS.isdisjoint(name.parts):
        return False
    if top.endswith(".dist-info"):
        return name.name in _KEPT_METADATA or _is_licence(name)
    return name.name not in _JUNK_NAMES and name.suffix not in _JUNK_ENDINGS


def _is_licence(name: PurePosixPath) -> bool:
    """Return whether this is a licence. Licences require their own inclusion, even in folders that are left out."""
    return "licenses" in name.parts or name.name.upper().startswith(
        ("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS")
    )
