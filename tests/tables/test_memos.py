"""A memo's audio, from its row."""

import pytest

from shared.tables.memos import AudioStatus, Ended, Memo
from tests.support import IDS, NOON

ESTIMATE = 9.0


@pytest.mark.parametrize(
    ("is_long", "ended", "status", "seconds"),
    [
        (False, None, AudioStatus.READY, ESTIMATE),
        (True, None, AudioStatus.PROCESSING, ESTIMATE),
        (True, Ended(seconds=1.5), AudioStatus.READY, 1.5),
        (True, Ended(seconds=None), AudioStatus.FAILED, ESTIMATE),
    ],
)
def test_memo_is_ready_once_its_audio_is(
    ended: Ended | None, status: AudioStatus, seconds: float, *, is_long: bool
) -> None:
    """A quick memo is ready immediately, a long one once its outcome is audio. Its length is an estimate until then."""
    memo = Memo(
        id=IDS.mint(NOON),
        user_id="u",
        text="Hello",
        audio_url="/audio/a.mp3",
        duration_seconds=ESTIMATE,
        voice="adam",
        character_count=5,
        title=None,
        created_at=NOON,
        is_long=is_long,
        ended=ended,
    )
    assert (memo.status, memo.audio_seconds) == (status, seconds)
