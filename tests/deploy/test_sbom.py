"""The bill of materials of a bundle."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from deploy import sbom

METADATA = {
    "fast_api-2.0": "Name: Fast.API\nVersion: 2.0\nLicense-Expression: MIT\nRequires-Dist: slow>=1\n"
    'Requires-Dist: extra>=1; extra == "all"\nRequires-Dist: absent; sys_platform == "win32"\n',
    "slow-1.1": "Name: slow\nVersion: 1.1\nClassifier: License :: OSI Approved :: BSD License\n",
    "extra-3.0": "Name: extra\nVersion: 3.0\n",
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Make an archive, and the folder `unpacked` beside it. Returns the archive."""
    for name, text in METADATA.items():
        info = tmp_path / "unpacked" / f"{name}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\n{text}")
    (tmp_path / "bundle.zip").write_bytes(b"an archive")
    return tmp_path / "bundle.zip"


def written(bundle: Path) -> Any:
    return json.loads(sbom.write(bundle, bundle.parent / "unpacked").read_text())


def test_write_names_each_package_that_is_packed(bundle: Path) -> None:
    """Each has its version, its licence in its own words, and the package URL of advisories."""
    parts = {part["name"]: part for part in written(bundle)["components"]}
    assert {name: (part["version"], part["purl"]) for name, part in parts.items()} == {
        "fast-api": ("2.0", "pkg:pypi/fast-api@2.0"),
        "slow": ("1.1", "pkg:pypi/slow@1.1"),
        "extra": ("3.0", "pkg:pypi/extra@3.0"),
    }
    assert parts["fast-api"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert parts["slow"]["licenses"] == [{"license": {"name": "BSD License"}}]


def test_write_names_what_each_package_needs(bundle: Path) -> None:
    """Needs of extras and of other machines are left out; the product needs everything that is packed."""
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in written(bundle)["dependencies"]}
    assert needs["fast-api==2.0"] == ["slow==1.1"]
    assert needs["agent-talk"] == ["extra==3.0", "fast-api==2.0", "slow==1.1"]


def test_write_is_bound_to_the_archive(bundle: Path) -> None:
    """The bill is CycloneDX, names the archive by its digest, and is the same when it is made again."""
    bill = written(bundle)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    digest = hashlib.sha256(b"an archive").hexdigest()
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert written(bundle) == bill
    bundle.write_bytes(b"another archive")
    assert written(bundle)["serialNumber"] != bill["serialNumber"]
