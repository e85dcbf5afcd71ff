"""The texts for models about a tool's arguments and errors."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from handlers.mcp_protocol.content import TextBlock
from handlers.mcp_protocol.methods import TOOLS
from handlers.mcp_protocol.revisions import Revision
from handlers.mcp_protocol.tools import SOON_S, failure
from shared.core.errors import ServiceUnavailable
from tests.handlers.mcp_client import call, error_of, text_of
from tests.handlers.world import Account, World

TITLED: Final = ("title", "description")


def keys_of(schema: Any) -> Iterator[str]:
    """Yield the keywords of a schema and of the schemas in it; of `properties` and `$defs` the keys are names."""
    if isinstance(schema, list):
        for part in schema:
            yield from keys_of(part)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key in {"properties", "$defs"}:
                yield from keys_of([*value.values()])
            else:
                yield key
                yield from keys_of(value)


@pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))
def test_schemas_have_no_word_that_a_model_pays_for(tool: Any) -> None:
    """Schemas have neither Pydantic's titles nor our docstrings: only fields have descriptions."""
    described = tool.described(Revision.OF_JULY_2026)
    for schema in (described["inputSchema"], described["outputSchema"]):
        assert "title" not in set(keys_of(schema))
        assert not [part for part in (schema, *schema.get("$defs", {}).values()) if "description" in part]


def test_unknown_arguments_are_refused_by_name(world: World, ada: Account) -> None:
    """The refusal lists the tool's arguments, or states that the tool has none."""
    some = call(world, ada.key, "get_memo", id="a", memoId="a")
    assert error_of(some) == "VALIDATION_ERROR"
    assert "Unknown argument: memoId. This tool's arguments: id, includeAudio" in text_of(some)
    assert "validOptions: id, includeAudio" in text_of(some)
    none = call(world, ada.key, "list_voices", language="en")
    assert error_of(none) == "VALIDATION_ERROR"
    assert "Unknown argument: language. This tool's arguments: none" in text_of(none)
    assert "validOptions" not in text_of(none)


@pytest.mark.parametrize(("wait_s", "waits"), [(1, True), (SOON_S, True), (SOON_S + 1, False)])
def test_model_is_to_wait_if_the_wait_is_short(wait_s: int, waits: bool) -> None:  # noqa: FBT001 a parameter
    """Only up to SOON_S seconds does the text ask the model to wait."""
    (block,) = failure(ServiceUnavailable(retry_after_s=wait_s)).blocks
    assert isinstance(block, TextBlock)
    assert (f"Wait {wait_s} seconds" in block.text) is waits
