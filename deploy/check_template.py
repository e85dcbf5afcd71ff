"""Package with osls, errors in the configuration being fatal, and check the resulting CloudFormation templates.

    python -m deploy.check_template

The deployments are two stages of development; production with a table, a domain and reserved concurrency; production
that serves from HYPR Micro in a VPC, and has a table to copy into; and production on a restored table. cfn-lint reads
each. This module checks the rest: stages that must be refused, no secret in production's environment, every route with
its throttle, for each function its own role with no further rights, and whether the stack makes a table.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.bundle import BUILD, DEPLOYED, ROOT, SPEECH
from deploy.check_roles import check_network, check_role, check_secrets
from deploy.deployments import CANARY, DEPLOYMENTS, REFUSED, Deployment
from deploy.permissions import SPEAKERS
from deploy.template import TemplateFault, of_type, read

IGNORED: Final = {
    "W3005": "osls names dependencies that a reference implies already",
    "W1031": "it resolves the audio bucket's name to nothing where the condition of its statement is false",
    "W8003": "what a deployment chooses is constant in its template",
}
"""The rules of cfn-lint that are off, each with the reason."""

LOGGED: Final = frozenset(
    {
        "requestId",
        "requestTimeEpoch",
        "routeKey",
        "protocol",
        "status",
        "integrationStatus",
        "dataProcessed",
        "responseLength",
        "responseLatency",
    }
)
"""The fields of API Gateway's `$context` that the access log may contain: no path, query, header or address."""

_ON_MEMORY: Final = {"AGENT_TALK_STORE": "memory"}

SPEAKER_TIMEOUT_S: Final = 300

TIMEOUTS_S: Final = {"speaker": SPEAKER_TIMEOUT_S, "housekeeping": 60}
"""Timeouts of the functions that no request waits for, in seconds; all other functions have 15 s."""

BEHIND_A_SESSION: Final = frozenset({"ANY /api/v1/auth/me", "ANY /api/v1/auth/me/export", "ANY /api/v1/auth/logout"})
"""Routes of accounts that need a session, or send no mail on an anonymous request."""


def package(deployment: Deployment) -> None:
    """Package a deployment. Raises TemplateFault with osls's output."""
    ran = _osls(deployment.stage, deployment.folder, deployment.env)
    if ran.returncode != 0 or "Warning" in ran.stdout + ran.stderr:
        raise TemplateFault(f"osls package --stage {deployment.stage} ({deployment.name}):\n{ran.stdout}{ran.stderr}")


def check_refusals() -> str:
    """Check that osls refuses REFUSED. Raises TemplateFault for a stage or an environment that it packages."""
    folder = BUILD / "template-refused"
    with ThreadPoolExecutor(os.cpu_count()) as packaging:
        runs = list(packaging.map(lambda refused: _osls(refused[0], folder, {**_ON_MEMORY, **refused[1]}), REFUSED))
    for (stage, env, reason), ran in zip(REFUSED, runs, strict=True):
        if ran.returncode == 0 or reason not in ran.stdout + ran.stderr:
            raise TemplateFault(f"osls package --stage {stage} with {env} is not refused:\n{ran.stdout}{ran.stderr}")
    return f"{len(REFUSED)} stages and environments are refused"


