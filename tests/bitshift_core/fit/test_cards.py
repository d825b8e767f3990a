"""What software sees of a card."""

import pytest

from bitshift_core.fit.cards import CARDS, seen_bytes
from bitshift_core.fit.gpu import Gpu
from bitshift_core.fit.units import GIB, MIB


@pytest.mark.parametrize(
    ("product", "label_mib", "seen_gib"),
    [
        ("NVIDIA-H100-80GB-HBM3", 81_559, 79.19),
        ("NVIDIA-A100-SXM4-80GB", 81_920, 79.25),
        ("NVIDIA-A100-SXM4-40GB", 40_960, 39.39),
        ("NVIDIA-A100-PCIE-40GB", 40_960, 39.39),
        ("NVIDIA-L40S", 46_068, 44.42),
        ("NVIDIA-L4", 23_034, 22.04),
        ("Tesla-T4", 15_360, 14.74),
        ("NVIDIA-GeForce-RTX-4090", 24_564, 23.55),
        ("NVIDIA-H20", 97_871, 95.0),
        ("NVIDIA-H20-3e", 143_771, 139.72),
        ("NVIDIA-B200", 183_359, 178.35),
    ],
)
def test_a_products_own_total_stands_in_for_its_label(product, label_mib, seen_gib):
    assert Gpu(label_mib * MIB, product).usable_bytes == int(seen_gib * GIB)


@pytest.mark.parametrize(("label_gib", "seen_gib"), [(32, 31.98), (64, 63.98)])
def test_amd_cards_offer_nearly_all_that_they_have(label_gib, seen_gib):
    assert Gpu(label_gib * GIB, "AMD Instinct MI50").usable_bytes == pytest.approx(seen_gib * GIB, rel=1e-3)
    assert Gpu(label_gib * GIB, "Some Other Card").usable_bytes < (label_gib - 0.5) * GIB


def test_a_slice_of_a_card_or_a_shared_one_is_sized_by_its_label():
    slice_ = Gpu(9_856 * MIB, "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb")
    shared = Gpu(81_559 * MIB // 4, "NVIDIA-H100-80GB-HBM3-SHARED")

    assert slice_.usable_bytes < 9_856 * MIB
    assert shared.usable_bytes < 20 * GIB


def test_without_a_label_the_smallest_card_of_the_name_counts():
    assert seen_bytes("NVIDIA A100", 0) == int(39.39 * GIB)
    assert seen_bytes("Something New", 0) == 0


def test_what_was_reported_beats_every_table():
    assert Gpu(81_559 * MIB, "NVIDIA-H100-80GB-HBM3", reported_bytes=5).usable_bytes == 5


def test_cards_that_reach_each_other_through_the_host_are_told_from_others():
    assert Gpu(1, "NVIDIA-H100-80GB-HBM3").has_peer_access
    assert not Gpu(1, "NVIDIA-GeForce-RTX-3090").has_peer_access
    assert not Gpu(1, "NVIDIA-L40S").has_peer_access


def test_every_card_names_its_source_and_offers_less_than_it_is_sold_for():
    assert all(card.source and card.seen_gib < card.marketed_gib for card in CARDS)
