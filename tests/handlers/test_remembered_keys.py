"""A key whose owner the container remembers is still checked: its check decides before every other answer."""

import pytest

from tests.handlers.world import Account, World

MEMO = "/api/v1/memo"
SAY = {"text": "Hello", "voice": "sam"}


def used_key(world: World, ada: Account) -> tuple[str, str]:
    """Return the id and the secret of a key that the functions remember."""
    key_id, key = world.new_key(ada)
    world.memo(key)
    for path in ("/api/v1/memos", "/api/v1/usage"):
        assert world.get(path, token=key).status == 200
    return key_id, key


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", MEMO, SAY),
        ("POST", MEMO, {"text": ""}),
        ("POST", MEMO, {"text": "x" * 5001, "voice": "sam"}),
        ("POST", "/v1/audio/speech", {"model": "tts-1", "input": "Hello", "voice": "sam"}),
        ("POST", "/v1/audio/speech", {"model": "tts-1"}),
        ("GET", "/v1/models", None),
        ("GET", "/api/v1/memos", None),
        ("GET", "/api/v1/memos?limit=0", None),
        ("GET", "/api/v1/memos?cursor=forged", None),
        ("GET", "/api/v1/usage", None),
        ("GET", "/api/v1/usage?action=nonsense", None),
    ],
)
def test_a_revoked_key_is_refused_before_anything_else(
    world: World, ada: Account, method: str, path: str, body: dict[str, str] | None
) -> None:
    """Valid or not, the request is answered 403, and spends nothing."""
    key_id, key = used_key(world, ada)
    assert world.delete(f"/api/keys/{key_id}", token=ada.session).status == 200
    path, _, query = path.partition("?")
    pairs = [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&")) if name]
    for _ in range(2):
        assert world.send(method, path, json=body, query=pairs, token=key).refusal[:2] == (403, "REVOKED_KEY")
    assert world.get("/api/v1/usage/limits", token=ada.session).json["daily"]["used"] == 1
    assert len(world.get("/api/v1/memos", token=ada.session).json["memos"]) == 1


def test_an_expired_key_is_refused_when_it_is_remembered(world: World, ada: Account) -> None:
    """A key is refused from its end on, also in a container that remembers it."""
    _, key = world.new_key(ada, expiresAt="2026-03-02T13:00:00Z")
    world.memo(key)
    world.later(hours=1)
    assert world.post(MEMO, token=key, json=SAY).refusal == (401, "INVALID_API_KEY", "API key has expired")
    assert world.get("/api/v1/usage/limits", token=ada.session).json["daily"]["used"] == 1


def test_an_outage_of_the_check_is_an_outage(world: World, ada: Account) -> None:
    """Without an answer to the check nothing is answered from memory; then the key works as before."""
    _, key = used_key(world, ada)
    world.is_down = True
    for method, path in (("POST", MEMO), ("GET", "/api/v1/memos"), ("GET", "/api/v1/usage")):
        assert world.send(method, path, json=SAY if method == "POST" else None, token=key).status == 503
    world.is_down = False
    world.memo(key)
