"""Check the bundle for deployment, and run its twin on this machine.

    python -m deploy.check_bundle

It builds both, and the archive with our own voices and its twin. It ends at the first fault, with exit status 1.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import yaml

from deploy import archive, bundle, bytecode, sbom
from deploy.bundle import DEPLOYED, ROOT, SPEECH, TARGETS, Target

MOST_MB: Final = {DEPLOYED: (18.0, 90.0), SPEECH: (75.0, 190.0)}
"""The most megabytes, zipped and unpacked. Lambda's limit is 250 MB unpacked; larger archives slow cold starts."""

LAMBDAS_GLIBC: Final = (2, 34)
"""The glibc of Amazon Linux 2023, on which Lambda's python3.13 runs."""

MOST_WITHOUT_STRIPE_MB: Final = (10.0, 45.0)
"""The same without Stripe's SDK, which is half of the bytecode, and which only functions that bill import."""

MACHINES: Final = {0x3E: "x86_64", 0xB7: "aarch64"}
"""ELF's `e_machine`."""

UNCHECKED: Final = (1).to_bytes(4, "little")
"""The flags of bytecode with an unchecked hash (PEP 552), which is never compared with its source."""

LOCKED_OUT: Final = ("boto3", "botocore", "s3transfer", "pytest", "tests", "tools", "deploy")


class BundleFault(Exception):
    """A fault of a bundle, as a sentence."""


def native_files(folder: Path) -> Iterator[Path]:
    """Yield every ELF file, whatever its name."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.open("rb").read(4) == b"\x7fELF":
            yield path


def machine_of(file: Path) -> str:
    head = file.open("rb").read(20)
    number = int.from_bytes(head[18:20], "little")
    return MACHINES.get(number, f"ELF machine {number}")


def check_native_files(folder: Path, target: Target) -> str:
    """Check that each native file fits the target's processor, Python and C library. Raises BundleFault."""
    found = list(native_files(folder))
    named = {path for path in folder.rglob("*") if path.suffix in (".so", ".pyd", ".dylib") or ".so." in path.name}
    if not found or named - set(found):
        raise BundleFault(f"no native files of Linux: {sorted(map(str, named - set(found)))}")
    tag = f".cpython-{target.python.replace('.', '')}-{target.machine}-linux-gnu.so"
    for path in found:
        if machine_of(path) != target.machine:
            raise BundleFault(f"{path.name} is for {machine_of(path)}, not {target.machine}")
        if not (path.name.endswith((tag, ".abi3.so")) or _is_library(path)):
            raise BundleFault(f"{path.name} is not for Python {target.python}")
        needs = max((_version(found) for found in re.findall(rb"GLIBC_(\d+\.\d+)", path.read_bytes())), default=(0, 0))
        if target.platform and needs > LAMBDAS_GLIBC:
            raise BundleFault(f"{path.name} needs glibc {needs[0]}.{needs[1]}")
    return f"{len(found)} native files, all for {target.machine} and Python {target.python}"


def check_sizes(target: Target) -> str:
    """Raises BundleFault."""
    most_zipped, most_unpacked = MOST_MB[target]
    zipped = target.archive.stat().st_size / 1e6
    unpacked = sum(path.stat().st_size for path in target.folder.rglob("*") if path.is_file()) / 1e6
    if zipped > most_zipped or unpacked > most_unpacked:
        raise BundleFault(f"too big: {zipped:.2f} MB of {most_zipped}, {unpacked:.2f} MB of {most_unpacked} unpacked")
    return f"{zipped:.2f} MB of at most {most_zipped:.0f}, {unpacked:.2f} MB of at most {most_unpacked:.0f} unpacked"


def check_without_stripe(target: Target) -> str:
    """Check the size of all files except Stripe's SDK. Raises BundleFault."""
    most_zipped, most_unpacked = MOST_WITHOUT_STRIPE_MB
    with zipfile.ZipFile(target.archive) as file:
        entries = [entry for entry in file.infolist() if not entry.filename.startswith("stripe/")]
    zipped = sum(entry.compress_size for entry in entries) / 1e6
    unpacked = sum(entry.file_size for entry in entries) / 1e6
    sizes = f"{zipped:.2f} MB and {unpacked:.2f} MB unpacked without Stripe's SDK"
    if zipped > most_zipped or unpacked > most_unpacked:
        raise BundleFault(f"too big: {sizes}")
    return f"{sizes}, at most {most_zipped:.0f} and {most_unpacked:.0f}"


