"""Compare the permissions of a packaged template's roles with the needs of the functions: `deploy/permissions.py`.

Each function has its own role, which may write its own log group, read the secrets that the stage names, and use the
verbs of the function's routes on the rows of each table, and nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from deploy.permissions import AUDIO, DESCRIBE, MAILERS, PERMITTED, QUEUE, SPEAKERS
from deploy.template import TemplateFault

LOG: Final = ("logs:CreateLogStream", "logs:PutLogEvents")
PARAMETER: Final = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter"
DYNAMODB: Final = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/"
SES: Final = "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:*"
BUCKET: Final = "arn:${AWS::Partition}:s3:::${Bucket}"
FUNCTIONS: Final = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:agent-talk-"
INTERFACES: Final = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""The actions that Lambda needs in the role of a function in a VPC."""

_BY_LAMBDA: Final = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


SECRET_POLICIES: Final = (
    "SessionSecretPolicy",
    "MicroKeyPolicy",
    "AppSlugPolicy",
    "ElevenLabsKeyPolicy",
    "OpenAiKeyPolicy",
    "SmtpPasswordPolicy",
    "StripePolicy",
)
"""The policies of secrets. Each reads one; the last reads several, since a role takes ten managed policies."""


def check_role(
    template: Mapping[str, Any],
    function: str,
    *,
    table: str,
    bucket: Any = None,
    polly: bool = False,
    mails_as: str = "",
) -> None:
    """Check the role of a function. Raises TemplateFault.

    `table` is empty if no function uses DynamoDB; `bucket` is the audio bucket as the template names it, None: there
    is none; `polly`: a tier speaks by it; `mails_as`: the address that SES sends from.
    """
    resources, logical = template["Resources"], function.capitalize()
    role = dict(resources[f"{logical}Role"]["Properties"])
    policies, shared = role.pop("Policies"), role.pop("ManagedPolicyArns")
    if role != {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [_BY_LAMBDA]}}:
        raise TemplateFault(f"{function}'s role may be taken by others, or has more than policies: {role}")
    made = [{"Ref": name} for name in (*SECRET_POLICIES, "NetworkPolicy") if name in resources]
    if shared != made:
        raise TemplateFault(f"{function}'s role has the policies {shared}, and needs {made}")
    speech = [policy for policy in policies if policy.get("PolicyName") in ("audio", "polly", "queue")]
    mail = [policy for policy in policies if policy.get("PolicyName") == "mail"]
    log, rows = (
        _statements(policies[0]),
        [found for policy in policies[1:] if policy not in speech + mail for found in _statements(policy)],
    )
    _check_speech(function, [found for policy in speech for found in _statements(policy)], bucket=bucket, polly=polly)
    _check_mail(function, [found for policy in mail for found in _statements(policy)], mails_as=mails_as)
    if log != [_allowed(LOG, {"Fn::GetAtt": [f"{logical}LogGroup", "Arn"]})]:
        raise TemplateFault(f"{function} may write more than its own log: {log}")
    _check_rows(function, rows, table=table)


def check_secrets(template: Mapping[str, Any], parameters: Mapping[str, str | Sequence[str]]) -> None:
    """Check the policies of secrets. `parameters` are the secrets' names by policy. Raises TemplateFault."""
    for policy in SECRET_POLICIES:
        may = _statements(template["Resources"][policy]["Properties"]) if policy in template["Resources"] else []
        needs = [_allowed(["ssm:GetParameters"], _parameters(parameters[policy]))] if policy in parameters else []
        if may != needs:
            raise TemplateFault(f"{policy} allows {may}, and should {needs}")


