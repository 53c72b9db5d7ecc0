import numpy as np
import pytest
import torch

from brainexp.compression.bnb_fp4 import BnbFp4
from brainexp.compression.bnb_nf4 import BnbNf4
from brainexp.model.prequantized import stored_bits
from tests.compression.bnb_cases import TINY, features, four_bit_by_hand, relative, saved, tensors, values_per_group

LAYER = "model.layers.0.mlp.down_proj"


@pytest.mark.parametrize("double", [False, True])
def test_weights_are_sixteen_levels_times_the_scale_of_their_block(double, tmp_path):
    compression = BnbNf4(double_quant=double)
    full = TINY.network_with_head().get_submodule(LAYER).weight.detach().numpy()
    claims = compression.claims(TINY.blueprint())

    small = saved(compression, TINY, tmp_path)

    by_hand = four_bit_by_hand(small, LAYER, full.shape)
    levels = tensors(small, LAYER)["weight.quant_map"].numpy()
    assert values_per_group(by_hand, claims.group_size) <= 2**claims.bits
    assert values_per_group(full, claims.group_size) > 2**claims.bits
    scales = np.abs(full.reshape(-1, 64)).max(axis=1, keepdims=True)
    nearest = levels[np.abs(full.reshape(-1, 64, 1) / scales[..., None] - levels).argmin(axis=2)] * scales
    if not double:
        np.testing.assert_allclose(by_hand, nearest.reshape(full.shape), rtol=1e-6)
    assert relative(by_hand, nearest.reshape(full.shape)) < 0.02


def test_levels_are_quantiles_of_a_normal_distribution(tmp_path):
    from scipy.stats import norm

    levels = tensors(saved(BnbNf4(), TINY, tmp_path), LAYER)["weight.quant_map"].numpy()

    # Appendix E of the paper: eight quantiles above zero, seven below, and zero, divided by the largest.
    most = 0.9677083
    above, below = norm.ppf(np.linspace(most, 0.5, 9)[:-1]), -norm.ppf(np.linspace(most, 0.5, 8)[:-1])
    expected = np.sort(np.concatenate([above, [0], below])) / above.max()
    np.testing.assert_allclose(levels, expected, atol=1e-5)


@pytest.mark.parametrize("double", [False, True])
def test_states_are_those_of_the_weights_by_hand(double, tmp_path):
    """The library's way on this device gives what dense products with the unpacked weights give."""
    compression = BnbNf4(double_quant=double)
    small = saved(compression, TINY, tmp_path)
    dense = TINY.network_with_head()
    with torch.no_grad():
        for name in compression.modules(TINY.blueprint()):
            weight = dense.get_submodule(name).weight
            weight.copy_(torch.from_numpy(four_bit_by_hand(small, name, tuple(weight.shape))))

    tokens = torch.arange(20)[None]
    with torch.inference_mode():
        expected = dense(tokens, output_hidden_states=True).hidden_states[-1]
        told = small.network_with_head()(tokens, output_hidden_states=True).hidden_states[-1]

    assert relative(told.numpy(), expected.numpy()) < 1e-5


@pytest.mark.parametrize("double", [False, True])
def test_bits_are_those_of_the_file_but_for_its_tables(double, tmp_path):
    compression = BnbNf4(double_quant=double)
    small = saved(compression, TINY, tmp_path)
    told = small.blueprint()

    stored = stored_bits(small.path, None, {"quant_method": "bitsandbytes"}, told.linear)

    for name in compression.modules(told):
        n_weights = told.linear[name][0] * told.linear[name][1]
        tables = sum(
            8 * value.numel() * value.element_size()
            for key, value in tensors(small, name).items()
            if "map" in key or "quant_state" in key
        )
        assert stored[name] - tables / n_weights == pytest.approx(
            compression.bits_per_weight(told.linear[name], 16), abs=1e-12
        )
    assert compression.bits_per_weight((4096, 4096), 16) == (4 + 8 / 64 + 32 / (64 * 256) if double else 4.5)


def test_groups_are_those_that_no_block_parts():
    import dataclasses

    blueprint = TINY.blueprint()

    def group(n_in):
        return BnbNf4().claims(dataclasses.replace(blueprint, linear={"layer": (10, n_in)}, head=())).group_size

    assert [group(n_in) for n_in in (128, 64, 32, 96, 4096)] == [64, 64, 32, 32, 64]


def test_it_is_nearer_to_the_full_model_than_fp4(story, tmp_path):
    full = features(TINY, story)
    normal, floating = (
        relative(features(saved(kind(double_quant=False), TINY, tmp_path / kind.__name__), story), full)
        for kind in (BnbNf4, BnbFp4)
    )

    assert normal < floating
