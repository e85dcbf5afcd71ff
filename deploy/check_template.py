"""Packages with osls, errors in the configuration being fatal, and checks the CloudFormation templates that come out.

    python -m deploy.check_template

A stage of development, and production with a table and a domain. cfn-lint reads each; what it cannot know is checked
here: no secret in production's environment, every route, and for each function a role of its own that can do no more.
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


class Wrong(Exception):
    """What is wrong with a template."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    stage: str
    env: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return BUILD / f"template-{self.stage}"

    @property
    def path(self) -> Path:
        return self.folder / "cloudformation-template-update-stack.json"


DEPLOYMENTS: Final = (
    Deployment(stage="dev", env={"AGENT_TALK_STORE": "memory", "SESSION_SECRET": CANARY}),
    Deployment(
        stage="production",
        env={
            "AGENT_TALK_STORE": "dynamodb",
            "SESSION_SECRET": CANARY,
            "HYPERMICRO_API_KEY": CANARY,
            "DOMAIN_NAME": "api.example.org",
            "CERTIFICATE_ID": "12345678-1234-1234-1234-123456789012",
        },
    ),
)


def package(deployment: Deployment) -> None:
    """Raises Wrong with what osls said."""
    osls = ROOT / "node_modules" / ".bin" / "osls"
    node = shutil.which("node")
    if node is None or not osls.exists():
        raise Wrong("osls is not there: install Node 20 or newer with npm, then `make node_modules`")
    ran = subprocess.run(
        [node, osls, "package", "--stage", deployment.stage, "--package", deployment.folder],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **deployment.env},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0 or "Warning" in ran.stdout + ran.stderr:
        raise Wrong(f"osls package --stage {deployment.stage}:\n{ran.stdout}{ran.stderr}")


def lint(paths: Iterable[Path]) -> None:
    """Raises Wrong with what cfn-lint said."""
    program = Path(sys.executable).parent / "cfn-lint"
    ran = subprocess.run(
        [program, "--ignore-checks", *IGNORED, "--", *paths], capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        raise Wrong(f"cfn-lint:\n{ran.stdout}{ran.stderr}")


def check(deployment: Deployment) -> str:
    """Raises Wrong."""
    template = json.loads(deployment.path.read_text())
    functions: Mapping[str, Any] = yaml.safe_load((ROOT / "serverless.yml").read_text())["functions"]
    check_routes(template, functions)
    for name in functions:
        check_function(template, name)
    if deployment.stage == "production":
        check_production(template)
    return (
        f"{deployment.stage}: {len(of_type(template, 'AWS::ApiGatewayV2::Route'))} routes, {len(functions)} functions"
    )


def of_type(template: Mapping[str, Any], kind: str) -> list[Any]:
    return [resource["Properties"] for resource in template["Resources"].values() if resource["Type"] == kind]


def check_routes(template: Mapping[str, Any], functions: Mapping[str, Any]) -> None:
    events = [event["httpApi"] for function in functions.values() for event in function["events"]]
    declared = {"$default" if route == "*" else route for route in events}
    made = {route["RouteKey"] for route in of_type(template, "AWS::ApiGatewayV2::Route")}
    if made != declared:
        raise Wrong(f"routes differ: {made ^ declared}")


def check_function(template: Mapping[str, Any], name: str) -> None:
    resources, logical = template["Resources"], name.capitalize()
    function = resources[f"{logical}LambdaFunction"]["Properties"]
    expected = {"Runtime": "python3.13", "Architectures": ["arm64"], "Timeout": 15}
    if function | expected != function or not function["Code"]["S3Key"].endswith(f"/{DEPLOYED.archive.name}"):
        raise Wrong(f"{name} is no {DEPLOYED.machine} function on {DEPLOYED.archive.name}")
    if function["MemorySize"] < 512 or resources[f"{logical}LogGroup"]["Properties"]["RetentionInDays"] not in (14, 90):
        raise Wrong(f"{name} has too little memory, or keeps its logs for another time")
    if function["Role"] != {"Fn::GetAtt": [f"{logical}Role", "Arn"]}:
        raise Wrong(f"{name} has no role of its own")
    statements = [_statement(policy) for policy in resources[f"{logical}Role"]["Properties"]["Policies"]]
    logs, rows = statements
    if logs["Resource"] != {"Fn::GetAtt": [f"{logical}LogGroup", "Arn"]}:
        raise Wrong(f"{name} may write into another log group than its own")
    if set(rows["Action"]) != {f"dynamodb:{verb}" for verb in PERMITTED[name]}:
        raise Wrong(f"{name} may do {sorted(rows['Action'])} with the table")
    if rows["Resource"] != {"Fn::GetAtt": ["Table", "Arn"]} or "*" in json.dumps(rows):
        raise Wrong(f"{name} may reach more than the table")


def check_production(template: Mapping[str, Any]) -> None:
    if CANARY in json.dumps(template):
        raise Wrong("a secret is in the template")
    (table,) = of_type(template, "AWS::DynamoDB::Table")
    kept = {
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": True,
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": True},
        "SSESpecification": {"SSEEnabled": True},
    }
    if table | kept != table or template["Resources"]["Table"]["DeletionPolicy"] != "Retain":
        raise Wrong("the table of production is not protected")


def main() -> int:
    try:
        for deployment in DEPLOYMENTS:
            package(deployment)
        lint(deployment.path for deployment in DEPLOYMENTS)
        for deployment in DEPLOYMENTS:
            print("ok", check(deployment), flush=True)
    except Wrong as exc:
        print("wrong:", exc, file=sys.stderr)
        return 1
    return 0


def _statement(policy: Any) -> Any:
    """The one statement of a policy, or of one that depends on a condition."""
    chosen = policy["Fn::If"][1] if "Fn::If" in policy else policy
    (statement,) = chosen["PolicyDocument"]["Statement"]
    return statement


if __name__ == "__main__":
    sys.exit(main())
