"""The tools of the Model Context Protocol, called by the official client."""

import base64
import json
from typing import Any, Final

import pytest
from mcp.types import AudioContent, ResourceLink, TextContent, Tool

from tests.handlers.conftest import NewWorld
from tests.handlers.mcp_client import REVISIONS, call, connected, error_of, text_of
from tests.handlers.world import Account, World

TOOLS: Final = ("create_memo", "list_voices", "list_memos", "get_memo", "delete_memo", "get_usage")

every_revision = pytest.mark.parametrize("revision", REVISIONS)


def tools_of(world: World, key: str, revision: str = REVISIONS[0]) -> list[Tool]:
    async def listed() -> list[Tool]:
        async with connected(world, key, revision) as client:
            return (await client.list_tools()).tools

    return world.run(listed())


@every_revision
def test_client_drives_every_tool(world: World, ada: Account, revision: str) -> None:
    """In each revision the official client makes, finds, reads and deletes a memo, and reads voices and limits.

    It checks structured results against the schemas that the server lists.
    """

    async def drive() -> None:
        async with connected(world, ada.key, revision) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == list(TOOLS)
            voices = json.loads(text_of(await client.call_tool("list_voices")))["voices"]
            said = {"text": "Hello there", "voice": voices[0]["id"], "title": "A greeting", "idempotencyKey": "one"}
            made = await client.call_tool("create_memo", said)
            assert not made.is_error
            listed = json.loads(text_of(await client.call_tool("list_memos")))["memos"]
            assert [memo["title"] for memo in listed] == ["A greeting"]
            memo_id = listed[0]["id"]
            assert memo_id in text_of(made)
            got = await client.call_tool("get_memo", {"id": memo_id})
            assert "Hello there" in text_of(got)
            usage = json.loads(text_of(await client.call_tool("get_usage")))
            assert usage["daily"]["used"] == 1
            assert not (await client.call_tool("delete_memo", {"id": memo_id})).is_error
            assert error_of(await client.call_tool("get_memo", {"id": memo_id})) == "MEMO_NOT_FOUND"

    world.run(drive())
    assert world.get("/api/v1/memos", token=ada.session).json["memos"] == []


def test_create_memo_answers_what_http_answers(world: World, ada: Account) -> None:
    """The structured result is the memo of the HTTP API, with the rest of the day's limit."""
    made = call(world, ada.key, "create_memo", text="Hello there", voice="Rachel").structured_content
    assert made is not None
    today, replayed = made.pop("today"), made.pop("replayed")
    assert made == world.get(f"/api/v1/memo/{made['id']}", token=ada.key).json
    assert today == world.get("/api/v1/usage/limits", token=ada.key).json["daily"]
    assert replayed is False


def test_create_memo_links_to_the_audio(world: World, ada: Account) -> None:
    """The link has the audio's URL, media type, length in bytes, and duration."""
    made = call(world, ada.key, "create_memo", text="Hello there", voice="rachel", title="Greeting")
    text, link = made.content
    assert isinstance(link, ResourceLink)
    audio = world.get(link.uri.removeprefix("https://api.example.org"))
    assert (link.mime_type, link.size) == (audio.headers["content-type"], len(audio.body))
    assert link.title == "Greeting"
    assert link.meta == {"durationSeconds": made.structured_content["audio"]["duration"]}
    assert link.uri in text.text  # type: ignore[union-attr]


def test_create_memo_includes_audio_when_asked(world: World, ada: Account) -> None:
    """The bytes are those that the URL serves."""
    made = call(world, ada.key, "create_memo", text="Hello there", voice="rachel", includeAudio=True)
    link, audio = made.content[1:]
    assert isinstance(link, ResourceLink)
    assert isinstance(audio, AudioContent)
    assert base64.b64decode(audio.data) == world.get(link.uri.removeprefix("https://api.example.org")).body
    assert audio.mime_type == "audio/mpeg"


def test_create_memo_leaves_out_audio_of_100_kb(world: World, ada: Account) -> None:
    """The link stays, and the answer states why the bytes are missing: a WAV of 2.1 s has more."""
    said = {"text": "a" * 27, "voice": "rachel", "format": "wav", "includeAudio": True}
    link, told = call(world, ada.key, "create_memo", **said).content[1:]
    assert isinstance(link, ResourceLink)
    assert link.size is not None
    assert link.size > 100_000
    assert isinstance(told, TextContent)
    assert "not included" in told.text


