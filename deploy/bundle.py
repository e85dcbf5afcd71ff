"""Build the artifact that all functions share: our code and the locked packages, for Lambda or for this machine.

    python -m deploy.bundle                  build/agent-talk-arm64.zip, which serverless.yml deploys
    python -m deploy.bundle --target local   its twin for this machine's Python, which can be executed
    python -m deploy.bundle --target speech-arm64   the same with our own voices, for the functions that use them

Beside each archive are a directory with its content, unpacked from the archive itself, and a bill of materials in
CycloneDX's format, `build/agent-talk-arm64.cdx.json`.
"""

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy import archive, bytecode, sbom

ROOT: Final = Path(__file__).resolve().parent.parent
BUILD: Final = ROOT / "build"
LOCKED: Final = ROOT / "requirements.txt"
LOCKED_SPEECH: Final = ROOT / "requirements-speech.txt"

WITHOUT_BYTECODE: Final = (
    "There is no Python {target.python} on PATH, of pyenv or of uv: the {target.name} archive has no bytecode. "
    "It works all the same, but each container compiles what it imports, and takes twice as long to start."
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """The platform of the native files. `platform` None: this machine, and this process's Python."""

    name: str
    machine: str
    python: str
    platform: str | None
    locked: Path = LOCKED

    @property
    def archive(self) -> Path:
        return BUILD / f"agent-talk-{self.name}.zip"

    @property
    def folder(self) -> Path:
        return BUILD / self.name


TARGETS: Final = {
    target.name: target
    for target in (
        # Lambda's python3.13 runs on Amazon Linux 2023, whose glibc is 2.34; wheels are built for 2.28.
        Target(name="arm64", machine="aarch64", python="3.13", platform="aarch64-manylinux_2_28"),
        Target(
            name="speech-arm64",
            machine="aarch64",
            python="3.13",
            platform="aarch64-manylinux_2_28",
            locked=LOCKED_SPEECH,
        ),
        Target(name="x86_64", machine="x86_64", python="3.13", platform="x86_64-manylinux_2_28"),
        Target(
            name="local",
            machine=platform.machine(),
            python=".".join(platform.python_version_tuple()[:2]),
            platform=None,
        ),
        Target(
            name="speech-local",
            machine=platform.machine(),
            python=".".join(platform.python_version_tuple()[:2]),
            platform=None,
            locked=LOCKED_SPEECH,
        ),
    )
}
DEPLOYED: Final = TARGETS["arm64"]
"""The target of serverless.yml: its runtime, its architecture and its artifact."""

SPEECH: Final = TARGETS["speech-arm64"]
"""The target that deploy/chosen.cjs names for the functions that speak, if SPEECH=local is deployed."""


def build(target: Target, *, archived: Path | None = None) -> Path:
    """Install the locked packages again, and pack them, with bytecode if a Python of the target's version is found.

    Returns the archive's path. Raises CalledProcessError if a wheel is missing.
    """
    archived = archived or target.archive
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="packages-") as work:
        packages, code = Path(work) / "packages", Path(work) / "bytecode"
        _install(target, packages)
        chosen = archive.entries(ROOT, packages)
        python = bytecode.find_python(target.python)
        if python is not None:
            chosen = {**chosen, **bytecode.compiled(chosen, python, code)}
        else:
            print(WITHOUT_BYTECODE.format(target=target), file=sys.stderr)
        archive.write(archived, chosen)
    return archived


def unpack(target: Target) -> Path:
    """Unpack the archive into the directory beside it, and write the bill of materials. Returns the directory."""
    shutil.rmtree(target.folder, ignore_errors=True)
    with zipfile.ZipFile(target.archive) as file:
        file.extractall(target.folder)
    sbom.write(target.archive, target.folder)
    return target.folder


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.bundle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--target", choices=sorted(TARGETS), default=DEPLOYED.name, help="default: %(default)s")
    target = TARGETS[parser.parse_args(arguments).target]
    try:
        path = build(target)
    except subprocess.CalledProcessError as exc:
        return int(exc.returncode)  # uv has printed the reason
    except (FileExistsError, ValueError) as exc:
        print(exc, file=sys.stderr)
        return 1
    folder = unpack(target)
    unpacked = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(
        f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.2f} MB, {unpacked / 1e6:.2f} MB unpacked, "
        f"{target.machine}, Python {target.python}"
    )
    return 0


def _install(target: Target, folder: Path) -> None:
    uv = Path(sys.executable).parent / "uv"
    command: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", folder]
    command += ["--require-hashes", "--only-binary=:all:", "--link-mode=copy", "--requirements", target.locked]
    if target.platform is not None:
        command += ["--python-platform", target.platform, "--python-version", target.python]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
