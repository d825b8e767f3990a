"""The load generator as a process of its own, and what its users saw."""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from e2e.traffic import Request


@dataclass
class Users:
    """Everybody who talks to the model, from before the first scene until after the last."""

    out: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls,
        url: str,
        host: str,
        out: Path,
        *,
        per_second: float = 1.6,
        reply_tokens: int = 8,
        more: tuple[str, ...] = (),
    ) -> "Users":
        """Let users talk; what they saw is written as it happens. `more` are further options of `e2e.traffic`."""
        out.parent.mkdir(parents=True, exist_ok=True)
        out.unlink(missing_ok=True)
        command = [sys.executable, "-m", "e2e.traffic", "--url", url, "--host", host, "--out", str(out)]
        command += ["--per-second", str(per_second), "--reply-tokens", str(reply_tokens), *more]
        return cls(out, subprocess.Popen(command))

    def stop(self) -> None:
        """Let the last answers arrive, then stop."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=150)

    def seen(self, since: float = 0, until: float = float("inf")) -> list[Request]:
        """Return the requests that began in a span of time and are over."""
        if not self.out.exists():
            return []
        lines = self.out.read_text(encoding="utf-8").splitlines()
        requests = [Request(**json.loads(line)) for line in lines if line.endswith("}")]
        return [each for each in requests if since <= each.started < until]
