"""A tool: its description for a model, and its call."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from handlers.mcp_protocol.content import TextBlock, ToolAnswer
from handlers.mcp_protocol.revisions import Revision
from handlers.models.base import Answer
from shared.core.errors import AgentTalkError, ScopeMissing, ValidationFailed
from shared.services import Services
from shared.tables.issued_keys import IssuedKey, Scope
from shared.web.error_answers import refusal


class Arguments(BaseModel):
    """A tool's arguments. Unknown ones are refused: a misspelt `idempotencyKey` would have no effect."""

    model_config = ConfigDict(
        alias_generator=to_camel, frozen=True, strict=True, extra="forbid", hide_input_in_errors=True
    )


A = TypeVar("A", bound=Arguments)


class Hints(Answer):
    """The facts of a tool that a client may show its user before a call."""

    title: str
    read_only_hint: bool
    destructive_hint: bool
    idempotent_hint: bool
    open_world_hint: bool


@dataclass(frozen=True, kw_only=True)
class ToolCall(Generic[A]):
    arguments: A
    key: IssuedKey
    services: Services


@dataclass(frozen=True, kw_only=True)
class Tool(Generic[A]):
    """One tool. `scope` of None: any API key may call it."""

    name: str
    title: str
    description: str
    takes: type[A]
    returns: type[Answer]
    scope: Scope | None
    call: Callable[[ToolCall[A]], Awaitable[ToolAnswer]]
    is_read_only: bool = True
    is_destructive: bool = False
    is_idempotent: bool = True

    def may_be_called_by(self, key: IssuedKey) -> bool:
        return self.scope is None or key.may(self.scope)

    async def answer(self, arguments: Mapping[str, Any], key: IssuedKey, services: Services) -> ToolAnswer:
        """Call the tool. Raises ScopeMissing first, then the errors of the arguments, then those of the call."""
        if self.scope is not None and not key.may(self.scope):
            raise ScopeMissing(self.scope)
        try:
            taken = self.takes.model_validate(dict(arguments))
        except ValidationError as exc:
            raise self._refused(exc) from None  # its text may repeat the arguments
        return await self.call(ToolCall(arguments=taken, key=key, services=services))

    def described(self, revision: Revision) -> dict[str, Any]:
        """Return the tool's entry in the result of `tools/list`."""
        hints = Hints(
            title=self.title,
            read_only_hint=self.is_read_only,
            destructive_hint=self.is_destructive,
            idempotent_hint=self.is_idempotent,
            open_world_hint=False,
        )
        described = {
            "name": self.name,
            "description": self.description,
            "inputSchema": _schema(self.takes, mode="validation"),
            "annotations": hints.model_dump(),
        }
        if revision.has_structure:
            described |= {"title": self.title, "outputSchema": _schema(self.returns, mode="serialization")}
        return described

    def _refused(self, exc: ValidationError) -> AgentTalkError:
        """Return our error for the first of Pydantic's."""
        errors = exc.errors()
        if errors[0]["type"] == "extra_forbidden":
            options = list(_schema(self.takes, mode="validation").get("properties", {}))
            field = str(errors[0]["loc"][-1])
            known = ", ".join(options) or "none"
            details = {"field": field} | ({"validOptions": options} if options else {})
            return ValidationFailed(f"Unknown argument: {field}. This tool's arguments: {known}", details=details)
        return refusal(errors)


class _PlainSchema(GenerateJsonSchema):
    """Schemas without the titles that Pydantic derives from names: each word costs a model tokens."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 equal for all fields
        return False


@cache
def _schema(model: type[BaseModel], *, mode: JsonSchemaMode) -> dict[str, Any]:
    """Return a model's schema. Building all of them takes 10 ms, at a container's first list of tools."""
    schema = model.model_json_schema(mode=mode, schema_generator=_PlainSchema)
    for part in (schema, *schema.get("$defs", {}).values()):
        part.pop("title", None)
        part.pop("description", None)  # a docstring, which is for developers
    return schema


ADVICE: Final[Mapping[str, str]] = {
    "MISSING_FIELD": "Call again with this argument.",
    "INVALID_INPUT": "Call again with a value of the expected type.",
    "INVALID_VOICE": "Call again with one of availableVoices. list_voices describes them.",
    "VALIDATION_ERROR": "Correct this argument before you call again: the same call fails again.",
    "REVOKED_KEY": "Do not call again: this API key never works again. Ask the user for another one.",
    "FORBIDDEN": "Do not call this tool again: ask the user for an API key with the scope requiredScope.",
    "MEMO_NOT_FOUND": "Look for the id with list_memos. The memo may have been deleted.",
    "CONFLICT": "An idempotencyKey belongs to one memo: choose a new one for another text, voice or title.",
    "DAILY_LIMIT_EXCEEDED": "Do not call again before resetAt. Tell the user. get_usage shows the limits.",
    "MONTHLY_LIMIT_EXCEEDED": "Do not call again before resetAt. Tell the user. get_usage shows the limits.",
    "TTS_SERVICE_ERROR": "No memo was made and nothing was charged. Call again with the same arguments.",
    "STORAGE_ERROR": "Nothing was charged. Call again with the same arguments.",
    "SERVICE_UNAVAILABLE": "Call again with the same arguments, the same idempotencyKey included.",
}
"""The advice to a model, by the code of an error."""

SOON_S: Final = 60
"""The most seconds that a model is advised to wait. If the wait is longer, it should do something else."""


def failure(error: AgentTalkError) -> ToolAnswer:
    """Return an error for a model to read. It has code, message, advice, and the envelope's details, a line each."""
    advice = ADVICE.get(error.code, "Tell the user if it happens again.")
    wait = error.headers.get("Retry-After")
    if wait is not None and int(wait) <= SOON_S:
        advice = f"Wait {wait} seconds, then call again with the same arguments, the same idempotencyKey included."
    details = "".join(f"\n{name}: {_shown(value)}" for name, value in error.details.items())
    return ToolAnswer(blocks=(TextBlock(text=f"{error.code}: {error.message}\n{advice}{details}"),))


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
