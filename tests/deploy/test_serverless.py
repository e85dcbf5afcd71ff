"""serverless.yml routes every path to the function of its route, and to no other."""

import importlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.routing import APIRoute

from deploy.bundle import DEPLOYED
from deploy.check_roles import DYNAMODB
from deploy.permissions import MAILERS
from deploy.template import holds
from shared.core.parameters import SECRETS, SUFFIX
from shared.core.settings import DEVELOPMENT_SECRET, AttemptLimits
from shared.web.function import Function
from shared.web.queue_function import QueueFunction
from shared.web.schedule_function import ScheduleFunction
from tools.local import FUNCTIONS

CONFIGURATION: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "serverless.yml").read_text())
DECLARED: dict[str, dict[str, Any]] = CONFIGURATION["functions"]


class Template(yaml.SafeLoader):
    """Reads CloudFormation's own tags as the functions that they abbreviate."""


Template.add_multi_constructor("!", lambda loader, tag, node: {_function(tag): _argument(loader, node)})


def _function(tag: str) -> str:
    return tag if tag in ("Ref", "Condition") else f"Fn::{tag}"


def _argument(loader: yaml.SafeLoader, node: Any) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return node.value
    return loader.construct_sequence(node, deep=True)


def resources(name: str, **custom: str) -> dict[str, Any]:
    """Return a file of resources, with these variables filled in."""
    text = (Path(__file__).parents[2] / "deploy" / "resources" / name).read_text()
    for variable, value in custom.items():
        text = text.replace(f"${{self:custom.{variable}}}", value)
    read: dict[str, Any] = yaml.load(text, Loader=Template)  # noqa: S506 a SafeLoader
    return read


def declared_paths(name: str) -> list[str]:
    """Return the paths of a function's events; `*` is API Gateway's $default."""
    return [event["httpApi"].removeprefix("ANY ") for event in DECLARED[name]["events"] if "httpApi" in event]


def test_every_function_is_declared_and_served_locally() -> None:
    assert set(DECLARED) == {*FUNCTIONS, "speaker", "housekeeping"}  # locally a task replaces the speaker


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_each_declared_handler_imports(name: str) -> None:
    module, _, attribute = DECLARED[name]["handler"].rpartition(".")
    kind = {"speaker": QueueFunction, "housekeeping": ScheduleFunction}.get(name, Function)
    assert isinstance(getattr(importlib.import_module(module.replace("/", ".")), attribute), kind)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_functions_declare_exactly_their_routes(name: str) -> None:
    """Each route of a function is declared for it, and no other path is."""
    routes = {route.path for route in FUNCTIONS[name].routes.routes if isinstance(route, APIRoute)}
    assert set(declared_paths(name)) - {"*"} == routes


def test_no_path_is_declared_twice() -> None:
    paths = [path for name in DECLARED for path in declared_paths(name)]
    assert len(paths) == len(set(paths))


def test_declared_paths_take_all_methods() -> None:
    """Every declared path takes all methods, so that its function answers wrong ones."""
    events = [event["httpApi"] for name in FUNCTIONS for event in DECLARED[name]["events"]]
    assert [event for event in events if event != "*" and not event.startswith("ANY /")] == []


def test_every_function_has_a_role_of_its_own() -> None:
    assert {name: function["role"] for name, function in DECLARED.items()} == {
        name: f"{name.capitalize()}Role" for name in DECLARED
    }


@pytest.mark.parametrize(
    ("store", "create_table", "made"),
    [
        ("dynamodb", "", True),
        ("dynamodb", "1", True),
        ("dynamodb", "0", False),
        ("micro", "", False),
        ("micro", "1", True),
        ("micro", "0", False),
    ],
)
def test_table_is_made_for_dynamodb_or_on_request(store: str, create_table: str, *, made: bool) -> None:
    """CREATE_TABLE decides whether the stack makes the table. Unset, it is made for DynamoDB alone."""
    assert CONFIGURATION["custom"]["createTable"] == "${env:CREATE_TABLE, ''}"
    table = resources("table.yml", createTable=create_table)
    conditions = table["Conditions"] | resources("roles.yml", store=store)["Conditions"]
    assert holds(conditions, {"Condition": table["Resources"]["Table"]["Condition"]}) is made


def test_roles_reach_the_table_by_its_name() -> None:
    """The table may belong to another stack, so roles name it and do not refer to its resource."""
    roles = json.dumps(resources("roles.yml", store="dynamodb", table="restored"))
    assert '{"Fn::GetAtt": "Table.Arn"}' not in roles
    assert roles.count(json.dumps({"Fn::Sub": f"{DYNAMODB}restored"})) >= len(DECLARED)


