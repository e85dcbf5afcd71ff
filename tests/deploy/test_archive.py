"""The bundle's archive: packed files, files left out, and the same bytes for the same files."""

import os
import stat
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from deploy import archive

PACKED = (
    "fast.py",
    "fast/__init__.py",
    "fast/data/page.html",
    "fast/_native.cpython-313-aarch64-linux-gnu.so",
    "fast-1.0.dist-info/METADATA",
    "fast-1.0.dist-info/entry_points.txt",
    "fast-1.0.dist-info/licenses/LICENSE.txt",
    "slow-1.0.dist-info/LICENSE",
    "cffi-1.0.dist-info/licenses/AUTHORS",
)
NOT_PACKED = (
    "bin/fast",
    "boto3/__init__.py",
    "cffi/api.py",
    "fast/__pycache__/__init__.cpython-313.pyc",
    "fast/tests/test_fast.py",
    "fast/__init__.pyi",
    "fast/py.typed",
    "fast-1.0.dist-info/RECORD",
    "fast-1.0.dist-info/INSTALLER",
    "fast-1.0.dist-info/WHEEL",
    ".lock",
)
OWN = ("handlers/memos.py", "handlers/pages/page.html", "shared/web/function.py", "shared/tests/kept.py")
HIDDEN = ("handlers/.env", "shared/.app.py.swp", "shared/.cache/app.py", "handlers/__pycache__/memos.cpython-311.pyc")


def tree(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"the text of {name}")
    return root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tree(tmp_path / "source", (*OWN, *HIDDEN, "tests/memos/test_memos.py"))


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    return tree(tmp_path / "packages", PACKED + NOT_PACKED)


def test_archive_contains_packages_and_code_only(source: Path, packages: Path) -> None:
    """The archive has the packages and our own code, without caches, stubs, package tests and hidden files."""
    assert {str(name) for name in archive.entries(source, packages)} == set(PACKED + OWN)


def test_every_package_left_out_keeps_its_licence(source: Path, packages: Path) -> None:
    assert PurePosixPath("cffi-1.0.dist-info/licenses/AUTHORS") in archive.entries(source, packages)


@pytest.mark.parametrize("name", ["handlers/notes.txt~", "shared/key.pem", "shared/rows.csv"])
def test_a_file_among_our_code_that_is_none_is_refused(source: Path, packages: Path, name: str) -> None:
    tree(source, (name,))
    with pytest.raises(ValueError, match=name):
        archive.entries(source, packages)


def test_a_link_among_our_code_is_refused(source: Path, packages: Path) -> None:
    (source / "shared" / "settings.py").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match=r"settings\.py"):
        archive.entries(source, packages)


@pytest.mark.parametrize("name", ["handlers/__init__.py", "shared.py"])
def test_a_package_that_would_hide_our_own_code_is_refused(source: Path, packages: Path, name: str) -> None:
    tree(packages, (name,))
    with pytest.raises(FileExistsError, match=name):
        archive.entries(source, packages)


def test_archive_depends_on_names_and_contents_only(tmp_path: Path, source: Path, packages: Path) -> None:
    """The same files give the same bytes, whatever their times, modes and order."""
    archive.write(tmp_path / "one.zip", archive.entries(source, packages))
    other = tree(tmp_path / "other", tuple(reversed(PACKED)))
    for path in other.rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (0, 0))
    archive.write(tmp_path / "other.zip", archive.entries(source, other))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()


def test_the_archive_is_in_order_and_everyone_may_read_it(tmp_path: Path, source: Path, packages: Path) -> None:
    archive.write(tmp_path / "one.zip", archive.entries(source, packages))
    with zipfile.ZipFile(tmp_path / "one.zip") as file:
        assert file.namelist() == [str(name) for name in sorted(map(PurePosixPath, file.namelist()))]
        modes = {entry.filename: entry.external_attr >> 16 for entry in file.infolist()}
        assert file.read("shared/web/function.py") == b"the text of shared/web/function.py"
    assert {stat.filemode(mode) for mode in modes.values()} == {"-rw-r--r--", "-rwxr-xr-x"}
    assert [name for name, mode in modes.items() if mode & 0o111] == [name for name in PACKED if name.endswith(".so")]


def test_a_write_that_fails_leaves_the_archive_as_it_was(tmp_path: Path, source: Path, packages: Path) -> None:
    one = tmp_path / "one.zip"
    archive.write(one, archive.entries(source, packages))
    before = one.read_bytes()
    with pytest.raises(FileNotFoundError):
        archive.write(one, {PurePosixPath("gone"): tmp_path / "gone"})
    assert one.read_bytes() == before
