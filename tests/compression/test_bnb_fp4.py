import numpy as np

from brainexp.compression.bnb_fp4 import BnbFp4
from tests.compression.bnb_cases import TINY, four_bit_by_hand, saved, tensors, values_per_group

LAYER = "model.layers.1.self_attn.q_proj"


def test_weights_are_a_sign_and_eight_sizes_times_the_scale_of_their_block(tmp_path):
    compression = BnbFp4(double_quant=False)
    full = TINY.network_with_head().get_submodule(LAYER).weight.detach().numpy()
    claims = compression.claims(TINY.blueprint())

    small = saved(compression, TINY, tmp_path)

    by_hand = four_bit_by_hand(small, LAYER, full.shape)
    levels = tensors(small, LAYER)["weight.quant_map"].numpy()
    np.testing.assert_array_equal(levels[:8], -levels[8:])
    np.testing.assert_allclose(np.sort(levels[:8]), [0, 1 / 192, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1], rtol=1e-6)
    scales = np.abs(full.reshape(-1, 64)).max(axis=1, keepdims=True)
    nearest = np.abs(full.reshape(-1, 64, 1) / scales[..., None] - levels).min(axis=2) * scales
    off = np.abs(by_hand - full).reshape(-1, 64)
    np.testing.assert_allclose(off, nearest, atol=2e-4 * scales.max())  # its borders between levels are rounded
    assert values_per_group(by_hand, claims.group_size) <= 2**claims.bits


def test_it_says_so(tmp_path):
    assert saved(BnbFp4(), TINY, tmp_path).blueprint().quantized == "bitsandbytes fp4 double"
