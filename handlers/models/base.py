"""Base models of requests and answers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic.alias_generators import to_camel


class Body(BaseModel):
    """A request's JSON object. Unknown fields are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, strict=True, hide_input_in_errors=True)


def example(fields: dict[str, JsonValue]) -> ConfigDict:
    """Return a model's configuration with an example. The documentation page offers it for sending."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Answer(BaseModel):
    """An answer's JSON object: every field is present, in camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        frozen=True,
        from_attributes=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,
    )


class Success(Answer):
    success: Literal[True]


class Message(Success):
    message: str