@every_revision
def test_create_memo_replays_its_key(world: World, ada: Account, revision: str) -> None:
    """A second call with the same idempotencyKey answers the first memo, and is not charged."""
    said = {"text": "Hello there", "voice": "rachel", "idempotencyKey": "one"}
    first = call(world, ada.key, "create_memo", revision, **said)
    again = call(world, ada.key, "create_memo", revision, **said)
    listed = world.get("/api/v1/memos", token=ada.key).json["memos"]
    assert [memo["id"] in text_of(first) and memo["id"] in text_of(again) for memo in listed] == [True]
    assert "not charged" in text_of(again)
    assert world.get("/api/v1/usage/limits", token=ada.key).json["daily"]["used"] == 1


def test_idempotency_keys_are_apart_from_the_headers(world: World, ada: Account) -> None:
    """The same name as the header Idempotency-Key names another memo."""
    said = {"text": "Hello there", "voice": "rachel"}
    by_http = world.post("/api/v1/memo", token=ada.key, json=said, headers={"idempotency-key": "one"}).json
    by_tool = call(world, ada.key, "create_memo", **said, idempotencyKey="one").structured_content
    assert by_tool is not None
    assert by_tool["id"] != by_http["id"]


def test_create_memo_refuses_a_used_key(world: World, ada: Account) -> None:
    """A key that was used for another text is a conflict, with the instruction to choose another."""
    call(world, ada.key, "create_memo", text="Hello there", voice="rachel", idempotencyKey="one")
    other = call(world, ada.key, "create_memo", text="Something else", voice="rachel", idempotencyKey="one")
    assert error_of(other) == "CONFLICT"
    assert "choose a new one" in text_of(other)


def test_list_memos_pages_and_cuts_texts(world: World, ada: Account) -> None:
    """The pages have every memo once, newest first; a long text is cut, and its length stays."""
    for number in range(5):
        world.memo(ada.key, text=f"{number} " + "word " * 100)
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = call(world, ada.key, "list_memos", limit=2, **cursor).structured_content
        assert page is not None
        found += page["memos"]
        if not page["hasMore"]:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert [memo["text"][0] for memo in found] == ["4", "3", "2", "1", "0"]
    assert {(len(memo["text"]), memo["characterCount"]) for memo in found} == {(200, 502)}


@pytest.mark.parametrize(("length", "shown"), [(200, "a" * 200), (201, "a" * 199 + "…")])
def test_list_memos_cuts_texts_of_more_than_200(world: World, ada: Account, length: int, shown: str) -> None:
    """A cut text ends with an ellipsis, so that a model sees that there is more."""
    world.memo(ada.key, text="a" * length)
    page = call(world, ada.key, "list_memos").structured_content
    assert page is not None
    assert [memo["text"] for memo in page["memos"]] == [shown]


def test_list_memos_filters(world: World, ada: Account) -> None:
    """It filters by voice and by day, as the HTTP API does."""
    world.memo(ada.key, voice="adam")
    world.later(days=1)
    world.memo(ada.key, voice="adam")
    world.memo(ada.key, voice="bella")
    for asked in (
        {"voice": "Adam"},
        {"from": "2026-03-03"},
        {"to": "2026-03-02"},
        {"voice": "adam", "from": "2026-03-03"},
    ):
        by_http = world.get("/api/v1/memos", token=ada.key, query=asked).json
        assert call(world, ada.key, "list_memos", **asked).structured_content == by_http, asked


def test_get_memo_tells_the_title_if_there_is_one(world: World, ada: Account) -> None:
    """A model gets the title and the complete text; an empty title is none."""
    for title, shown in (("Greeting", ["Title: Greeting"]), ("", []), (None, [])):
        made = call(world, ada.key, "create_memo", text="Hello there", voice="rachel", title=title).structured_content
        assert made is not None
        assert made["title"] == (title or None)
        _, *lines = text_of(call(world, ada.key, "get_memo", id=made["id"])).splitlines()
        assert lines == [*shown, "Text: Hello there"]


