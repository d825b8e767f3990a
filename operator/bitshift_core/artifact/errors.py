"""What can be wrong with an artifact, as a reason for machines and a sentence for people."""


class ArtifactError(Exception):
    """An artifact cannot be read or believed; the user, not a retry, mends it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def truncated(what: str, *, expected_bytes: int, present_bytes: int) -> ArtifactError:
    """Return the error for a file that ends before what its own header promises."""
    return ArtifactError(
        "TruncatedArtifact",
        f"{what} was cut short: {present_bytes} of at least {expected_bytes} bytes are there. Copy it again.",
    )


def malformed(message: str) -> ArtifactError:
    """Return the error for bytes that contradict the format or exceed any real model's bounds."""
    return ArtifactError("MalformedArtifact", message)


def unsupported(message: str) -> ArtifactError:
    """Return the error for a valid artifact of a kind that Bitshift does not read."""
    return ArtifactError("UnsupportedArtifact", message)
