"""One JSON object a line.

Here: the format. Never in it: prompts, answers, tenants, headers, or the text of an exception, which may quote them.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

log = logging.getLogger("bitshift.relay")

FIELDS = ("arm", "error", "failures", "in_flight", "ports", "release", "seconds", "target")
"""What a record may carry besides its message."""


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; of an exception its type and place."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.msg if record.exc_info else record.getMessage(),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info and record.exc_info[0]:
            frames = traceback.extract_tb(record.exc_info[2])
            place = f"{frames[-1].name}:{frames[-1].lineno}" if frames else ""
            line |= {"error": record.exc_info[0].__name__, "at": place}
        return json.dumps(line)


def log_json_lines() -> None:
    """Send all logs to standard output, one JSON object a line."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.CRITICAL)