def _osls(stage: str, folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    osls = ROOT / "node_modules" / ".bin" / "osls"
    node = shutil.which("node")
    if node is None or not osls.exists():
        raise TemplateFault("osls is not there: install Node 20 or newer with npm, then `make node_modules`")
    return subprocess.run(
        [node, osls, "package", "--stage", stage, "--package", folder],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "AGENT_TALK_ARTIFACT": str(DEPLOYED.archive),  # overrides a developer's .env
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def lint(paths: Iterable[Path]) -> None:
    """Run cfn-lint on the templates, each in a process of ten seconds. Raises TemplateFault with its output."""
    with ThreadPoolExecutor(os.cpu_count()) as linting:
        runs = list(linting.map(_cfn_lint, paths))
    faults = [ran.stdout + ran.stderr for ran in runs if ran.returncode != 0]
    if faults:
        raise TemplateFault(f"cfn-lint:\n{''.join(faults)}")


def _cfn_lint(path: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "cfn-lint"
    return subprocess.run(
        [program, "--ignore-checks", *IGNORED, "--", path], capture_output=True, text=True, check=False
    )


def check(deployment: Deployment) -> str:
    """Check a packaged deployment. Returns a line for the transcript. Raises TemplateFault."""
    template = read(deployment.path)
    functions: Mapping[str, Any] = yaml.safe_load((ROOT / "serverless.yml").read_text())["functions"]
    check_routes(template, functions)
    check_stage(template)
    check_queue(template)
    check_schedule(template, f"agent-talk-{deployment.stage}-housekeeping")
    check_secrets(template, deployment.parameters)
    check_network(template, deployment.stage)
    for name in functions:
        check_function(template, name, speech=name in SPEAKERS and "local" in deployment.choices)
        check_role(
            template,
            name,
            table=deployment.table,
            bucket=deployment.bucket,
            polly="polly" in deployment.choices,
            mails_as=deployment.env["MAIL_FROM"] if deployment.env.get("MAIL") == "ses" else "",
        )
    check_chosen(template, deployment.env)
    if ("Table" in template["Resources"]) is not deployment.makes_table:
        raise TemplateFault(f"{deployment.name} {'makes no' if deployment.makes_table else 'makes a'} table")
    if deployment.stage == "production":
        check_production(template, makes_table=deployment.makes_table)
    return f"{deployment.name}: {len(of_type(template, 'AWS::ApiGatewayV2::Route'))} routes, {len(functions)} functions"


def check_routes(template: Mapping[str, Any], functions: Mapping[str, Any]) -> None:
    events = [event["httpApi"] for function in functions.values() for event in function["events"] if "httpApi" in event]
    declared = {"$default" if route == "*" else route for route in events}
    made = {route["RouteKey"] for route in of_type(template, "AWS::ApiGatewayV2::Route")}
    if made != declared:
        raise TemplateFault(f"routes differ: {made ^ declared}")


def check_stage(template: Mapping[str, Any]) -> None:
    """Check that routes without credentials have lower throttles, and that the access log has no caller's data.

    Raises TemplateFault.
    """
    stage = template["Resources"]["HttpApiStage"]
    lower, most = stage["Properties"]["RouteSettings"], stage["Properties"]["DefaultRouteSettings"]
    if not all(settings["ThrottlingRateLimit"] < most["ThrottlingRateLimit"] for settings in lower.values()):
        raise TemplateFault(f"a route has no lower throttle than {most}: {lower}")
    routes = {
        name: resource["Properties"]["RouteKey"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::ApiGatewayV2::Route"
    }
    needed = {name for name, route in routes.items() if _is_anonymous(route)}
    if {routes[name] for name in needed} - BEHIND_A_SESSION != lower.keys():
        raise TemplateFault(
            f"throttles.yml has routes that are gone, or lacks some: {set(map(routes.get, needed)) ^ lower.keys()}"
        )
    if {name for name, route in routes.items() if route in lower} - set(stage["DependsOn"]):
        raise TemplateFault("the stage has settings of routes that it does not depend on: DependsOn of throttles.yml")
    told = set(re.findall(r"\$context\.([\w.]+)", stage["Properties"]["AccessLogSettings"]["Format"]))
    if told != LOGGED:
        raise TemplateFault(f"the access log tells more or less than it should: {told ^ LOGGED}")


def check_queue(template: Mapping[str, Any]) -> None:
    """Check that a message is hidden for longer than its function runs, fails alone, and ends in a dead-letter queue.

    Raises TemplateFault.
    """
    (source,) = of_type(template, "AWS::Lambda::EventSourceMapping")
    queue = template["Resources"]["LongMemos"]["Properties"]
    redrive = {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLongMemos", "Arn"]}, "maxReceiveCount": 5}
    if source["EventSourceArn"] != {"Fn::GetAtt": ["LongMemos", "Arn"]} or queue["RedrivePolicy"] != redrive:
        raise TemplateFault("the speaker is not fed by the queue, or the queue has no dead-letter queue")
    if source["FunctionResponseTypes"] != ["ReportBatchItemFailures"] or source["BatchSize"] != 1:
        raise TemplateFault(f"a failed memo would not come back alone: {source}")
    if queue["VisibilityTimeout"] <= SPEAKER_TIMEOUT_S:
        raise TemplateFault("a memo would be handed over twice while it is said")


def check_schedule(template: Mapping[str, Any], function: str) -> None:
    """Check that housekeeping runs every ten minutes, that Lambda never repeats it, and its alarm.

    Raises TemplateFault.
    """
    (rule,) = of_type(template, "AWS::Events::Rule")
    target = {"Fn::GetAtt": ["HousekeepingLambdaFunction", "Arn"]}
    if rule["ScheduleExpression"] != "rate(10 minutes)" or [each["Arn"] for each in rule["Targets"]] != [target]:
        raise TemplateFault(f"housekeeping is not called every ten minutes: {rule}")
    (asked,) = of_type(template, "AWS::Lambda::EventInvokeConfig")
    if asked["MaximumRetryAttempts"] != 0:
        raise TemplateFault(f"a failed run would be repeated beside the next one: {asked}")
    alarm = template["Resources"]["OldestWorkAlarm"]["Properties"]
    watched = [{"Name": "function", "Value": function}]
    if alarm["Threshold"] != 24 * 3600 or alarm["Dimensions"] != watched:
        raise TemplateFault(f"work of housekeeping may be older than a day: {alarm}")
    mails = template["Resources"]["MailErrorsAlarm"]["Properties"]
    names = {each["MetricStat"]["Metric"]["MetricName"] for each in mails["Metrics"] if "MetricStat" in each}
    if names != {"MailErrors"} or mails["Threshold"] != 0:
        raise TemplateFault(f"mails that are not sent raise no alarm: {mails}")


def check_function(template: Mapping[str, Any], name: str, *, speech: bool = False) -> None:
    """Check a function. `speech`: it contains our own voices. Raises TemplateFault."""
    resources, logical = template["Resources"], name.capitalize()
    function = resources[f"{logical}LambdaFunction"]["Properties"]
    archive = (SPEECH if speech else DEPLOYED).archive.name
    expected = {"Runtime": "python3.13", "Architectures": ["arm64"], "Timeout": TIMEOUTS_S.get(name, 15)}
    if function | expected != function or not function["Code"]["S3Key"].endswith(f"/{archive}"):
        raise TemplateFault(f"{name} is no {DEPLOYED.machine} function on {archive}")
    least = 2048 if speech else 1024 if name == "speaker" else 512
    if function["MemorySize"] < least or resources[f"{logical}LogGroup"]["Properties"]["RetentionInDays"] not in (
        14,
        90,
    ):
        raise TemplateFault(f"{name} has too little memory, or keeps its logs for another time")
    if function["Role"] != {"Fn::GetAtt": [f"{logical}Role", "Arn"]}:
        raise TemplateFault(f"{name} has no role of its own")
    variables = function["Environment"]["Variables"]
    if not (variables["SESSION_SECRET"] or variables["SESSION_SECRET_PARAMETER"]):
        raise TemplateFault(f"{name} would have no session secret")


def check_chosen(template: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Check the deployer's choices in the template: the network, the reserved concurrency, the one endpoint.

    Raises TemplateFault.
    """
    lists = {
        "SubnetIds": env.get("VPC_SUBNET_IDS", ""),
        "SecurityGroupIds": env.get("VPC_SECURITY_GROUP_IDS", ""),
    }
    network = {name: [word.strip() for word in words.split(",") if word] for name, words in lists.items()}
    for function in of_type(template, "AWS::Lambda::Function"):
        if function["VpcConfig"] != network:
            raise TemplateFault(f"{function['FunctionName']} is in {function['VpcConfig']}, not {network}")
    for name in ("users", "health", "housekeeping"):
        function = template["Resources"][f"{name.capitalize()}LambdaFunction"]["Properties"]
        if function.get("ReservedConcurrentExecutions") != env.get(f"RESERVED_CONCURRENCY_{name.upper()}"):
            raise TemplateFault(f"{name} has another concurrency reserved than what was chosen")
    (api,) = of_type(template, "AWS::ApiGatewayV2::Api")
    if api["DisableExecuteApiEndpoint"] is not ("DOMAIN_NAME" in env):
        raise TemplateFault("with a domain of its own, and only then, the API must have no other endpoint")


def check_production(template: Mapping[str, Any], *, makes_table: bool) -> None:
    if CANARY in json.dumps(template):
        raise TemplateFault("a secret is in the template")
    if not makes_table:
        return
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
        for deployment in DEPLOYMENTS:  # one after another: osls writes to .serverless too
            package(deployment)
        print("ok", check_refusals(), flush=True)
        lint(deployment.path for deployment in DEPLOYMENTS)
        for deployment in DEPLOYMENTS:
            print("ok", check(deployment), flush=True)
    except TemplateFault as exc:
        print("wrong:", exc, file=sys.stderr)
        return 1
    return 0


def _is_anonymous(route: str) -> bool:
    """Return whether a route works without credentials: health and unknown paths, accounts, demos."""
    return route == "$default" or route.startswith(("ANY /health", "ANY /api/v1/auth/", "ANY /api/v1/demo"))


if __name__ == "__main__":
    sys.exit(main())
