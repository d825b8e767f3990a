"""The verbs are found, and one room's absence does not break another."""

import click
import pytest
from click.testing import CliRunner

from bitshift_runtime import cli


def test_every_verb_is_a_command():
    context = click.Context(cli.main)

    assert [cli.main.get_command(context, verb).name for verb in cli.main.list_commands(context)] == list(cli.VERBS)


def test_an_unknown_verb_is_refused_with_what_exists():
    result = CliRunner().invoke(cli.main, ["serve"])

    assert result.exit_code == 2
    assert "No such command" in result.output


def test_a_broken_room_does_not_keep_others_from_running(monkeypatch):
    monkeypatch.setitem(cli.VERBS, "relay", "bitshift_runtime.no_such_room")

    assert CliRunner().invoke(cli.main, ["facts", "--help"]).exit_code == 0
    with pytest.raises(ModuleNotFoundError):
        CliRunner().invoke(cli.main, ["relay"], catch_exceptions=False)
