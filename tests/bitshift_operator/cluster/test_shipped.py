"""The quick parser reads what ships as the careful one does."""

from importlib import resources

import pytest
import yaml

from bitshift_operator.cluster.shipped import shipped_yaml


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("bitshift_core.fit", "engines.yaml"),
        ("bitshift_core.fit", "kernels.yaml"),
        ("bitshift_core.starting", "logs.yaml"),
        ("bitshift_operator.cli", "gpus.yaml"),
    ],
)
def test_what_ships_is_read_as_it_is_written(package, name):
    text = resources.files(package).joinpath(name).read_text(encoding="utf-8")

    assert shipped_yaml(package, name) == yaml.safe_load(text)