def test_list_memos_takes_empty_arguments_as_absent(world: World, ada: Account) -> None:
    """Models send empty arguments for omitted ones. A cursor from such a call is valid without them."""
    for _ in range(2):
        world.memo(ada.key)
    empty = {"voice": "", "from": "", "to": ""}
    page = call(world, ada.key, "list_memos", limit=1, cursor="", **empty).structured_content
    assert page is not None
    rest = call(world, ada.key, "list_memos", limit=1, cursor=page["nextCursor"]).structured_content
    assert rest is not None
    assert len({memo["id"] for memo in page["memos"] + rest["memos"]}) == 2


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [("voice", "adam", "bella"), ("from", "2026-03-01", "2026-03-02"), ("to", "2026-03-03", "2026-04-01")],
)
def test_list_memos_binds_its_cursor(
    world: World, ada: Account, bob: Account, name: str, value: str, other: str
) -> None:
    """The cursor is bound to each filter and to the owner: with any change it is refused by name."""
    for account in (ada, ada, bob, bob):
        world.memo(account.key, voice="adam")
    page = call(world, ada.key, "list_memos", limit=1, **{name: value}).structured_content
    assert page is not None
    at = {"limit": 1, "cursor": page["nextCursor"]}
    assert not call(world, ada.key, "list_memos", **at, **{name: value}).is_error
    for key, filters in ((ada.key, {}), (ada.key, {name: other}), (ada.key, {name: ""}), (bob.key, {name: value})):
        refused = call(world, key, "list_memos", **at, **filters)
        assert (error_of(refused), "cursor" in text_of(refused)) == ("VALIDATION_ERROR", True), filters


def test_a_foreign_memo_is_absent(world: World, ada: Account, bob: Account) -> None:
    """Another owner's memo answers as an absent one, byte for byte."""
    memo_id = world.memo(ada.key)["id"]
    foreign, absent = (text_of(call(world, bob.key, "get_memo", id=id_)) for id_ in (memo_id, memo_id[::-1]))
    assert foreign.replace(memo_id, "ID") == absent.replace(memo_id[::-1], "ID")
    assert error_of(call(world, bob.key, "delete_memo", id=memo_id)) == "MEMO_NOT_FOUND"


@pytest.mark.parametrize(
    ("scopes", "tools"),
    [
        (["memo:write"], ("create_memo", "list_voices", "delete_memo")),
        (["memo:read"], ("list_voices", "list_memos", "get_memo")),
        (["usage:read"], ("list_voices", "get_usage")),
    ],
)
def test_scopes_choose_the_listed_tools(world: World, ada: Account, scopes: list[str], tools: tuple[str, ...]) -> None:
    """The list has the tools that a key may call; any other one is refused with the name of its scope."""
    _, key = world.new_key(ada, scopes=scopes)
    assert tuple(tool.name for tool in tools_of(world, key)) == tools
    for tool in sorted(set(TOOLS) - set(tools)):
        refused = call(world, key, tool)
        assert error_of(refused) == "FORBIDDEN"
        assert "requiredScope: " in text_of(refused)


def test_every_tool_says_what_a_model_needs(world: World, ada: Account) -> None:
    """Each describes its cost, its arguments and its hints: one is destructive, one is not to be repeated."""
    tools = tools_of(world, ada.key)
    for tool in tools:
        assert tool.description is not None
        assert "ost" in tool.description, tool.name
        assert tool.output_schema is not None
        assert tool.input_schema["additionalProperties"] is False
        for name, schema in tool.input_schema.get("properties", {}).items():
            assert schema.get("description"), (tool.name, name)
        assert tool.annotations is not None
        assert tool.annotations.open_world_hint is False
    hints = {tool.name: tool.annotations for tool in tools}
    assert {name for name, hint in hints.items() if hint and not hint.read_only_hint} == {"create_memo", "delete_memo"}
    assert {name for name, hint in hints.items() if hint and hint.destructive_hint} == {"delete_memo"}
    assert {name for name, hint in hints.items() if hint and not hint.idempotent_hint} == {"create_memo"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ({"voice": "rachel"}, "MISSING_FIELD", "Missing required field: text"),
        ({"text": "", "voice": "rachel"}, "MISSING_FIELD", "text"),
        ({"text": "Hi", "voice": "nobody"}, "INVALID_VOICE", "availableVoices: rachel, domi"),
        ({"text": 5, "voice": "rachel"}, "INVALID_INPUT", "providedType: number"),
        ({"text": "Hi", "voice": "rachel", "idempotency_key": "a"}, "VALIDATION_ERROR", "idempotencyKey"),
        ({"text": "Hi", "voice": "rachel", "idempotencyKey": "a b"}, "VALIDATION_ERROR", "visible ASCII"),
        ({"text": "x" * 5001, "voice": "rachel"}, "VALIDATION_ERROR", "limit: 5000"),
        ({"text": "...", "voice": "rachel"}, "VALIDATION_ERROR", "Nothing in the text can be said"),
        ({"text": "Hi", "voice": "rachel", "format": "midi"}, "VALIDATION_ERROR", "validOptions: mp3"),
    ],
)
def test_wrong_arguments_are_tool_errors(world: World, ada: Account, arguments: Any, code: str, said: str) -> None:
    """They have the code of the HTTP API and a remedy, and charge nothing."""
    refused = call(world, ada.key, "create_memo", **arguments)
    assert error_of(refused) == code
    assert said in text_of(refused)
    assert "all again" in text_of(refused)
    assert world.get("/api/v1/usage/limits", token=ada.key).json["daily"]["used"] == 0


