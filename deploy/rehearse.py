"""Deploy to an AWS that is emulated on this machine, use the deployment as a client would, and remove it.

    python -m deploy.rehearse [--store micro|dynamodb|moving]

The emulator is ministack, in its own environment; HYPR Micro is the tests' stand-in. The deployment is the stage
`production` as serverless.yml declares it, except for the bundle, which is the twin for this machine, and for features
that the emulator lacks. The transcript goes to standard output. The rehearsal ends at the first fault, with exit status
1; no process is left running.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from deploy import bundle
from deploy.bundle import TARGETS
from deploy.rehearsal.deployed import (
    CONFIGURATION,
    MAIL_FROM,
    MICRO_KEY,
    MICRO_KEY_NAME,
    SECRET_NAME,
    STAGE,
    TABLE,
    Deployed,
    write_configuration,
)
from deploy.rehearsal.emulator import emulated_aws
from deploy.rehearsal.transcript import NotAsItShould, expect, tell
from shared.audio.mp3 import read_mp3
from tests.fakes.mails import mail_server
from tests.live.processes import stand_in

TEXT: Final = "The rehearsal goes well."
ME: Final = "me@example.org"
NEW_PASSWORD: Final = "battery staple"  # noqa: S105 the account is closed minutes later
MAIL_S: Final = 30
FUNCTIONS: Final = (
    "users",
    "keys",
    "memos",
    "mcp",
    "speaker",
    "housekeeping",
    "usage",
    "subscriptions",
    "admin",
    "health",
)
LONG_TEXT: Final = f"{TEXT} " * 100
"""A text of two pieces: longer than our own voices speak within a request."""

LONG_TEXT_S: Final = 120


class Rehearsal(Deployed):
    """The steps of the rehearsal, in order. A fault raises NotAsItShould."""

    def run(self) -> None:
        """Run all steps. Raises NotAsItShould."""
        self.put_secrets()
        self.deploy()
        self.look_at_what_was_deployed()
        account = self.use_as_a_client()
        if self.store == "moving":
            self.move_to_dynamodb(account)
        self.deploy_again_and_roll_back(account)
        self.close(self.recover(account))
        self.read_logs(account)
        self.remove()

    def functions_said(self) -> Iterator[str]:
        """Yield the last lines of every log, to print after a fault."""
        logs = self.aws("logs")
        for group in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/agent-talk")["logGroups"]:
            events = logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
            yield from (f"{group['logGroupName']}: {event['message'].rstrip()}" for event in events[-10:])

    def put_secrets(self) -> None:
        tell("Secrets: SecureStrings of the Parameter Store")
        for name, value in ((SECRET_NAME, self.secret), (MICRO_KEY_NAME, MICRO_KEY)):
            print(f"$ aws ssm put-parameter --type SecureString --name {name} --value …")
            self.aws("ssm").put_parameter(Name=name, Value=value, Type="SecureString")

        print(f"$ aws sesv2 create-email-identity --email-identity {MAIL_FROM}")
        self.aws("sesv2").create_email_identity(EmailIdentity=MAIL_FROM)

    def deploy(self) -> None:
        tell("Deploy")
        write_configuration()
        self.osls("deploy")
        (api,) = self.aws("apigatewayv2").get_apis()["Items"]
        self.api = api["ApiId"]
        self.osls("info")

    def look_at_what_was_deployed(self) -> None:
        tell("What was deployed")
        for name in FUNCTIONS:
            function = self.aws("lambda").get_function_configuration(FunctionName=f"agent-talk-{STAGE}-{name}")
            variables = function["Environment"]["Variables"]
            told = json.dumps(variables)
            expect(self.secret not in told and MICRO_KEY not in told, f"{name}: a secret is in the environment")
            expect(variables["SESSION_SECRET_PARAMETER"] == SECRET_NAME, f"{name}: the secret is not named")
            expect(name.capitalize() in function["Role"].rpartition("/")[2], f"{name}: not its own role")
            print(f"{name}: {function['Runtime']}, {function['MemorySize']} MB, {function['Timeout']} s, no secret")
        groups = self.aws("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/agent-talk")["logGroups"]
        expect({group.get("retentionInDays") for group in groups} == {90}, "logs are kept for another time")
        print(f"{len(groups)} log groups, kept for 90 days")
        if self.store != "micro":
            self._expire()
            table = self.aws("dynamodb").describe_table(TableName=TABLE)["Table"]
            expect(table["DeletionProtectionEnabled"], "the table is not protected")
            print(f"table {TABLE}: {table['BillingModeSummary']['BillingMode']}, protected from deletion")

    def _expire(self) -> None:
        """Enable the table's time to live: the emulator's CloudFormation ignores the template's."""
        dynamodb = self.aws("dynamodb")
        told = dynamodb.describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"]
        if told["TimeToLiveStatus"] != "ENABLED":
            print("The emulator has not switched on the table's time to live, as AWS does: switched on by hand")
            asked = {"AttributeName": "ttl", "Enabled": True}
            dynamodb.update_time_to_live(TableName=TABLE, TimeToLiveSpecification=asked)

    def use_as_a_client(self) -> dict[str, str]:
        tell("Use")
        signed = self.call("POST", "/api/v1/auth/signup", 201, json={"email": ME, "password": "correct horse"})
        token = signed["token"]
        made = self.call("POST", "/api/keys", 201, token=token, json={"name": "Rehearsal"})
        key = made["key"]["key"]
        memo = self.call("POST", "/api/v1/memo", 201, token=key, json={"text": TEXT, "voice": "rachel"})
        self._hear(memo)
        listed = self.call("GET", "/api/v1/memos", 200, token=key)
        expect([each["id"] for each in listed["memos"]] == [memo["id"]], "the memo is not listed")
        usage = self.call("GET", "/api/v1/usage/limits", 200, token=key)
        expect(usage["daily"]["used"] == 1, "the memo is not counted")
        self._say_a_long_text(key)
        logs = self.call("GET", "/api/v1/usage", 200, token=key)
        expect("memo_created" in [each["action"] for each in logs["logs"]], "the memo is not in the usage logs")
        self.call("GET", "/api/v1/billing/tiers", 200)
        self.call("GET", "/app", 200)
        self.call("GET", "/nothing", 404)
        self.call("POST", "/api/v1/memo", 401, json={"text": TEXT, "voice": "rachel"})
        return {"key": key, "token": token, "user": signed["user"]["id"]}

    def _hear(self, memo: Mapping[str, Any]) -> None:
        """Fetch a memo's audio as a player does, by a redirect to the bucket."""
        audio = memo["audio"]
        expect(audio["status"] == "ready", f"the memo is {audio['status']}")
        link = self.call("GET", urlsplit(audio["url"]).path, 302)["location"]
        content = httpx.get(link, trust_env=False, timeout=30).content
        expect(abs(read_mp3(content).seconds - audio["duration"]) < 1e-4, "the audio has another length than was told")
        print(f"GET {urlsplit(link).path[:40]}… → {len(content)} bytes of MP3, {audio['duration']} s")

    def _say_a_long_text(self, key: str) -> None:
        """Make a memo that is spoken after its request, wait for it, fetch its audio, and delete it."""
        memo = self.call("POST", "/api/v1/memo", 201, token=key, json={"text": LONG_TEXT, "voice": "adam"})
        expect(memo["audio"]["status"] == "processing", f"the long memo is {memo['audio']['status']}")
        path, ends = f"/api/v1/memo/{memo['id']}", time.monotonic() + LONG_TEXT_S
        while memo["audio"]["status"] == "processing":
            expect(time.monotonic() < ends, f"the long memo is not ready after {LONG_TEXT_S} s")
            time.sleep(1)
            memo = self.call("GET", path, 200, token=key)
        self._hear(memo)
        self.call("DELETE", path, 200, token=key)
        self.call("GET", urlsplit(memo["audio"]["url"]).path, 404)
        (bucket,) = (found["Name"] for found in self.aws("s3").list_buckets()["Buckets"] if "audio" in found["Name"])
        held = [found["Key"] for found in self.aws("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]
        expect(len(held) == 1, f"the bucket holds more than the first memo's audio: {held}")

    def move_to_dynamodb(self, account: Mapping[str, str]) -> None:
        tell("Move from HYPR Micro to DynamoDB")
        self.copy()
        for name in FUNCTIONS:
            print(f"$ aws lambda put-function-concurrency --function-name agent-talk-{STAGE}-{name} …")
            self.aws("lambda").put_function_concurrency(
                FunctionName=f"agent-talk-{STAGE}-{name}", ReservedConcurrentExecutions=0
            )
        self.copy("--delete")
        self.env["AGENT_TALK_STORE"] = "dynamodb"
        self.osls("deploy")
        for name in FUNCTIONS:
            print(f"$ aws lambda delete-function-concurrency --function-name agent-talk-{STAGE}-{name}")
            self.aws("lambda").delete_function_concurrency(FunctionName=f"agent-talk-{STAGE}-{name}")
        function = self.aws("lambda").get_function_configuration(FunctionName=f"agent-talk-{STAGE}-memos")
        expect(function["Environment"]["Variables"]["AGENT_TALK_STORE"] == "dynamodb", "it is not on DynamoDB")
        listed = self.call("GET", "/api/v1/memos", 200, token=account["key"])
        expect(TEXT in json.dumps(listed), "the memo was not moved")

    def deploy_again_and_roll_back(self, account: Mapping[str, str]) -> None:
        tell("A second deployment, and back")
        self.osls("deploy", "--force")
        self.call("GET", "/api/v1/memos", 200, token=account["key"])
        said = self.osls("deploy", "list")
        stamps = [word for word in said.split() if word.isdigit() and len(word) == 13]
        expect(len(stamps) >= 2, "the deployments are not listed")
        self.osls("rollback", "--timestamp", stamps[0])
        listed = self.call("GET", "/api/v1/memos", 200, token=account["key"])
        expect(TEXT in json.dumps(listed), "the memo is gone")

    def recover(self, account: Mapping[str, str]) -> dict[str, str]:
        """Reset the password by the link of a caught mail. Returns the account with its new session."""
        tell("A forgotten password, by a mail through SES")
        self.call("POST", "/api/v1/auth/forgot-password", 200, json={"email": ME})
        reset = {"token": self._token_of_mail("reset"), "newPassword": NEW_PASSWORD}
        self.call("POST", "/api/v1/auth/reset-password", 200, json=reset)
        self.call("POST", "/api/v1/auth/reset-password", 400, json=reset)
        self.call("GET", "/api/v1/auth/me", 401, token=account["token"])
        logged_in = self.call("POST", "/api/v1/auth/login", 200, json={"email": ME, "password": NEW_PASSWORD})
        expect(logged_in["user"]["emailVerified"], "a reset did not verify the address")
        self.call("GET", "/api/v1/admin/stats", 403, token=logged_in["token"])
        return {**account, "token": logged_in["token"], "reset": reset["token"]}

    def close(self, account: Mapping[str, str]) -> None:
        """Close the account, and let housekeeping run."""
        tell("The account is closed, and housekeeping runs")
        self.call("DELETE", "/api/v1/auth/me", 200, token=account["token"], json={"password": NEW_PASSWORD})
        self.call("GET", "/api/v1/auth/me", 401, token=account["token"])
        self.call("POST", "/api/v1/auth/login", 401, json={"email": ME, "password": NEW_PASSWORD})
        rules = self.aws("events").list_rules()["Rules"]
        expect([rule["ScheduleExpression"] for rule in rules] == ["rate(10 minutes)"], f"the rules are {rules}")
        line = self._keep_house()
        accounts = line["jobs"]["closed accounts"]
        expect((accounts["waiting"], accounts["failed"]) == (1, 0), f"the closed account was not erased: {line}")
        expect(line["oldest_s"] == 0, f"housekeeping has left something: {line}")
        (bucket,) = (found["Name"] for found in self.aws("s3").list_buckets()["Buckets"] if "audio" in found["Name"])
        held = [found["Key"] for found in self.aws("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]
        expect([name.partition("/")[0] for name in held] == ["closed"], f"audio of the account is left: {held}")

    def _keep_house(self) -> Any:
        """Invoke housekeeping as its schedule does. Returns its answer."""
        event = json.dumps({"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}})
        answer = self.aws("lambda").invoke(FunctionName=f"agent-talk-{STAGE}-housekeeping", Payload=event)
        told = answer["Payload"].read().decode()
        print(f"$ aws lambda invoke --function-name agent-talk-{STAGE}-housekeeping: {told}")
        expect("FunctionError" not in answer, f"housekeeping failed: {told}")
        return json.loads(told)

    def _token_of_mail(self, kind: str) -> str:
        """Wait for a mail with a link of this kind, and return the link's token."""
        ends = time.monotonic() + MAIL_S
        while time.monotonic() < ends:
            for envelope in self.mails.caught:
                text = message_from_bytes(_bytes(envelope.content), policy=default).get_body(("plain",))
                found = re.search(rf"#{kind}=(\S+)", text.get_content() if text is not None else "")
                if found is not None and envelope.rcpt_tos == [ME]:
                    print(f"A mail to {ME} has a link to {kind}")
                    return found[1]
            time.sleep(0.2)
        raise NotAsItShould(f"no mail to {kind} came within {MAIL_S} s, of {len(self.mails.caught)}")

    def read_logs(self, account: Mapping[str, str]) -> None:
        tell("Logs")
        for name in ("users", "memos"):
            said = self.osls("logs", "--function", name, "--startTime", "1h")
            expect('"status":201' in said, f"{name}: no line of the call")
            for secret in (account["key"], account["token"], NEW_PASSWORD, self.secret, MICRO_KEY, TEXT):
                expect(secret not in said, f"{name}: the logs tell what they must not")

    def remove(self) -> None:
        tell("Remove")
        self.osls("remove")
        left = {
            "functions": self.aws("lambda").list_functions()["Functions"],
            "APIs": self.aws("apigatewayv2").get_apis()["Items"],
            "roles": [role for role in self.aws("iam").list_roles()["Roles"] if "Agent" in role["RoleName"]],
            "log groups": self.aws("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/agent-talk")[
                "logGroups"
            ],
            "queues": self.aws("sqs").list_queues().get("QueueUrls", []),
        }
        expect(not any(left.values()), f"something is left: { {name: len(them) for name, them in left.items()} }")
        tables = self.aws("dynamodb").list_tables()["TableNames"]
        buckets = [bucket["Name"] for bucket in self.aws("s3").list_buckets()["Buckets"]]
        expect(len(buckets) == 1 and "audio" in buckets[0], f"the buckets are {buckets}")
        expect(tables == ([] if self.store == "micro" else [TABLE]), f"the tables are {tables}")
        kept = " and ".join(["the audio", *(f"the table {table}" for table in tables)])
        print(f"Nothing is left but {kept}, which production keeps.")


def _bytes(content: bytes | str | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.rehearse", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--store", choices=("micro", "dynamodb", "moving"), default="micro", help="default: %(default)s"
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    for target in ("local", "speech-local"):
        bundle.build(TARGETS[target])
    with ExitStack() as stack:
        stack.callback(CONFIGURATION.unlink, missing_ok=True)
        told = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "emulator.log"
        try:
            mails = stack.enter_context(mail_server())
            emulator = stack.enter_context(emulated_aws(told, mails))
            micro = stack.enter_context(stand_in(MICRO_KEY))
            _run(Rehearsal(store=options.store, emulator=emulator, micro=micro, mails=mails))
        except (NotAsItShould, httpx.HTTPError, subprocess.CalledProcessError) as exc:
            print(f"\nNOT AS IT SHOULD BE: {exc}", file=sys.stderr)
            if told.exists():
                print("The emulator said last:", *told.read_text().splitlines()[-30:], sep="\n", file=sys.stderr)
            return 1
    print(f"\nAll as it should be, in {time.monotonic() - began:.0f} s.")
    return 0


def _run(rehearsal: Rehearsal) -> None:
    try:
        rehearsal.run()
    except (NotAsItShould, httpx.HTTPError):
        print("\nThe functions said last:", *rehearsal.functions_said(), sep="\n", file=sys.stderr)
        raise


if __name__ == "__main__":
    sys.exit(main())
