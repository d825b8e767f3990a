"""Routes as users write them, and readings of them."""

from bitshift_core.traffic.backends import Backends, ServiceRef
from bitshift_core.traffic.routes import read_route
from bitshift_core.traffic.steps import Assignment, Share

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
ENDPOINTS = (CHAT, COMPLETIONS)
NEVER = "f3a9c1"
HOME = ServiceRef("chat", 8000)
BACKENDS = Backends(
    home=HOME,
    stable=ServiceRef("chat-relay-stable", 80, "stable"),
    candidate=ServiceRef("chat-relay-candidate", 80, "candidate"),
)


def a_match(prefix=None, *, exact=None, method=None, headers=None, query=None):
    match = {"path": {"type": "Exact", "value": exact} if exact else {"type": "PathPrefix", "value": prefix or "/"}}
    if method:
        match["method"] = method
    if headers:
        match["headers"] = [{"type": "Exact", "name": name, "value": value} for name, value in headers.items()]
    if query:
        match["queryParams"] = [{"type": "Exact", "name": name, "value": value} for name, value in query.items()]
    return match


def a_rule(*matches, service="chat", port=8000, **more):
    rule = {"backendRefs": [{"name": service, "port": port}], **more}
    return rule | ({"matches": list(matches)} if matches else {})


def a_route(*rules, name="chat", namespace="team", hostnames=("llm.example.com",), parents=None, labels=None):
    spec = {"parentRefs": parents or [{"name": "public"}], "rules": list(rules) or [a_rule(a_match("/v1"))]}
    if hostnames:
        spec["hostnames"] = list(hostnames)
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels or {}}, "spec": spec}


def a_reading(route=None, **options):
    defaults = {
        "model_name": "chat",
        "stable_service": "chat",
        "stable_port": None,
        "tenant_header": "x-tenant-id",
        "endpoints": ENDPOINTS,
    }
    return read_route(route or a_route(), **(defaults | options))


def an_assignment(enrolled=(), waiting=(), *, weight=20, anonymous=5, excluded=(), step="first"):
    shares = [Share(tenant, weight) for tenant in enrolled] + [Share(tenant, 0) for tenant in waiting]
    return Assignment(step, tuple(shares), anonymous, tuple(excluded))
