import pytest
from pydantic import ValidationError

from bitshift_operator.settings import Settings


def test_the_environment_names_namespaces_with_commas(monkeypatch):
    monkeypatch.setenv("BITSHIFT_WATCH_NAMESPACES", "team-a, team-b,")
    monkeypatch.setenv("BITSHIFT_LOG_LEVEL", "DEBUG")

    settings = Settings()

    assert settings.watch_namespaces == ("team-a", "team-b")
    assert settings.log_level == "DEBUG"


def test_all_namespaces_are_watched_when_none_is_named(monkeypatch):
    monkeypatch.setenv("BITSHIFT_WATCH_NAMESPACES", "")

    assert Settings().watch_namespaces == ()


def test_settings_do_not_change_while_the_process_runs():
    with pytest.raises(ValidationError):
        Settings().workers = 8


def test_a_lease_that_lets_two_replicas_lead_is_refused():
    with pytest.raises(ValidationError, match="must have `lease_seconds` above 16"):
        Settings(lease_seconds=15, lease_renew_seconds=10)
