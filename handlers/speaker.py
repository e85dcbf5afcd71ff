"""Long memos: SQS hands over the id of one, and the function says it, or the rest of it."""

import json
import logging
from collections.abc import Callable

from shared.audio.files import AudioPlaceFailed
from shared.jobs.queue import QueueFailed
from shared.memos.speaking import STOPPED
from shared.services import Services
from shared.stores.port import StoreError
from shared.web.queue_function import QueueFunction, Record

_log = logging.getLogger("agent_talk.speaker")


async def say(services: Services, record: Record, time_left_s: Callable[[], float]) -> None:
    """Say the memo of a message `{"memoId": "019c…"}`. If the time does not suffice, queue it again."""
    memo_id: str = json.loads(record["body"])["memoId"]
    tries = int(record["attributes"]["ApproximateReceiveCount"])
    if not await services.speaker.say(memo_id, tries, time_left_s=time_left_s):
        await services.queue.send(memo_id)


async def send_stopped(services: Services) -> None:
    """Queue memos again whose worker stopped, once a container. Costs one read if their list is short."""
    try:
        await services.speaker.send_stopped(services.queue, idle=STOPPED)
    except (StoreError, AudioPlaceFailed, QueueFailed):
        _log.exception("the list of long memos was not looked through: the next container does it")


handler = QueueFunction(say, begin=send_stopped)
