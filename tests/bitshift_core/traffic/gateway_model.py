"""Two gateways in a few lines, written apart from the code under test: one by the standard, one that adds up."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    host: str = "llm.example.com"
    path: str = "/v1/chat/completions"
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)


def winner(routes, request, *, adds_up=False):
    """Return (route name, rule index) of the rule that gets the request, routes given oldest first."""
    claims = [
        ((adding if adds_up else standard)(route, index, match, request), -age, -index, route, index)
        for age, route in enumerate(routes)
        for index, rule in enumerate(route["spec"]["rules"])
        for match in rule.get("matches") or [{}]
        if serves(route, request.host) and satisfied(match, request)
    ]
    if not claims:
        return None
    *_, route, index = max(claims, key=lambda claim: claim[:3])
    return route["metadata"]["name"], index


def hostnames_for(route, host):
    names = route["spec"].get("hostnames") or [""]
    return [name for name in names if name in ("", host) or (name.startswith("*.") and host.endswith(name[1:]))]


def serves(route, host):
    return bool(hostnames_for(route, host))


def satisfied(match, request):
    path = match.get("path") or {"type": "PathPrefix", "value": "/"}
    prefix = path["value"].rstrip("/") + "/"
    fits = request.path == path["value"] if path["type"] == "Exact" else (request.path + "/").startswith(prefix)
    return (
        fits
        and match.get("method") in (None, request.method)
        and all(request.headers.get(entry["name"]) == entry["value"] for entry in match.get("headers", ()))
        and all(request.query.get(entry["name"]) == entry["value"] for entry in match.get("queryParams", ()))
    )


def standard(route, index, match, request):
    host = max(hostnames_for(route, request.host), key=lambda name: (0 if "*" in name else len(name), len(name)))
    path = match.get("path") or {"type": "PathPrefix", "value": "/"}
    exact = path["type"] == "Exact"
    return (
        0 if "*" in host else len(host),
        len(host),
        exact,
        0 if exact else len(path["value"].rstrip("/")),
        "method" in match,
        len(match.get("headers", ())),
        len(match.get("queryParams", ())),
    )


def adding(route, index, match, request):
    path = match.get("path") or {"type": "PathPrefix", "value": "/"}
    exact, root = path["type"] == "Exact", path["value"] == "/"
    return (
        (100_000 if exact else 1 if root else 10_000 + 100 * len(path["value"]))
        + 1000 * ("method" in match)
        + 100 * len(match.get("headers", ()))
        + 10 * len(match.get("queryParams", ()))
        + max((len(name) for name in route["spec"].get("hostnames", ())), default=0)
        + len(route["spec"]["rules"])
        - index
    )
