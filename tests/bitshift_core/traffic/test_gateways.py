import pytest

from bitshift_core.traffic.gateways import GatewayEndpoint, gateway_endpoints
from bitshift_core.traffic.refusals import RouteRefused

WEB = {"name": "web", "port": 80, "protocol": "HTTP"}
SECURE = {"name": "secure", "port": 443, "protocol": "HTTPS", "hostname": "*.example.com"}
PASSTHROUGH = {"name": "tls", "port": 8443, "protocol": "TLS"}


def a_gateway(*listeners, addresses=("10.0.0.7",)):
    return {
        "metadata": {"name": "public", "namespace": "infra"},
        "spec": {"listeners": list(listeners) or [WEB, SECURE, PASSTHROUGH]},
        "status": {"addresses": [{"value": address} for address in addresses]},
    }


def a_service(ports=(80, 443), ip="10.96.0.5", namespace="infra", **labels):
    named = {key.replace("__", "/"): value for key, value in labels.items()}
    return {
        "metadata": {"namespace": namespace, "labels": named},
        "spec": {"clusterIP": ip, "ports": [{"port": port} for port in ports]},
    }


def urls(gateway=None, parent=None, **options):
    found = gateway_endpoints(gateway or a_gateway(), parent or {"name": "public"}, **options)
    return {endpoint.listener: endpoint.urls for endpoint in found}


def test_every_http_listener_that_the_route_attaches_to_is_asked():
    assert urls() == {"infra/public/web": ("http://10.0.0.7:80",), "infra/public/secure": ("https://10.0.0.7:443",)}


@pytest.mark.parametrize("parent", [{"name": "public", "sectionName": "secure"}, {"name": "public", "port": 443}])
def test_a_section_or_port_selects_a_listener(parent):
    assert set(urls(parent=parent)) == {"infra/public/secure"}


def test_ipv6_addresses_are_bracketed():
    assert urls(a_gateway(WEB, addresses=("fd00::7",))) == {"infra/public/web": ("http://[fd00::7]:80",)}


@pytest.mark.parametrize(
    "service",
    [
        a_service(**{"gateway.networking.k8s.io__gateway-name": "public"}),
        a_service(
            namespace="envoy-gateway-system",
            **{
                "gateway.envoyproxy.io__owning-gateway-name": "public",
                "gateway.envoyproxy.io__owning-gateway-namespace": "infra",
            },
        ),
    ],
)
def test_a_service_that_carries_the_gateways_name_comes_before_its_published_address(service):
    assert urls(a_gateway(WEB), services=[service]) == {
        "infra/public/web": ("http://10.96.0.5:80", "http://10.0.0.7:80")
    }


def test_services_of_others_are_not_asked():
    label = {"gateway.networking.k8s.io__gateway-name": "public"}
    others = [a_service(namespace="team", **label), a_service(ip="None", **label), a_service(ports=(9000,), **label)]

    assert urls(a_gateway(WEB), services=[*others, a_service()]) == {"infra/public/web": ("http://10.0.0.7:80",)}


def test_an_address_that_the_operator_was_told_comes_first_and_helps_where_none_is_published():
    known = {"infra/public": ("http://traefik.traefik.svc/",)}

    assert urls(a_gateway(addresses=()), known=known) == {"infra/public/web": ("http://traefik.traefik.svc",)}


def test_without_any_address_the_sentence_says_how_to_give_one():
    with pytest.raises(RouteRefused, match="publishes no address") as caught:
        urls(a_gateway(addresses=()))

    assert caught.value.reason == "NoGatewayAddress"


def test_a_parent_reference_to_no_listener_is_refused():
    with pytest.raises(RouteRefused) as caught:
        urls(parent={"name": "public", "sectionName": "tls"})

    assert caught.value.reason == "NoListener"


@pytest.mark.parametrize(
    ("pattern", "listener", "asked"),
    [
        ("llm.example.com", "", "llm.example.com"),
        ("", "", ""),
        ("*.example.com", "", "bitshift-probe.example.com"),
        ("", "*.example.com", "bitshift-probe.example.com"),
        ("*.example.com", "llm.example.com", "llm.example.com"),
        ("llm.example.org", "*.example.com", None),
    ],
)
def test_a_listener_is_asked_for_a_host_that_it_serves(pattern, listener, asked):
    assert GatewayEndpoint("l", (), listener).host_for(pattern) == asked
