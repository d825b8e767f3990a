"""Four-bit weights as AWQ's and GPTQ's checkpoints lay them out, unpacked again the way that engines do."""

import numpy as np
import pytest

from e2e.vllm.packing import AWQ_ORDER, Rounded, awq_tensors, gptq_tensors, packed, rounded

CHANCE = np.random.default_rng(7)
WEIGHTS = CHANCE.normal(size=(128, 16)).astype(np.float32)


def nibbles(words):
    """Return eight values of each word, the lowest nibble first."""
    return np.stack([(words.view(np.uint32) >> np.uint32(4 * n)) & 15 for n in range(8)], axis=-1).astype(np.int32)


def test_a_word_holds_eight_values_from_its_lowest_nibble_up():
    assert packed(np.arange(8)).view(np.uint32).tolist() == [0x76543210]


def test_awq_is_read_back_in_the_order_that_engines_undo():
    tensors = awq_tensors(found := rounded(WEIGHTS, 64, symmetric=False))
    undone = nibbles(tensors["qweight"])[..., [0, 4, 1, 5, 2, 6, 3, 7]]  # AutoAWQ's AWQ_REVERSE_ORDER

    assert np.array_equal(undone.reshape(128, 16), found.integers)
    assert tensors["qweight"].shape == (128, 2) and tensors["scales"].shape == (2, 16)
    assert sorted(AWQ_ORDER) == list(range(8))


def test_gptq_packs_inputs_and_stores_zero_points_less_one():
    tensors = gptq_tensors(found := rounded(WEIGHTS, 64, symmetric=True))

    assert np.array_equal(nibbles(tensors["qweight"].T).reshape(16, 128).T, found.integers)
    assert (nibbles(tensors["qzeros"]) == 7).all()
    assert tensors["g_idx"].tolist() == [0] * 64 + [1] * 64


@pytest.mark.parametrize("symmetric", [True, False])
def test_what_is_restored_is_near_what_was_rounded(symmetric):
    found = rounded(WEIGHTS, 64, symmetric=symmetric)
    widest = np.abs(WEIGHTS).max() / 7

    assert np.abs(found.restored() - WEIGHTS).mean() < widest / 4
    assert found.integers.min() >= 0 and found.integers.max() <= 15


def test_clipping_is_never_worse_than_the_whole_range():
    outlier = WEIGHTS.copy()
    outlier[3, :] = 30.0
    whole = rounded_to_the_whole_range(outlier)

    assert error(rounded(outlier, 64, symmetric=False), outlier) <= error(whole, outlier) + 1e-4


def rounded_to_the_whole_range(weights):
    groups = weights.reshape(2, 64, 16)
    low, high = np.minimum(groups.min(axis=1), 0), np.maximum(groups.max(axis=1), 0)
    scales = (high - low) / 15
    zeros = np.round(-low / scales)
    integers = np.clip(np.round(groups / scales[:, None]) + zeros[:, None], 0, 15)
    return Rounded(integers.reshape(128, 16).astype(np.int32), scales.astype(np.float32), zeros.astype(np.int32))


def error(found, weights):
    return float(((found.restored() - weights) ** 2).sum())


def test_a_width_that_groups_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="96 inputs must be divisible by the group size 64"):
        rounded(WEIGHTS[:96], 64, symmetric=True)
