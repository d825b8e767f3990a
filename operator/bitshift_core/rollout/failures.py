"""Why a pod does not start: in a word, in a sentence with the way out, and whether another try would end the same way.

Here: exit states and the logs of containers that died. Not here: what a line means (`starting`).
"""

from ..starting.reading import Failure, exit_failure, read_log
from ..starting.rules import NO_RULES, EngineLines
from .one_pod import has_ever_answered, is_ready
from .snapshot import Manifest, PodLog

IMAGE_REASONS = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")
LONGEST_TAIL = 300
NOTHING_SAID = PodLog()


def failure_of(
    pod: Manifest,
    log: PodLog = NOTHING_SAID,
    engine: EngineLines = NO_RULES,
    fetch: EngineLines = NO_RULES,
    *,
    may_quote: bool = True,
) -> Failure | None:
    """Return why a pod does not start; None while nothing is wrong.

    Whatever serves may not end, not even with exit code 0, with which vLLM ends once its engine died. Last words are
    quoted only of pods that no user's prompt ever reached.
    """
    status = pod.get("status", {})
    initial = [(each, fetch, True) for each in status.get("initContainerStatuses") or []]
    serving = [(each, engine, False) for each in status.get("containerStatuses") or []]
    for container, rules, may_end in (*initial, *serving):
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in IMAGE_REASONS:
            return _not_pulled(pod, container, waiting.get("message", ""))
        died = container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated")
        if died and not is_ready(pod) and (died.get("exitCode") or not may_end):
            said = "" if may_end else log.previous
            return _death(container, died, said, rules, may_quote=may_quote and not has_ever_answered(pod))
        if waiting.get("reason") in ("CreateContainerConfigError", "CreateContainerError"):
            message = f"The container cannot be created: {_tail(waiting.get('message', ''))}"
            return Failure("ContainerCannotBeCreated", message)
    return None


def _not_pulled(pod: Manifest, container: Manifest, said: str) -> Failure:
    """Return which image is missing: kubelets blame the container also where it is one that they were to mount."""
    volumes = [
        volume["image"]["reference"] for volume in (pod.get("spec") or {}).get("volumes") or [] if "image" in volume
    ]
    image = next((reference for reference in volumes if reference in said), "")
    mend = "Check `serving.image`, or the pull secret of the namespace's default service account."
    if image:
        mend = (
            "Let the nodes reach and trust its registry, with a login in `sources.secret` as `.dockerconfigjson`; "
            "or name a `sources.cacheClaim`, and pods fetch it instead."
        )
    return Failure(
        "ImageCannotBePulled", f"The image '{image or container.get('image')}' cannot be pulled: {_tail(said)} {mend}"
    )


def _death(container: Manifest, died: Manifest, log: str, rules: EngineLines, *, may_quote: bool) -> Failure:
    """Return what a container died of: by its log, else by its exit code, else in its own last words."""
    code, name = int(died.get("exitCode", 0)), container["name"]
    exited = f"The container '{name}' exited with code {code} ({container.get('restartCount', 0)} restarts)"
    last = died.get("message", "")
    if died.get("reason") == "OOMKilled":
        return Failure(
            "OutOfMemory",
            f"The container '{name}' was killed for memory: lower `serving.contextTokens` or "
            "`serving.concurrentSequences`, or choose larger nodes by `serving.nodeSelector`."
            + _quoted(last, may_quote),
        )
    if found := read_log(rules, log).failure or read_log(rules, last).failure:
        return Failure(found.reason, f"{exited}: {found.message}", found.final)
    if known := exit_failure(rules, code):
        return Failure(known.reason, f"{exited}: {known.message}{_quoted(last, may_quote)}")
    return Failure("CrashedAtStart", f"{exited}.{_quoted(last, may_quote) or ' Its log tells more.'}")


def _quoted(last: str, may_quote: bool) -> str:
    return f" It said: {_tail(last)}" if may_quote else ""


def _tail(text: str) -> str:
    """Return the end of a log as one line: what failed is said last."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    joined = " | ".join(lines[-3:])
    return joined[-LONGEST_TAIL:] or "nothing."
