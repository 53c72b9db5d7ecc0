import numpy as np
import pytest
import torch

from brainexp.compression.bnb_int8 import BnbInt8
from brainexp.errors import ConfigError
from brainexp.model.arithmetic import mixes_texts
from brainexp.model.prequantized import stored_bits
from tests.compression.bnb_cases import TINY, features, relative, saved, tensors, values_per_group

LAYER = "model.layers.0.mlp.up_proj"


def by_hand(model, layer):
    told = tensors(model, layer)
    return told["weight"].float().numpy() * told["SCB"].numpy()[:, None] / 127


def test_weights_are_whole_numbers_times_the_scale_of_their_row(tmp_path):
    full = TINY.network_with_head().get_submodule(LAYER).weight.detach().half().float().numpy()
    small = saved(BnbInt8(), TINY, tmp_path)
    claims = BnbInt8().claims(TINY.blueprint())

    scales = np.abs(full).max(axis=1)
    expected = np.round(full * (127 / scales[:, None]))

    np.testing.assert_array_equal(tensors(small, LAYER)["weight"].numpy(), expected)
    np.testing.assert_allclose(tensors(small, LAYER)["SCB"].numpy(), scales, rtol=1e-6)
    assert (claims.bits, claims.group_size) == (8, None)
    assert values_per_group(by_hand(small, LAYER), full.shape[1]) <= 2**claims.bits


def states(network):
    with torch.inference_mode():
        return network(torch.arange(20)[None], output_hidden_states=True).hidden_states[-1].numpy()


def test_states_are_those_of_the_weights_by_hand_with_inputs_rounded_below_the_threshold(tmp_path):
    """A threshold that all inputs reach leaves dense products with the eight-bit weights; none rounds all of them."""
    kinds = {threshold: BnbInt8(threshold=threshold) for threshold in (1e-6, 0.0)}
    small = {threshold: saved(kind, TINY, tmp_path / str(threshold)) for threshold, kind in kinds.items()}
    dense = TINY.network_with_head()
    with torch.no_grad():
        for name in BnbInt8().modules(TINY.blueprint()):
            dense.get_submodule(name).weight.copy_(torch.from_numpy(by_hand(small[0.0], name)))

    whole, rounded = (
        relative(states(small[threshold].network_with_head()), states(dense)) for threshold in (1e-6, 0.0)
    )

    assert whole < 1e-4
    assert 1e-3 < rounded < 0.05


@pytest.mark.parametrize("threshold", [6.0, 3.0, 0.0])
def test_features_do_not_depend_on_the_batch(threshold, story, tmp_path):
    small = saved(BnbInt8(threshold=threshold), TINY, tmp_path)

    one, many = (features(small, story, tokens_per_batch=n_tokens) for n_tokens in (1, 512))

    np.testing.assert_allclose(many, one, rtol=0, atol=1e-5 * np.abs(one).max())
    assert mixes_texts(small.load().network) == (threshold > 0)


def test_texts_of_one_pass_would_be_mixed(tmp_path):
    """Why each is read alone: a large value in one text keeps its column unrounded in the other."""
    network = saved(BnbInt8(threshold=3.0), TINY, tmp_path).load().network
    one, other = torch.full((1, 4), 300), torch.arange(100, 104)[None]

    with torch.inference_mode():
        alone = network(one).last_hidden_state
        together = network(torch.cat([one, other])).last_hidden_state[:1]

    assert (alone - together).abs().max() > 1e-3


def test_bits_are_those_of_the_file_but_for_the_mark_of_its_format(tmp_path):
    small = saved(BnbInt8(), TINY, tmp_path)
    told = small.blueprint()

    stored = stored_bits(small.path, None, {"quant_method": "bitsandbytes"}, told.linear)

    for name in BnbInt8().modules(told):
        mark = 8 / (told.linear[name][0] * told.linear[name][1])
        assert stored[name] - mark == pytest.approx(BnbInt8().bits_per_weight(told.linear[name], 16), abs=1e-12)
    assert BnbInt8().bits_per_weight((10, 128), 16) == 8.25


def test_a_threshold_below_zero_is_refused():
    with pytest.raises(ConfigError, match="threshold must be 0 \\(none\\) or more, got -1"):
        BnbInt8(threshold=-1.0)
