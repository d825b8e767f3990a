"""The operator's client of the fake API server without a wire between them: for tests that take thousands of turns."""

import json
from collections import Counter
from typing import Any

from bitshift_operator.cluster.client import Kube
from bitshift_operator.cluster.errors import error_from
from bitshift_operator.cluster.kinds import Kind
from tests.fake_api import FakeApi
from tests.fake_store import Refused


class Direct(Kube):
    """The client without a wire: for tests that take thousands of turns."""

    def __init__(self, api: FakeApi) -> None:
        self.server, self.calls = api, Counter()

    async def logs(self, namespace: str, pod: str, *, previous: bool = False, **_: Any) -> str:
        self.calls["logs", "pods", 200] += 1
        return self.server.logs.get((namespace, f"{pod} before" if previous else pod), "")

    async def _json(
        self, verb: str, method: str, kind: Kind, path: str, query: Any = None, *, body: Any = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:  # fmt: skip
        asked = json.loads(json.dumps(body)) if body is not None else {}
        try:
            answer = self.server.answer(method, self.server.target(path), query or {}, asked, content_type)
        except Refused as no:
            raise error_from(no.code, no.status) from None
        found: dict[str, Any] = json.loads(json.dumps(answer))
        return found