@pytest.mark.parametrize("name", sorted(MAILERS))
def test_roles_of_mailers_may_send_raw_mails(name: str) -> None:
    """SES authorises `SendEmail` with a raw mail as `ses:SendRawEmail`: with the other right alone every mail fails."""
    role = resources("roles.yml")["Resources"][f"{name.capitalize()}Role"]["Properties"]
    conditional = [policy["Fn::If"] for policy in role["Policies"] if "Fn::If" in policy]
    (mail,) = [policy for condition, policy, _ in conditional if condition == "MailsBySes"]
    (statement,) = mail["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["ses:SendEmail", "ses:SendRawEmail"]


def test_production_takes_no_micro_key_from_the_deployer() -> None:
    """In production the key comes from the Parameter Store. deploy.check_template checks the session secret."""
    default, production = CONFIGURATION["params"]["default"], CONFIGURATION["params"]["production"]
    assert default["microKey"] == "${env:HYPERMICRO_API_KEY, ''}"
    assert production["microKey"] == ""


def test_chosen_refuses_the_secret_of_the_source() -> None:
    """The session secret that osls refuses is the default of a laptop."""
    chosen = (Path(__file__).parents[2] / "deploy" / "chosen.cjs").read_text()
    assert f'const DEVELOPMENT_SECRET = "{DEVELOPMENT_SECRET}";' in chosen


def test_the_bundle_is_for_what_runs_it() -> None:
    provider = CONFIGURATION["provider"]
    assert (provider["runtime"], provider["architecture"]) == (f"python{DEPLOYED.python}", DEPLOYED.name)
    assert f"build/{DEPLOYED.archive.name}" in CONFIGURATION["package"]["artifact"]


def test_the_default_route_goes_to_health() -> None:
    assert [name for name in DECLARED if "*" in declared_paths(name)] == ["health"]


def test_functions_have_memory_and_a_timeout_below_30_s() -> None:
    """Every function has at least 512 MB, and the default timeout is below API Gateway's 30 s."""
    sizes = {name: function["memorySize"] for name, function in DECLARED.items()}
    assert sizes.pop("mcp") == sizes["memos"]  # it speaks too
    assert sizes.pop("memos") == "${self:custom.chosen.speaking.memorySize}"  # at least 512: deploy.check_template
    assert sizes.pop("speaker") == "${self:custom.chosen.speaking.speakerMemorySize}"
    assert all(size >= 512 for size in sizes.values())
    assert CONFIGURATION["provider"]["timeout"] < 30


def test_every_setting_reaches_the_functions() -> None:
    core = Path(__file__).parents[2] / "shared" / "core"
    settings = (core / "settings.py").read_text() + (core / "speech_settings.py").read_text()
    settings += (core / "mail_settings.py").read_text() + (core / "billing_settings.py").read_text()
    settings += "".join(f'"{secret}{SUFFIX}"' for secret in SECRETS)
    settings += "".join(f'"{limit.name.upper()}"' for limit in fields(AttemptLimits))
    local_only = {"AGENT_TALK_MEMORY_FILE", "AWS_LAMBDA_FUNCTION_NAME", "IS_LOCAL"}
    local_only |= {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"}  # the runtime's
    declared = set(CONFIGURATION["provider"]["environment"])
    assert {name for name in declared if f'"{name}"' not in settings} == set()
    assert {word for word in _variables(settings) if word not in declared | local_only} == set()


def _variables(text: str) -> set[str]:
    """Return the quoted words of a module that look like environment variables."""
    words = text.replace("'", '"').split('"')[1::2]
    return {word for word in words if "_" in word and word.isupper() and word.isidentifier()}


def test_variables_are_plain_when_invoked_locally() -> None:
    """`osls invoke local` refuses `Fn::If` in a variable, so locally the bucket is the environment's or none."""
    environment, custom = CONFIGURATION["provider"]["environment"], CONFIGURATION["custom"]
    assert [name for name, value in environment.items() if not isinstance(value, str)] == []
    assert environment["AUDIO_BUCKET"] == "${self:custom.bucketWhenLocal.${env:IS_LOCAL, 'false'}}"
    assert custom["bucketWhenLocal"]["true"] == "${self:custom.audioBucket}"
    assert "Fn::If" in custom["bucketWhenLocal"]["false"]
