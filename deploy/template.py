"""Read a packaged CloudFormation template, with its conditions decided."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_NOTHING: Final = {"Ref": "AWS::NoValue"}


class TemplateFault(Exception):
    """A fault of a template, as a sentence."""


def read(path: Path) -> dict[str, Any]:
    """Return the template with every condition decided: resources that would be made, and one side of each `Fn::If`.

    A condition is constant in a packaged template, since the deployment's choices are written into it.
    Raises TemplateFault for a condition of a form that no template of ours has.
    """
    template: dict[str, Any] = json.loads(path.read_text())
    conditions = template.get("Conditions", {})
    resources = {
        name: _decided(conditions, resource)
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or holds(conditions, {"Condition": resource["Condition"]})
    }
    return {**template, "Resources": resources}


def holds(conditions: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    """Return whether a condition is true. Raises TemplateFault for a function that no template of ours has."""
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
    """Return the properties of all resources of a type."""
    return [resource["Properties"] for resource in template["Resources"].values() if resource["Type"] == kind]


def _decided(conditions: Mapping[str, Any], value: Any) -> Any:
    match value:
        case {"Fn::If": [name, one, other]}:
            return _decided(conditions, one if holds(conditions, {"Condition": name}) else other)
        case dict():
            decided = {name: _decided(conditions, part) for name, part in value.items()}
            return {name: part for name, part in decided.items() if part != _NOTHING}
        case list():
            return [part for part in (_decided(conditions, part) for part in value) if part != _NOTHING]
    return value
