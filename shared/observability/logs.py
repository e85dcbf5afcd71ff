"""Log lines: one JSON object each, with the ids of the request and of its trace."""

import logging

from shared.core.request import request_id
from shared.observability import trace


def configure_logging(level: str) -> None:
    """Write records of the service's loggers, from `level` upwards, as JSON lines with these ids."""
    from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter  # noqa: PLC0415 the import takes 150 ms

    logger = logging.getLogger("agent_talk")
    logger.setLevel(level)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(LambdaPowertoolsFormatter(utc=True, use_rfc3339=True, json_default=str))
        handler.addFilter(_add_ids)
        logger.addHandler(handler)
        logger.propagate = False
    logging.getLogger("mangum").setLevel(logging.WARNING)  # it logs whole paths, which may contain keys
    for name in ("botocore", "stripe", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)  # below it they log whole requests, with addresses in queries


def _add_ids(record: logging.LogRecord) -> bool:
    continued = trace.current()
    record.request_id = request_id.get()
    record.trace_id = None if continued is None else continued.trace_id
    return True
