"""Nodes that are only thought of."""

import pytest

from bitshift_core.fit.units import GIB, MIB
from bitshift_operator.cli.gpus import imagined, known_products, meant_by


def named(name: str) -> list[str]:
    return [product.name for product in meant_by(name)]


@pytest.mark.parametrize("product", known_products(), ids=lambda product: product.name)
def test_each_product_is_meant_by_its_name_and_by_its_label_alone(product):
    assert named(product.name) == [product.name]
    assert named(product.product) == [product.name]
    assert named(product.name.lower().replace("-", " ")) == [product.name]


@pytest.mark.parametrize(
    "name, products",
    [
        ("H100", ["H100-80"]),
        ("NVIDIA-H100-NVL", ["H100-94"]),
        ("GeForce RTX 4090", ["RTX-4090"]),
        ("4090", ["RTX-4090"]),
        ("l4", ["L4"]),
        ("A100", ["A100-80", "A100-40"]),
        ("", []),
        ("MI300X", []),
    ],
)
def test_a_name_means_what_people_mean_by_it(name, products):
    assert named(name) == products


@pytest.mark.parametrize("product", known_products(), ids=lambda product: product.name)
def test_what_cuda_offers_is_less_than_the_driver_says_and_most_of_it(product):
    nodes = imagined(product.name, None, 2, 1, None).nodes

    assert nodes[0].gpu_memory_bytes == product.memory_mib * MIB
    assert 0.95 * product.memory_mib * MIB < nodes[0].gpu.usable_bytes < product.memory_mib * MIB


def test_nodes_are_what_the_cluster_would_say_of_them():
    found = imagined("B200", None, 8, 3, 2048)
    node = found.nodes[0]

    assert found.words.startswith("3 nodes with 8 × B200")
    assert (len(found.nodes), node.gpu_count, node.gpu_free, node.ready) == (3, 8, 8, True)
    assert node.compute_capability == (10, 0)
    assert node.memory_allocatable_bytes == 2048 * GIB


def test_options_that_describe_nothing_describe_no_nodes():
    assert imagined(None, None, None, 1, None) is None