def check_contents(folder: Path) -> str:
    """Check that all files of our code are packed, and no package of Lambda's and no test. Raises BundleFault."""
    for name in LOCKED_OUT:
        if (folder / name).exists():
            raise BundleFault(f"{name} is packed")
    own = {str(name): path.read_bytes() for name, path in archive.own_entries(ROOT).items()}
    packed = {
        str(path.relative_to(folder)): path.read_bytes()
        for part in archive.CODE
        for path in (folder / part).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    different = sorted(name for name in own.keys() | packed.keys() if own.get(name) != packed.get(name))
    if different:
        raise BundleFault(f"not packed as they are: {', '.join(different)}")
    return f"{len(own)} files of our own; no boto3 or tests"


def check_bytecode(target: Target) -> str:
    """Check that each module has bytecode of the target's Python, with an unchecked hash. Raises BundleFault."""
    if bytecode.find_python(target.python) is None:
        return f"no Python {target.python} is here: {target.name} is without bytecode"
    tag = f".cpython-{target.python.replace('.', '')}.pyc"
    found = {path.relative_to(target.folder): path for path in target.folder.rglob("*.pyc")}
    modules = {path.relative_to(target.folder) for path in target.folder.rglob("*.py")}
    due = {path.parent / "__pycache__" / (path.stem + tag) for path in modules}
    if found.keys() != due:
        raise BundleFault(f"not compiled, or of no module: {sorted(map(str, found.keys() ^ due))[:5]}")
    for path in found.values():
        with path.open("rb") as file:
            if file.read(8)[4:] != UNCHECKED:
                raise BundleFault(f"{path.name} is compared with its source")
    return f"{len(found)} modules, compiled for Python {target.python}"


def check_same_packages(folder: Path, twin: Path, *, versions: bool = True) -> str:
    """Check that the archive and its twin have the same packages, in the same versions. Raises BundleFault.

    Without `versions` the versions may differ: numpy's newest may not support this machine's Python.
    """

    def name(path: Path) -> str:
        return path.name if versions else path.name.partition("-")[0]

    one, other = ({name(path) for path in each.glob("*.dist-info")} for each in (folder, twin))
    if one != other:
        raise BundleFault(f"the twin has other packages: {sorted(one ^ other)}")
    return f"{len(one)} packages, the twin's are the same"


def check_bill(target: Target) -> str:
    """Check that the bill of materials names the packed packages, and this archive. Raises BundleFault."""
    bill = json.loads(sbom.path_of(target.archive).read_text())
    named = {f"{part['name']}-{part['version']}" for part in bill["components"]}
    packed = {path.name.removesuffix(".dist-info").replace("_", "-") for path in target.folder.glob("*.dist-info")}
    digest = hashlib.sha256(target.archive.read_bytes()).hexdigest()
    if {name.lower() for name in packed} != named or bill["metadata"]["component"]["hashes"][0]["content"] != digest:
        raise BundleFault(f"the bill of materials is not this archive's: {sorted(packed ^ named)}")
    return f"{len(named)} packages in the bill of materials"


def check_imports(folder: Path) -> str:
    """Check that every handler of serverless.yml imports with the bundle and the standard library alone.

    Raises BundleFault.
    """
    functions = yaml.safe_load((ROOT / "serverless.yml").read_text())["functions"]
    handlers = [function["handler"] for function in functions.values()]
    for handler in handlers:
        module, _, name = handler.replace("/", ".").rpartition(".")
        tried = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", _IMPORT, folder, module, name],
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode:
            raise BundleFault(f"{handler} does not import: {tried.stderr.strip().splitlines()[-1]}")
    return f"{len(handlers)} handlers import, with nothing but the bundle and the standard library"


def check_speaks(folder: Path) -> str:
    """Check that our own voices speak with the archive and the standard library alone. Raises BundleFault."""
    tried = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", _SPEAK, folder], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        raise BundleFault(f"our own voices do not speak: {tried.stderr.strip().splitlines()[-1]}")
    return f"our own voices speak: {tried.stdout.strip()} s of audio"


def check_bills(folder: Path) -> str:
    """Check that Stripe's SDK makes all requests of billing with the archive alone. Raises BundleFault."""
    tried = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", _BILL, folder], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        raise BundleFault(f"Stripe cannot be asked: {tried.stderr.strip().splitlines()[-1]}")
    return f"Stripe is asked {tried.stdout.strip()}"


def check_reproducible(target: Target) -> str:
    """Check that a second build, packages installed again, has the same bytes. Raises BundleFault."""
    with tempfile.TemporaryDirectory() as folder:
        again = bundle.build(target, archived=Path(folder) / "again.zip")
        if again.read_bytes() != target.archive.read_bytes():
            raise BundleFault("two builds differ")
    return "two builds are the same bytes"


def main() -> int:
    twin, speech_twin = TARGETS["local"], TARGETS["speech-local"]
    checks: list[Callable[[], str]] = [
        lambda: check_native_files(DEPLOYED.folder, DEPLOYED),
        lambda: check_sizes(DEPLOYED),
        lambda: check_without_stripe(DEPLOYED),
        lambda: check_contents(DEPLOYED.folder),
        lambda: check_bytecode(DEPLOYED),
        lambda: check_same_packages(DEPLOYED.folder, twin.folder),
        lambda: check_bill(DEPLOYED),
        lambda: check_imports(twin.folder),
        lambda: check_bills(twin.folder),
        lambda: check_reproducible(DEPLOYED),
        lambda: check_native_files(SPEECH.folder, SPEECH),
        lambda: check_sizes(SPEECH),
        lambda: check_contents(SPEECH.folder),
        lambda: check_bytecode(SPEECH),
        lambda: check_same_packages(SPEECH.folder, speech_twin.folder, versions=False),
        lambda: check_bill(SPEECH),
        lambda: check_imports(speech_twin.folder),
        lambda: check_speaks(speech_twin.folder),
    ]
    try:
        for target in (DEPLOYED, twin, SPEECH, speech_twin):
            bundle.build(target)
            bundle.unpack(target)
        for check in checks:
            print("ok", check(), flush=True)
    except (BundleFault, FileExistsError, ValueError) as exc:
        print("wrong:", exc, file=sys.stderr)
        return 1
    return 0


def _is_library(file: Path) -> bool:
    """Return whether this is a library that native modules load, and not a module of one Python itself."""
    return file.name.startswith("lib") and ".cpython-" not in file.name


def _version(text: bytes) -> tuple[int, int]:
    major, _, minor = text.decode().partition(".")
    return int(major), int(minor)


_SPEAK: Final = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from shared.speech.local import LocalVoices
from shared.speech.voices import VOICES
voices = LocalVoices()
for form in ("mp3", "wav", "opus"):
    print(form, round(asyncio.run(voices.speak("Hello there.", VOICES["rachel"], form=form)).seconds, 2))
"""
_BILL: Final = """
import asyncio, sys, time
sys.path.insert(0, sys.argv[1])
import httpx
from shared.billing.opening import stripe_opener
from shared.core.billing_settings import BillingSettings
asked = []
def answer(request):
    asked.append(request.url.path)
    kind = request.url.path.split("/")[2].rstrip("s")
    item = {"object": "subscription_item", "price": {"object": "price", "id": "price_1"}}
    kind += ".session" if kind in ("checkout", "billing_portal") else ""
    one = {"id": "x_1", "object": kind, "created": 1, "status": "active", "url": "https://example.org"}
    one |= {"metadata": {}, "cancel_at_period_end": True}
    one |= {"items": {"object": "list", "data": [item], "url": "/"}}
    listed = {"object": "list", "data": [one], "has_more": False, "url": "/"}
    return httpx.Response(200, json=listed if request.method == "GET" else one)
async def bill():
    began = time.perf_counter()
    from shared.billing.client import StripeApi
    took = time.perf_counter() - began
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    api = StripeApi(BillingSettings(secret_key="sk_test_1"), http)
    await api.customers("u", "a@example.org")
    await api.create_customer("u", "a@example.org", key="k")
    await api.create_checkout(customer="c", user_id="u", price="p", success_url="s", cancel_url="c")
    await api.expire_checkouts("c")
    await api.create_portal("c", return_url="r")
    (one,) = await api.subscriptions("c")
    await api.keep(one)
    await api.cancel(one.id)
    print(f"{len(asked)} times, its SDK imported in {1000 * took:.0f} ms")
asyncio.run(bill())
"""
_IMPORT: Final = (
    "import sys, importlib; sys.path.insert(0, sys.argv[1]); getattr(importlib.import_module(sys.argv[2]), sys.argv[3])"
)


if __name__ == "__main__":
    sys.exit(main())