def check_network(template: Mapping[str, Any], stage: str) -> None:
    """Check that code in a VPC has none of the rights that Lambda needs to attach it. Raises TemplateFault."""
    if "NetworkPolicy" not in template["Resources"]:
        return
    allowed = _allowed(INTERFACES, "*")
    source = {"ArnLike": {"lambda:SourceFunctionArn": {"Fn::Sub": f"{FUNCTIONS}{stage}-*"}}}
    may = _statements(template["Resources"]["NetworkPolicy"]["Properties"])
    if may != [allowed, {**allowed, "Effect": "Deny", "Condition": source}]:
        raise TemplateFault(f"functions in the VPC may do {may}")


def _check_speech(function: str, statements: list[dict[str, Any]], *, bucket: Any, polly: bool) -> None:
    needs = []
    if bucket is not None:
        needs = [
            _allowed([f"s3:{action}" for action in actions.split()], _objects(bucket, below))
            for below, actions in AUDIO.get(function, {}).items()
        ]
    if function in QUEUE:
        arn = {"Fn::GetAtt": ["LongMemos", "Arn"]}
        needs.append(_allowed([f"sqs:{action}" for action in QUEUE[function].split()], arn))
    if polly and function in SPEAKERS:
        needs.append(_allowed(["polly:SynthesizeSpeech"], "*"))
    if sorted(statements, key=repr) != sorted(needs, key=repr):
        raise TemplateFault(f"{function} may do {statements} with audio and speech, and needs {needs}")


def _objects(bucket: Any, below: Sequence[str]) -> Any:
    """Return the resource of a statement in the template's form: one, or a list of several."""
    resources = [{"Fn::Sub": [f"{BUCKET}{part}", {"Bucket": bucket}]} for part in below]
    return resources if len(resources) > 1 else resources[0]


def _check_mail(function: str, statements: list[dict[str, Any]], *, mails_as: str) -> None:
    condition = {"StringEquals": {"ses:FromAddress": mails_as}}
    needs = [_allowed(["ses:SendEmail", "ses:SendRawEmail"], {"Fn::Sub": SES}) | {"Condition": condition}]
    if statements != (needs if mails_as and function in MAILERS else []):
        raise TemplateFault(f"{function} may do {statements} with mail")


def _check_rows(function: str, statements: list[dict[str, Any]], *, table: str) -> None:
    if not table:
        if statements:
            raise TemplateFault(f"{function} uses no table, and may do {statements}")
        return
    resource = {"Fn::Sub": DYNAMODB + table}
    verify, *items = statements
    if verify != _allowed([f"dynamodb:{action}" for action in DESCRIBE], resource):
        raise TemplateFault(f"{function} does not verify the table, or does more: {verify}")
    may: dict[str, set[str]] = {}
    for statement in items:
        condition = statement.pop("Condition", None)
        actions = statement["Action"]
        match condition:
            case {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": list(keys)}} if len(condition) == 1:
                pass
            case _:
                raise TemplateFault(f"{function} may {actions} in all tables")
        if statement != _allowed(actions, resource):
            raise TemplateFault(f"{function} may do {statement}")
        for key in keys:
            may.setdefault(key, set()).update(action.removeprefix("dynamodb:") for action in actions)
    needs = {f"{name}#*": set(actions.split()) for name, actions in PERMITTED[function].items()}
    for key in sorted(may.keys() | needs.keys()):
        if may.get(key) != needs.get(key):
            raise TemplateFault(f"{function} may do {may.get(key)} with {key}, and needs {needs.get(key)}")


def _parameters(names: str | Sequence[str]) -> Any:
    """Return the resource of a statement that reads one parameter, or several."""
    return {"Fn::Sub": PARAMETER + names} if isinstance(names, str) else [_parameters(name) for name in names]


def _allowed(actions: Iterable[str], resource: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": sorted(actions), "Resource": resource}


def _statements(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the statements of a policy, with the actions of each as a sorted list."""
    read = []
    for statement in policy["PolicyDocument"]["Statement"]:
        actions = statement["Action"]
        read.append({**statement, "Action": sorted([actions] if isinstance(actions, str) else actions)})
    return read
