"""The queue that settings choose."""

from shared.core.speech_settings import SpeechSettings
from shared.jobs.process import ProcessQueue
from shared.jobs.queue import MemoQueue, Work


def open_queue(settings: SpeechSettings, work: Work) -> MemoQueue:
    """Return the queue in SQS if settings name one, else one that calls `work` here."""
    if not settings.queue_url:
        return ProcessQueue(work)
    from shared.jobs.sqs import SqsQueue  # noqa: PLC0415 boto3: some tenths of a second

    return SqsQueue(settings.queue_url)
