"""The common promises of all Pydantic models of the product."""

from collections.abc import Iterator

from pydantic import BaseModel

from handlers.mcp_protocol.tools import Arguments
from handlers.models.base import Answer, Body
from shared.tables.model import RowModel
from tools.local import FUNCTIONS


def models() -> list[type[BaseModel]]:
    """Return the four bases, and all of their subclasses in the imported functions."""
    assert FUNCTIONS, "importing them makes the models"
    return [model for base in (RowModel, Body, Answer, Arguments) for model in of_base(base)]


def of_base(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield base
    for model in base.__subclasses__():
        yield from of_base(model)


def test_models_are_frozen_and_keep_what_was_given_out_of_errors() -> None:
    """A validation error may be logged: a text, a password or a secret must not be in it."""
    for model in models():
        assert (model.model_config["frozen"], model.model_config["hide_input_in_errors"]) == (True, True), model


def test_answers_have_every_field_under_its_public_name() -> None:
    """Public names are in camelCase. Models are made from rows by either name."""
    for answer in of_base(Answer):
        config = answer.model_config
        assert config["serialize_by_alias"], answer
        assert config["validate_by_name"], answer
        assert config["from_attributes"], answer
