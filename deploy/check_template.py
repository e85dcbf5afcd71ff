"""Packages with osls, errors in the configuration being fatal, and checks the CloudFormation templates that come out.

    python -m deploy.check_template

A stage of development; production with a table, a bucket and a domain; production that serves from HYPR Micro and has a
table to copy into; and production on a table that was restored. cfn-lint reads each; what it cannot know is checked
here: no secret in production's environment, every route, for each function a role of its own that can do no more, and
whether the stack makes a table.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.bundle import BUILD, DEPLOYED, ROOT

IGNORED: Final = {
    "W3005": "osls names dependencies that a reference implies already",
    "W8003": "what a deployment chooses is constant in its template",
}
"""What cfn-lint need not tell, each with the reason."""

LOG: Final = ("logs:CreateLogStream", "logs:PutLogEvents")
SSM: Final = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter"
DYNAMODB: Final = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/"
CANARY: Final = "a-secret-that-must-not-be-in-a-template-of-production"
DESCRIBE: Final = ("DescribeTable", "DescribeTimeToLive")
READ: Final = (*DESCRIBE, "GetItem")
WRITE: Final = (*READ, "Query", "PutItem", "UpdateItem", "DeleteItem")
PERMITTED: Final[Mapping[str, Iterable[str]]] = {
    "users": WRITE,
    "keys": WRITE,
    "memos": WRITE,
    "usage": WRITE,
    "subscriptions": READ,
    "health": DESCRIBE,
}
"""What the functions ask of the store, in DynamoDB's terms."""