def test_a_spent_limit_is_a_tool_error(world: World, ada: Account) -> None:
    """The error contains the time of the next possible call, and get_usage agrees."""
    world.spend(ada, 100)
    refused = call(world, ada.key, "create_memo", text="Hello", voice="rachel")
    assert error_of(refused) == "DAILY_LIMIT_EXCEEDED"
    assert "Do not call again before resetAt" in text_of(refused)
    assert "resetAt: 2026-03-03T00:00:00.000Z" in text_of(refused)
    usage = call(world, ada.key, "get_usage").structured_content
    assert usage is not None
    assert usage["daily"]["remaining"] == 0


def test_a_revoked_key_is_a_tool_error(world: World, ada: Account) -> None:
    """If a key is revoked while a client is connected, the next call's error states that it is final."""

    async def revoked() -> str:
        async with connected(world, ada.key) as client:
            async with world.http("keys", ada.session) as http:
                assert (await http.delete(f"/api/keys/{ada.key_id}")).status_code == 200
            result = await client.call_tool("create_memo", {"text": "Hello", "voice": "rachel"})
            return text_of(result) if error_of(result) == "REVOKED_KEY" else ""

    assert "never works again" in world.run(revoked())


def test_an_outage_is_a_tool_error(world: World, ada: Account) -> None:
    """While the store is unavailable a call's error instructs to wait; afterwards the same call makes one memo."""

    async def outlived() -> list[str]:
        said = {"text": "Hello", "voice": "rachel", "idempotencyKey": "one"}
        async with connected(world, ada.key) as client:
            world.is_down = True
            failed = await client.call_tool("create_memo", said)
            world.is_down = False
            made = await client.call_tool("create_memo", said)
            return [error_of(failed), text_of(failed), text_of(made)]

    code, told, made = world.run(outlived())
    assert code == "SERVICE_UNAVAILABLE"
    assert "Wait 5 seconds, then call again with the same arguments" in told
    assert "is ready" in made
    assert world.get("/api/v1/usage/limits", token=ada.key).json["daily"]["used"] == 1


def test_an_outage_at_the_start_is_a_tool_error(new_world: NewWorld) -> None:
    """An outage at a container's start is a tool's error too."""
    world = new_world()
    ada = world.sign_up()
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_voices"}}
    world.is_down = True
    answer = world.post("/mcp", token=ada.key, json=message).json
    assert answer["result"]["isError"]
    assert answer["result"]["content"][0]["text"].startswith("SERVICE_UNAVAILABLE")


def test_test_keys_memos_are_not_charged(world: World, ada: Account) -> None:
    """A test key makes memos by a tool as by HTTP, within its own 1,000 a day."""
    _, key = world.new_key(ada, test=True)
    made = call(world, key, "create_memo", text="Hello", voice="rachel").structured_content
    assert made is not None
    assert (made["today"]["limit"], made["today"]["used"]) == (1000, 1)
    usage = call(world, key, "get_usage").structured_content
    assert usage is not None
    assert usage["daily"]["used"] == 0
