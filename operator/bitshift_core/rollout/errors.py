"""What only the user can mend: a CamelCase reason for machines, a sentence with numbers and a way out for people.

UserError
├── SpecRefusedError       the spec contradicts itself or names what does not exist
├── RouteRefusedError      (traffic.refusals) the user's route cannot be overlaid
└── ArtifactError          (artifact.errors) an artifact cannot be read
"""


class UserError(Exception):
    """Something the user can mend; it becomes a condition, never a crash."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class SpecRefusedError(UserError):
    """The spec names something that does not exist, or asks for what cannot be."""
