"""Log lines: one JSON object each, with the id of the request that it is about."""

import logging

from shared.edge import request_id


def configure_logging(level: str) -> None:
    """One JSON line a record, with the request's id; for the service's own loggers only."""
    from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter  # noqa: PLC0415 150 ms that no import needs

    logger = logging.getLogger("agent_talk")
    logger.setLevel(level)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(LambdaPowertoolsFormatter(utc=True, use_rfc3339=True, json_default=str))
        handler.addFilter(_add_request_id)
        logger.addHandler(handler)
        logger.propagate = False
    logging.getLogger("mangum").setLevel(logging.WARNING)  # it logs paths as they come, and keys may be in them
    logging.getLogger("botocore").setLevel(logging.WARNING)  # its debug lines have whole rows and credentials


def _add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True
