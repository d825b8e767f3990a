from dataclasses import replace

import pytest

from bitshift_core.api.v1alpha1 import CaBundle
from bitshift_core.rollout.places import model_place, mounted
from tests.builders import some_facts

IMAGE = "registry.example/team/m@sha256:" + 64 * "a"
CHECKPOINT = some_facts(format="safetensors", scheme="awq")
NEW = {"containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.35.4"}


@pytest.mark.parametrize(
    ("uri", "facts", "path", "fetch_to"),
    [
        ("pvc://models/a/q4.gguf", some_facts(), "/models/a/q4.gguf", ""),
        ("pvc://models/a", some_facts(), "/models/a/q.gguf", ""),
        ("pvc://models/", CHECKPOINT, "/models", ""),
        ("https://host/a/q4.gguf?key=1", some_facts(), "/models/q4.gguf", "/models/q4.gguf"),
        ("hf://org/m@main", CHECKPOINT, "/models/artifact", "/models/artifact"),
        ("s3://bucket/m", some_facts(), "/models/artifact/q.gguf", "/models/artifact"),
    ],
)
def test_an_engine_is_told_where_its_model_lies(uri, facts, path, fetch_to):
    place = model_place(uri, facts)

    assert (place.path, place.fetch_to) == (path, fetch_to)


def an_image(folder="/chat"):
    facts = CHECKPOINT.model_copy(update={"pinned_uri": f"oci://{IMAGE}{folder}", "mountable": True})
    return model_place("oci://registry.example/team/m:v1", facts), facts


def test_an_image_is_mounted_where_every_node_can_and_the_engine_is_told_the_same():
    place, facts = an_image()
    found = mounted(place, facts, [NEW, NEW | {"containerRuntimeVersion": "cri-o://1.34.0"}], None)

    assert (found.image, found.folder) == (IMAGE, "chat")
    assert replace(found, image="", folder="") == place


@pytest.mark.parametrize(
    "old",
    [
        {"containerRuntimeVersion": "containerd://2.0.9"},
        {"containerRuntimeVersion": "docker://28.0.0"},
        {"kubeletVersion": "v1.34.2"},
        {"containerRuntimeVersion": ""},
    ],
)
def test_one_node_that_cannot_has_it_fetched_everywhere(old):
    place, facts = an_image()

    assert mounted(place, facts, [NEW, NEW | old], None) == place


def test_what_is_no_image_lies_in_a_cache_or_meets_unknown_nodes_is_fetched():
    place, facts = an_image()

    assert mounted(place, facts, [], None) == place
    assert mounted(place, facts.model_copy(update={"mountable": False}), [NEW], None) == place
    cached = model_place("oci://registry.example/team/m:v1", facts, cache_claim="cache")
    assert mounted(cached, facts, [NEW], None) == cached


def test_an_image_that_only_the_pods_can_trust_is_fetched():
    place, facts = an_image()

    assert mounted(place, facts, [NEW], CaBundle(config_map="ours")) == place
    assert mounted(place, facts, [NEW], CaBundle(config_map="ours", nodes_trust=True)).image == IMAGE
