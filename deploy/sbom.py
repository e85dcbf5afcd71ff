"""Write the bundle's bill of materials: each packed package with version, licence and requirements, as CycloneDX JSON.

The file is `build/agent-talk-arm64.cdx.json`, for a scanner of advisories or an inventory. It names the archive by its
SHA-256, and is the same for the same archive.
"""

import hashlib
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from shared import VERSION

_NAMESPACE: Final = uuid.UUID("4b1b6f3e-0a35-4c7e-9e0f-6a3f5a0c2d17")
"""The namespace of serial numbers, which derive from the archive's digest so that equal builds have equal bytes."""

_TIME: Final = datetime(1980, 1, 1, tzinfo=UTC)
"""The time in every bill, equal to the archive's entries: the same archive always has the same bill."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def path_of(archive: Path) -> Path:
    return archive.with_suffix(".cdx.json")


def write(archive: Path, folder: Path) -> Path:
    """Write the bill of `archive`, whose unpacked files are in `folder`. Returns the bill's path."""
    path = path_of(archive)
    path.write_text(JsonV1Dot6(bill(archive, folder)).output_as_string(indent=2) + "\n")
    return path


def bill(archive: Path, folder: Path) -> Bom:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    product = Component(
        type=ComponentType.APPLICATION,
        name="agent-talk",
        version=VERSION,
        bom_ref="agent-talk",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )
    bom = Bom(serial_number=uuid.uuid5(_NAMESPACE, digest), metadata=BomMetaData(component=product, timestamp=_TIME))
    packed = {_normal(found.name): found for found in distributions(path=[str(folder)])}
    components = {name: _component(name, found) for name, found in packed.items()}
    for component in components.values():
        bom.components.add(component)
    for name, found in packed.items():
        bom.register_dependency(components[name], [components[need] for need in _needs(found) if need in components])
    bom.register_dependency(product, components.values())
    return bom


def _component(name: str, found: Distribution) -> Component:
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=found.version,
        bom_ref=f"{name}=={found.version}",
        purl=PackageURL("pypi", name=name, version=found.version),
        licenses=[_licence(found)],
    )


def _licence(found: Distribution) -> License:
    """Return the package's licence: its expression, its free text, or that of its classifiers."""

    def said(field: str) -> list[str]:
        return found.metadata.get_all(field) or []

    classified = [line.rpartition(" :: ")[2] for line in said("Classifier") if "License" in line]
    licence = [*said("License-Expression"), *said("License"), " AND ".join(classified) or "unknown"][0]
    return LicenseFactory().make_from_string(licence.strip().splitlines()[0])


def _needs(found: Distribution) -> Iterator[str]:
    """Yield the names of requirements without extras; some are for other machines, and are not packed."""
    for line in found.requires or ():
        name = _NAME.match(line)
        if name and "extra ==" not in line:
            yield _normal(name[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
