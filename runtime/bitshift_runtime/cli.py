"""The verbs of the runtime image, each loaded only when it is called: the relay starts without the evaluator's imports.

Here: which verb lives where. Not here: what it does (`artifact`, `relay`, `evaluate`, `load`).
"""

from importlib import import_module

import click

VERBS = {
    "facts": "bitshift_runtime.artifact.command",
    "fetch": "bitshift_runtime.artifact.command",
    "relay": "bitshift_runtime.relay.command",
    "evaluate": "bitshift_runtime.evaluate.command",
    "load": "bitshift_runtime.load.command",
}


class LazyGroup(click.Group):
    """A group whose commands are attributes of modules, named like the verb."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which a rollout meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the verb's command, importing its room."""
        if cmd_name not in VERBS:
            return None
        command = getattr(import_module(VERBS[cmd_name]), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"`{VERBS[cmd_name]}.{cmd_name}` must be a click command")
        return command


@click.group(cls=LazyGroup)
def main() -> None:
    """Bitshift's hands beside a model."""
