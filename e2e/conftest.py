"""One cluster, one installed chart and one served model for all end-to-end tests; a run that dies shows the logs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from e2e.cluster import Cluster
from e2e.demo import scenes
from e2e.demo.target import OwnCluster
from e2e.demo.users import Users
from e2e.models import make_models

CONSOLE = Console(width=160, highlight=False)


@pytest.fixture(scope="session")
def cluster() -> Iterator[OwnCluster]:
    """A running cluster with the chart installed from this working tree."""
    make_models()
    cluster = OwnCluster()
    cluster.up()
    scenes.install(cluster, CONSOLE)
    yield cluster


@pytest.fixture(scope="session")
def users(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Users]:
    """Users who talk to an ordinary Deployment through the gateway, from before the first test to the last."""
    users = scenes.before(cluster, CONSOLE, Path(tmp_path_factory.mktemp("users")))
    yield users
    users.stop()


ORDER = tuple(
    f"test_{each}" for each in ("bad_input", "judging", "rollout", "rollback", "install", "handover", "swap", "signals")
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell the story in its order: what comes back can only come back to what was promoted before."""
    here, last = Path(__file__).parent, len(ORDER)
    told = {here / f"{name}.py": place for place, name in enumerate(ORDER)}
    items.sort(key=lambda item: told.get(item.path, last))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Put what matters for understanding a failure under the failure."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    cluster = item.funcargs.get("cluster") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and isinstance(cluster, Cluster):
        for title, command in (
            ("models", ("get", "quantizedmodels", "-A", "-o", "wide")),
            ("pods", ("get", "pods", "-A", "-o", "wide")),
            ("routes", ("get", "httproutes", "-A", "-o", "yaml")),
            ("operator", ("-n", scenes.SYSTEM, "logs", "-l", "app.kubernetes.io/name=bitshift", "--tail=80")),
        ):
            report.sections.append((title, _said(cluster, command)))


def _said(cluster: Cluster, command: tuple[str, ...]) -> str:
    try:
        return cluster.kubectl(*command)[-12_000:]
    except Exception as error:  # the report of a failure must not fail
        return f"could not be had: {error}"
