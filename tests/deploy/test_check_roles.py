"""The check of the templates finds a role that permits more, or less, than its function needs."""

import copy
from typing import Any

import pytest

from deploy.check_roles import DYNAMODB, check_network, check_role, check_secrets
from deploy.template import TemplateFault

TABLE = {"Fn::Sub": f"{DYNAMODB}rows"}


def items(keys: list[str], *actions: str) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": [f"dynamodb:{action}" for action in actions],
        "Resource": TABLE,
        "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys}},
    }


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"PolicyDocument": {"Version": "2012-10-17", "Statement": list(statements)}}


NEEDED = (
    items(["users#*", "subscriptions#*", "stripe_ids#*"], "GetItem", "PutItem"),
    items(["usage_logs#*"], "PutItem"),
    items(["counter#*"], "UpdateItem"),
)


@pytest.fixture
def template() -> dict[str, Any]:
    """Return the correct role of `subscriptions` on DynamoDB."""
    log = {"Fn::GetAtt": ["SubscriptionsLogGroup", "Arn"]}
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    verify = ["dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"]
    role = {
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
        "ManagedPolicyArns": [{"Ref": "SessionSecretPolicy"}],
        "Policies": [
            policy({"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": log}),
            policy(
                {"Effect": "Allow", "Action": verify, "Resource": TABLE},
                *copy.deepcopy(NEEDED),
            ),
        ],
    }
    parameter = {"Fn::Sub": "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/a/secret"}
    secret = policy({"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": parameter})
    return {"Resources": {"SubscriptionsRole": {"Properties": role}, "SessionSecretPolicy": {"Properties": secret}}}


def rows(template: dict[str, Any]) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = template["Resources"]["SubscriptionsRole"]["Properties"]["Policies"][1][
        "PolicyDocument"
    ]["Statement"]
    return statements


def test_check_role_accepts_what_the_function_needs(template: dict[str, Any]) -> None:
    """One statement for two tables, or one for each: only the permissions count."""
    check_role(template, "subscriptions", table="rows")
    apart = [items([f"{name}#*"], "GetItem", "PutItem") for name in ("users", "subscriptions", "stripe_ids")]
    rows(template)[1:] = [*apart, *copy.deepcopy(NEEDED[1:])]
    check_role(template, "subscriptions", table="rows")


@pytest.mark.parametrize(
    "statement",
    [
        items(["users#*"], "DeleteItem"),
        items(["memos#*"], "GetItem"),
        items(["*"], "GetItem"),
        {key: value for key, value in items([], "Scan").items() if key != "Condition"},
        items(["users#*"], "GetItem") | {"Resource": "*"},
    ],
    ids=["a verb more", "a table more", "every table", "no condition", "every DynamoDB table"],
)
def test_check_role_refuses_a_statement_more(template: dict[str, Any], statement: dict[str, Any]) -> None:
    """Another verb, another table, or a statement that is bound to no table fails the check."""
    rows(template).append(copy.deepcopy(statement))
    with pytest.raises(TemplateFault, match="subscriptions may"):
        check_role(template, "subscriptions", table="rows")


def test_check_role_refuses_a_statement_less(template: dict[str, Any]) -> None:
    """A missing permission would show as 503 in an AWS account, and in no other test."""
    del rows(template)[2]
    with pytest.raises(TemplateFault, match=r"needs \{'PutItem'\}"):
        check_role(template, "subscriptions", table="rows")


def test_check_role_refuses_rows_without_a_table(template: dict[str, Any]) -> None:
    """Unless DynamoDB is the store, no role names it."""
    with pytest.raises(TemplateFault, match="uses no table"):
        check_role(template, "subscriptions", table="")


def test_check_secrets_refuses_another_parameter(template: dict[str, Any]) -> None:
    """A policy reads the one parameter that the stage names; a path or another name fails the check."""
    check_secrets(template, {"SessionSecretPolicy": "/a/secret"})
    with pytest.raises(TemplateFault, match="SessionSecretPolicy"):
        check_secrets(template, {"SessionSecretPolicy": "/a/*"})
    with pytest.raises(TemplateFault, match="MicroKeyPolicy"):
        check_secrets(template, {"SessionSecretPolicy": "/a/secret", "MicroKeyPolicy": "/a/key"})


def test_check_secrets_takes_a_policy_of_several(template: dict[str, Any]) -> None:
    """Stripe's four have one policy; one that reads a parameter more or less fails the check."""
    begin = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter"
    named = [{"Fn::Sub": f"{begin}/stripe/{name}"} for name in ("key", "secret")]
    statement = {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": named}
    template["Resources"]["StripePolicy"] = {"Properties": policy(statement)}
    check_secrets(template, {"SessionSecretPolicy": "/a/secret", "StripePolicy": ("/stripe/key", "/stripe/secret")})
    with pytest.raises(TemplateFault, match="StripePolicy"):
        check_secrets(template, {"SessionSecretPolicy": "/a/secret", "StripePolicy": ("/stripe/key",)})


def test_check_network_wants_the_functions_code_denied(template: dict[str, Any]) -> None:
    """Rights to make network interfaces are Lambda's; a policy that does not deny them to code fails the check."""
    allow = {"Effect": "Allow", "Action": "ec2:CreateNetworkInterface", "Resource": "*"}
    template["Resources"]["NetworkPolicy"] = {"Properties": policy(allow)}
    with pytest.raises(TemplateFault, match="in the VPC"):
        check_network(template, "production")
