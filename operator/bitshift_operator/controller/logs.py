"""The operator's log: one JSON object a line, on standard error.

Here: its form, and which libraries may speak. Not here: what is logged; prompts, answers and secrets never are.
"""

import json
import logging
import sys
from datetime import UTC, datetime

TALKATIVE = ("kopf", "aiohttp", "kubernetes", "httpx", "httpcore", "asyncio")
KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record carries; anything else was given as `extra` and is worth printing."""


class JsonLines(logging.Formatter):
    """One line for each record, tracebacks within it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: str(value) for key, value in vars(record).items() if key not in KNOWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def start_logging(level: str) -> None:
    """Send everything of ours from `level` up to standard error; of libraries only what is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
