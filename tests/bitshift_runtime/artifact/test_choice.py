"""Which files of a folder are fetched, and which stay where they are."""

import json

import pytest

from bitshift_runtime.artifact.choice import wanted
from bitshift_runtime.artifact.source import ClaimSource

INDEX = json.dumps({"weight_map": {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}})
SHARDS = ("pytorch_model-1.bin", "pytorch_model-2.bin")


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        (("model.safetensors", "pytorch_model.bin"), ("model.safetensors",)),
        (("pytorch_model.bin", "training_args.bin"), ("pytorch_model.bin",)),
        (("pytorch_model.bin.index.json", *SHARDS, "optimizer.bin"), SHARDS),
        (("m.gguf", "pytorch_model.bin"), ("m.gguf",)),
        (("training_args.bin",), ()),
    ],
)
def test_pytorchs_own_files_are_taken_where_there_are_no_others(tmp_path, names, weights):
    for name in names:
        (tmp_path / name).write_text(INDEX if name.endswith("index.json") else "x")
    found = wanted(ClaimSource("models", "", tmp_path))

    assert tuple(name for name in found if not name.endswith(".json")) == weights
