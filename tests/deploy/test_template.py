"""A packaged template is read as the resources of its stack."""

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.template import TemplateFault, of_type, read

TEMPLATE: dict[str, Any] = {
    "Conditions": {
        "Chosen": {"Fn::Equals": ["micro", "micro"]},
        "Other": {"Fn::Not": [{"Condition": "Chosen"}]},
    },
    "Resources": {
        "Made": {
            "Type": "A",
            "Properties": {
                "One": {"Fn::If": ["Chosen", {"Fn::If": ["Other", 1, [2, {"Ref": "AWS::NoValue"}]]}, 3]},
                "None": {"Fn::If": ["Other", 1, {"Ref": "AWS::NoValue"}]},
            },
        },
        "NotMade": {"Type": "A", "Condition": "Other", "Properties": {}},
    },
}


def test_read_decides_every_condition(tmp_path: Path) -> None:
    """Resources that are not made are left out, and so are properties without a value."""
    (tmp_path / "template.json").write_text(json.dumps(TEMPLATE))
    assert of_type(read(tmp_path / "template.json"), "A") == [{"One": [2]}]


def test_read_refuses_a_condition_that_it_does_not_know(tmp_path: Path) -> None:
    """A check of a stack's resources must not guess."""
    unknown = {**TEMPLATE, "Conditions": {"Other": {"Fn::Contains": [[1], 1]}, "Chosen": {"Fn::Equals": [1, 1]}}}
    (tmp_path / "template.json").write_text(json.dumps(unknown))
    with pytest.raises(TemplateFault, match="not a condition"):
        read(tmp_path / "template.json")
