"""What may go wrong in a call to the API server, as types that callers tell apart.

Here: one class for each answer that is handled differently. Not here: retries (`controller.queue`).
"""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """The API server said no, or nothing."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason


class NotFound(ApiError):
    """There is no such object, or no such kind."""


class Conflict(ApiError):
    """The object changed since it was read, is another one by now, or a field has another owner."""


class AlreadyExists(Conflict):
    """The name is taken."""


class Forbidden(ApiError):
    """Our account may not do that, a quota is used up, or the namespace is being deleted."""


class Invalid(ApiError):
    """The object breaks a rule of its schema or of an admission policy; trying again is of no use."""


class Gone(ApiError):
    """The resourceVersion is too old to continue from: list again."""


class Unreachable(ApiError):
    """No answer, or one that only says to come back later: the same call may succeed in a while."""


BY_STATUS: Mapping[int, type[ApiError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: Unreachable,
}


def error_from(status: int, answer: Mapping[str, Any]) -> ApiError:
    """Return the error that an answer of the API server (a `Status` object) means."""
    reason, message = str(answer.get("reason", "")), str(answer.get("message", "no message")).strip()
    error = AlreadyExists if reason == "AlreadyExists" else BY_STATUS.get(status)
    if error is None:
        error = Unreachable if status >= 500 else ApiError
    return error(message, status=status, reason=reason)
