"""Scan the packaged templates, the code and the repository, and compare the findings with the waivers.

    python -m deploy.scan

Checkov reads the packaged templates (`make check-deployment` makes them), bandit the product's code, and detect-secrets
every committed file for keys and tokens. Each finding must be fixed, or waived in `deploy/waivers.yml` for its resource
or file, with the reason. The scanners have their own environment, `.local/scanners`, since they are large.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.bundle import ROOT
from deploy.deployments import DEPLOYMENTS

SCANNERS: Final = ROOT / ".local" / "scanners" / "bin"
WAIVERS: Final = ROOT / "deploy" / "waivers.yml"
CODE: Final = ("handlers", "shared", "deploy", "tools/maintain", "tools/local.py")
"""The code that is deployed, deploys or changes rows; tests and benches contain passwords by design."""

LEFT_TO_RUFF: Final = {
    "B101": "asserts state what types cannot; no check depends on one",
    "B404": "ruff reads each use of subprocess",
    "B603": "ruff reads each use of subprocess",
}
"""Bandit's checks that are off, each with the reason."""

EXAMPLES: Final = ("tests/", "tools/bench/")
"""Folders with example digests and trace ids, where entropy proves nothing; keys and tokens are still searched."""

HASHES: Final = r"(^|/)(requirements.*|scanners|uv|ministack)\.txt$|package-lock\.json$"
"""Files of hashes, where high entropy proves nothing."""


class ScanFailed(Exception):
    """A scanner did not run, or could not read its input."""


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """A scanner's finding: `Finding(check="CKV_AWS_116", where="UsersLambdaFunction", said="…")`.

    `where` is a resource or a file.
    """

    check: str
    where: str
    said: str

    def __str__(self) -> str:
        return f"{self.check} {self.where}: {self.said}"


@dataclass(frozen=True, kw_only=True)
class Waiver:
    check: str
    where: str
    why: str


def waivers(text: str) -> list[Waiver]:
    """Return a waiver for each named resource or file. Raises ScanFailed for an entry without a reason or a name."""
    read = []
    for entry in yaml.safe_load(text):
        if entry.keys() != {"check", "of", "why"} or not entry["of"] or len(entry["why"]) < 20:
            raise ScanFailed(f"a waiver names a check, what it is waived of, and why: {entry}")
        read += [Waiver(check=entry["check"], where=where, why=entry["why"]) for where in entry["of"]]
    return read


def compared(findings: Iterable[Finding], given: Iterable[Waiver]) -> list[str]:
    """Return a sentence for each finding without a waiver, and for each waiver without a finding."""
    found = {(finding.check, finding.where): finding for finding in sorted(findings)}
    waived = {(waiver.check, waiver.where): waiver for waiver in given}
    return [
        *(str(finding) for place, finding in found.items() if place not in waived),
        *(f"{check} {where} is waived, and not found" for check, where in waived.keys() - found.keys()),
    ]


def checkov(paths: Sequence[Path]) -> list[Finding]:
    """Return checkov's findings. Raises ScanFailed, also for a template that checkov cannot read."""
    files = [word for path in paths for word in ("--file", str(path))]
    options = ["--framework", "cloudformation", "--quiet", "--compact", "--skip-download", "--output", "json"]
    report = _json(_run("checkov", *files, *options, accepted=(0, 1)))
    if report["summary"]["parsing_errors"] or not report["summary"]["resource_count"]:
        raise ScanFailed(f"checkov could not read the templates: {report['summary']}")
    return [
        Finding(check=failed["check_id"], where=failed["resource"].rpartition(".")[2], said=failed["check_name"])
        for failed in report["results"]["failed_checks"]
    ]


def bandit(folders: Sequence[str]) -> list[Finding]:
    """Return bandit's findings. Raises ScanFailed, also for a file that bandit cannot read."""
    skipped = ("--skip", ",".join(LEFT_TO_RUFF))
    report = _json(_run("bandit", "--quiet", "--format", "json", *skipped, "--recursive", *folders, accepted=(0, 1)))
    if report["errors"]:
        raise ScanFailed(f"bandit could not read: {report['errors']}")
    return [
        Finding(
            check=result["test_id"],
            where=result["filename"].removeprefix("./"),
            said=f"line {result['line_number']}: {result['issue_text']}",
        )
        for result in report["results"]
    ]


def detect_secrets(files: Sequence[str]) -> list[Finding]:
    """Return keys and tokens, found by form, and strings, found by entropy. Bandit and ruff find passwords by name."""
    examples = [file for file in files if file.startswith(EXAMPLES)]
    own = [file for file in files if not file.startswith(EXAMPLES)]
    return [*_secrets(own, "KeywordDetector"), *_secrets(examples, "KeywordDetector", "HexHighEntropyString")]


def committed() -> list[str]:
    """Return the files in git's index. Raises ScanFailed if this is no checkout."""
    git = shutil.which("git")
    ran = git and subprocess.run([git, "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if not ran or ran.returncode != 0 or not ran.stdout:
        raise ScanFailed("the search for secrets needs git, and a checkout of it")
    return ran.stdout.splitlines()


def main() -> int:
    try:
        given = waivers(WAIVERS.read_text())
        findings = checkov([deployment.path for deployment in DEPLOYMENTS])
        findings += bandit(CODE)
        findings += detect_secrets(committed())
        wrong = compared(findings, given)
    except ScanFailed as exc:
        wrong = [str(exc)]
    if wrong:
        print("wrong: mend these, or waive them in deploy/waivers.yml:", *wrong, sep="\n", file=sys.stderr)
        return 1
    print(f"ok {len(DEPLOYMENTS)} templates, the code and the committed files: {len(given)} findings, all waived")
    return 0


def _secrets(files: Sequence[str], *left_out: str) -> list[Finding]:
    plugins = [word for plugin in left_out for word in ("--disable-plugin", plugin)]
    options = [*plugins, "--exclude-files", HASHES, "--no-verify"]
    report = _json(_run("detect-secrets", "scan", *options, *files, accepted=(0,)))
    return [
        Finding(check=found["type"], where=file, said=f"line {found['line_number']}")
        for file, results in report["results"].items()
        for found in results
    ]


def _run(program: str, *words: str, accepted: Sequence[int]) -> str:
    ran = subprocess.run([SCANNERS / program, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode not in accepted:
        raise ScanFailed(f"{program} ended with {ran.returncode}: {ran.stderr[-2000:]}")
    return ran.stdout


def _json(text: str) -> Mapping[str, Any]:
    try:
        report: Mapping[str, Any] = json.loads(text)
    except ValueError as exc:
        raise ScanFailed(f"a scanner's report is no JSON: {text[:500]}") from exc
    return report


if __name__ == "__main__":
    sys.exit(main())
