"""The interfaces to the deployment on the emulated AWS: osls, AWS's own API, the HTTP API, `maintain copy`."""

import os
import secrets
import subprocess
import sys
import time
from typing import Any, Final

import boto3
import httpx

from deploy.bundle import ROOT, TARGETS
from deploy.rehearsal.transcript import expect, shortened
from tests.fakes.mails import MailServer

STAGE: Final = "production"
REGION: Final = "us-east-1"
MICRO_KEY: Final = "a-key-for-the-rehearsal-only"
SECRET_NAME: Final = f"/agent-talk/{STAGE}/session-secret"
MICRO_KEY_NAME: Final = f"/agent-talk/{STAGE}/hypermicro-api-key"
TABLE: Final = f"agent-talk-{STAGE}"
MAIL_FROM: Final = "talk@example.org"
CONFIGURATION: Final = ROOT / "serverless.rehearsal.yml"
LEFT_OUT: Final = {"deploy/resources/alarms.yml": "the emulator's alarms know no arithmetic of metrics"}
"""Files of resources that the emulator cannot make, each with the reason. cfn-lint still reads them."""


class Deployed:
    def __init__(self, *, store: str, emulator: str, micro: str, mails: MailServer) -> None:
        credentials = {
            "AWS_ENDPOINT_URL": emulator,
            "AWS_ACCESS_KEY_ID": "rehearsal",
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            "AWS_REGION": REGION,
        }
        chosen = {"AGENT_TALK_STORE": "dynamodb" if store == "dynamodb" else "micro", "SPEECH": "local", "AUDIO": "s3"}
        chosen |= {"MAIL": "ses", "MAIL_FROM": MAIL_FROM}
        if store == "moving":
            chosen |= {"CREATE_TABLE": "1"}
        if store != "dynamodb":
            chosen |= {"HYPR_URL": micro, "HYPERMICRO_API_KEY_PARAMETER": MICRO_KEY_NAME}
            chosen |= {"HYPR_PRIVATE_NETWORK": "1"}  # in production an http:// server is refused without it
        self.store = store
        self._emulator = emulator
        self.mails = mails
        artifacts = {"AGENT_TALK_ARTIFACT": "local", "AGENT_TALK_SPEECH_ARTIFACT": "speech-local"}
        self.env = credentials | chosen
        self.env |= {name: str(TARGETS[target].archive.relative_to(ROOT)) for name, target in artifacts.items()}
        self.secret = secrets.token_hex(32)
        self._session = boto3.session.Session(
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
            region_name=REGION,
        )
        self.api = ""

    def aws(self, service: str) -> Any:
        client: Any = self._session.client(service, endpoint_url=self._emulator)  # type: ignore[call-overload,unused-ignore]
        return client

    def osls(self, *words: str) -> str:
        """Run osls, print its output, and return it. Raises NotAsItShould."""
        print(f"$ osls {' '.join(words)} --stage {STAGE}", flush=True)
        ran = subprocess.run(
            [ROOT / "node_modules" / ".bin" / "osls", *words, "--stage", STAGE, "--config", CONFIGURATION.name],
            cwd=ROOT,
            env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
            | {"NODE_NO_WARNINGS": "1"}
            | self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        lines = [line for line in ran.stdout.splitlines() if line.strip()]
        shown = lines if len(lines) <= 16 else [*lines[:4], f"… {len(lines) - 12} lines …", *lines[-8:]]
        print(*shown, sep="\n", flush=True)
        expect(ran.returncode == 0, f"osls {words[0]} failed:\n{ran.stdout}")
        return ran.stdout

    def copy(self, *options: str) -> None:
        """Run `maintain copy`, which prints its progress. Raises NotAsItShould."""
        words = ["tools.maintain", "copy", "--from", "micro", "--to", "dynamodb", *options]
        print(f"$ python -m {' '.join(words)}", flush=True)
        env = self.env | {"HYPERMICRO_API_KEY": MICRO_KEY, "AWS_DEFAULT_REGION": REGION, "DYNAMODB_TABLE": TABLE}
        del env["HYPERMICRO_API_KEY_PARAMETER"]
        ran = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, env=env, check=False)
        expect(ran.returncode == 0, "the copy is not the same")

    def call(self, method: str, path: str, status: int, *, token: str = "", json: Any = None) -> Any:
        """Call the HTTP API, print the answer, and return its body. Raises NotAsItShould."""
        headers = {"host": f"{self.api}.execute-api.localhost"} | (
            {"authorization": f"Bearer {token}"} if token else {}
        )
        began = time.perf_counter()
        with httpx.Client(trust_env=False, timeout=30) as http:
            answer = http.request(method, self._emulator + path, headers=headers, json=json)
        took = time.perf_counter() - began
        print(f"{method} {path} → {answer.status_code} in {took * 1000:.0f} ms: {shortened(answer.text)}", flush=True)
        expect(
            answer.status_code == status, f"{method} {path} is {answer.status_code}, not {status}: {answer.text[:500]}"
        )
        expect("x-request-id" in answer.headers, f"{method} {path} was answered by something else")
        expect("strict-transport-security" in answer.headers, f"{method} {path} was not answered by production")
        if answer.has_redirect_location:
            return {"location": answer.headers["location"]}
        return answer.json() if "json" in answer.headers["content-type"] else answer.text


def write_configuration() -> None:
    """Write a serverless.yml without the resources that the emulator cannot make, and print their files."""
    text = (ROOT / "serverless.yml").read_text()
    for file, reason in LEFT_OUT.items():
        line = f"  - ${{file({file})}}\n"
        if line in text:
            print(f"Without {file}: {reason}")
            text = text.replace(line, "")
    CONFIGURATION.write_text(text)
