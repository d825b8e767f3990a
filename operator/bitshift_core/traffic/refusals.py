"""Why traffic cannot be moved: a word for machines and a sentence with the way out."""


class RouteRefused(Exception):
    """The user's route, as it stands, cannot be overlaid without a risk for somebody's requests."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