class TemplateFault(Exception):
    """What is wrong with a template."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """`table` names the one that the functions use, if they use any."""

    name: str
    stage: str
    env: Mapping[str, str]
    makes_table: bool
    table: str = ""

    @property
    def folder(self) -> Path:
        return BUILD / f"template-{self.name}"

    @property
    def path(self) -> Path:
        return self.folder / "cloudformation-template-update-stack.json"


_SECRETS: Final = {"SESSION_SECRET": CANARY, "HYPERMICRO_API_KEY": CANARY}

DEPLOYMENTS: Final = (
    Deployment(
        name="dev", stage="dev", env={"AGENT_TALK_STORE": "memory", "SESSION_SECRET": CANARY}, makes_table=False
    ),
    Deployment(
        name="production",
        stage="production",
        env={
            **_SECRETS,
            "AGENT_TALK_STORE": "dynamodb",
            "AUDIO": "s3",
            "DOMAIN_NAME": "api.example.org",
            "CERTIFICATE_ID": "12345678-1234-1234-1234-123456789012",
        },
        makes_table=True,
        table="agent-talk-production",
    ),
    Deployment(
        name="moving",
        stage="production",
        env={**_SECRETS, "AGENT_TALK_STORE": "micro", "HYPR_URL": "https://micro.example.org", "CREATE_TABLE": "1"},
        makes_table=True,
    ),
    Deployment(
        name="restored",
        stage="production",
        env={**_SECRETS, "AGENT_TALK_STORE": "dynamodb", "DYNAMODB_TABLE": "agent-talk-restored", "CREATE_TABLE": "0"},
        makes_table=False,
        table="agent-talk-restored",
    ),
)


def package(deployment: Deployment) -> None:
    """Raises TemplateFault with what osls said."""
    osls = ROOT / "node_modules" / ".bin" / "osls"
    node = shutil.which("node")
    if node is None or not osls.exists():
        raise TemplateFault("osls is not there: install Node 20 or newer with npm, then `make node_modules`")
    ran = subprocess.run(
        [node, osls, "package", "--stage", deployment.stage, "--package", deployment.folder],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "AGENT_TALK_ARTIFACT": str(DEPLOYED.archive),  # whatever a developer's .env says
            **deployment.env,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0 or "Warning" in ran.stdout + ran.stderr:
        raise TemplateFault(f"osls package --stage {deployment.stage} ({deployment.name}):\n{ran.stdout}{ran.stderr}")


def lint(paths: Iterable[Path]) -> None:
    """Raises TemplateFault with what cfn-lint said."""
    program = Path(sys.executable).parent / "cfn-lint"
    ran = subprocess.run(
        [program, "--ignore-checks", *IGNORED, "--", *paths], capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        raise TemplateFault(f"cfn-lint:\n{ran.stdout}{ran.stderr}")


def check(deployment: Deployment) -> str:
    """Raises TemplateFault."""
    template = json.loads(deployment.path.read_text())
    functions: Mapping[str, Any] = yaml.safe_load((ROOT / "serverless.yml").read_text())["functions"]
    check_routes(template, functions)
    check_secrets(template, deployment.stage)
    for name in functions:
        check_function(template, name, table=deployment.table)
    if is_made(template, "Table") is not deployment.makes_table:
        raise TemplateFault(f"{deployment.name} {'makes no' if deployment.makes_table else 'makes a'} table")
    if deployment.stage == "production":
        check_production(template)
    return f"{deployment.name}: {len(of_type(template, 'AWS::ApiGatewayV2::Route'))} routes, {len(functions)} functions"


def is_made(template: Mapping[str, Any], resource: str) -> bool:
    """Whether the stack makes a resource that depends on a condition."""
    return holds(template["Conditions"], {"Condition": template["Resources"][resource]["Condition"]})


def holds(conditions: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    """Raises TemplateFault for a function that no template of ours has."""
    match condition:
        case {"Condition": name}:
            return holds(conditions, conditions[name])
        case {"Fn::Equals": [one, other]}:
            return bool(one == other)
        case {"Fn::Not": [negated]}:
            return not holds(conditions, negated)
        case {"Fn::And": parts}:
            return all(holds(conditions, part) for part in parts)
        case {"Fn::Or": parts}:
            return any(holds(conditions, part) for part in parts)
    raise TemplateFault(f"not a condition: {condition}")


def of_type(template: Mapping[str, Any], kind: str) -> list[Any]:
    return [resource["Properties"] for resource in template["Resources"].values() if resource["Type"] == kind]


def check_routes(template: Mapping[str, Any], functions: Mapping[str, Any]) -> None:
    events = [event["httpApi"] for function in functions.values() for event in function["events"]]
    declared = {"$default" if route == "*" else route for route in events}
    made = {route["RouteKey"] for route in of_type(template, "AWS::ApiGatewayV2::Route")}
    if made != declared:
        raise TemplateFault(f"routes differ: {made ^ declared}")


def check_function(template: Mapping[str, Any], name: str, *, table: str) -> None:
    resources, logical = template["Resources"], name.capitalize()
    function = resources[f"{logical}LambdaFunction"]["Properties"]
    expected = {"Runtime": "python3.13", "Architectures": ["arm64"], "Timeout": 15}
    if function | expected != function or not function["Code"]["S3Key"].endswith(f"/{DEPLOYED.archive.name}"):
        raise TemplateFault(f"{name} is no {DEPLOYED.machine} function on {DEPLOYED.archive.name}")
    if function["MemorySize"] < 512 or resources[f"{logical}LogGroup"]["Properties"]["RetentionInDays"] not in (14, 90):
        raise TemplateFault(f"{name} has too little memory, or keeps its logs for another time")
    if function["Role"] != {"Fn::GetAtt": [f"{logical}Role", "Arn"]}:
        raise TemplateFault(f"{name} has no role of its own")
    role = dict(resources[f"{logical}Role"]["Properties"])
    statements = _statements(template, role.pop("Policies"))
    if role != {"AssumeRolePolicyDocument": _policy(_BY_LAMBDA), "ManagedPolicyArns": [{"Ref": "SecretsPolicy"}]}:
        raise TemplateFault(f"{name}'s role may be taken by others, or has other policies than to read secrets: {role}")
    may = [_allowed(LOG, {"Fn::GetAtt": [f"{logical}LogGroup", "Arn"]})]
    if table:
        verbs = [f"dynamodb:{verb}" for verb in PERMITTED[name]]
        may.append(_allowed(verbs, {"Fn::Sub": DYNAMODB + table}))
    if statements != may:
        raise TemplateFault(f"{name} may do {statements}, and needs {may}")


def check_secrets(template: Mapping[str, Any], stage: str) -> None:
    (policy,) = of_type(template, "AWS::IAM::ManagedPolicy")
    expected = _allowed(["ssm:GetParameters"], {"Fn::Sub": f"{SSM}/agent-talk/{stage}/*"})
    if _statements(template, [policy]) != [expected]:
        raise TemplateFault(f"the functions may read more than their secrets: {policy}")


def check_production(template: Mapping[str, Any]) -> None:
    if CANARY in json.dumps(template):
        raise TemplateFault("a secret is in the template")
    (table,) = of_type(template, "AWS::DynamoDB::Table")
    kept = {
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": True,
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": True},
        "SSESpecification": {"SSEEnabled": True},
    }
    if table | kept != table or template["Resources"]["Table"]["DeletionPolicy"] != "Retain":
        raise TemplateFault("the table of production is not protected")


def main() -> int:
    try:
        for deployment in DEPLOYMENTS:
            package(deployment)
        lint(deployment.path for deployment in DEPLOYMENTS)
        for deployment in DEPLOYMENTS:
            print("ok", check(deployment), flush=True)
    except TemplateFault as exc:
        print("wrong:", exc, file=sys.stderr)
        return 1
    return 0


def _policy(statement: Mapping[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [statement]}


_BY_LAMBDA: Final = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


def _allowed(verbs: Iterable[str], resource: Mapping[str, Any]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": sorted(verbs), "Resource": resource}


def _statements(template: Mapping[str, Any], policies: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The one statement of each policy that is made, with its verbs in order."""
    found = []
    for policy in policies:
        if "Fn::If" in policy:
            name, chosen, _ = policy["Fn::If"]
            if not holds(template["Conditions"], {"Condition": name}):
                continue
        else:
            chosen = policy
        (statement,) = chosen["PolicyDocument"]["Statement"]
        verbs = statement["Action"]
        found.append({**statement, "Action": sorted([verbs] if isinstance(verbs, str) else verbs)})
    return found


if __name__ == "__main__":
    sys.exit(main())
