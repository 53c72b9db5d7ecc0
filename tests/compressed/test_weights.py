"""What is claimed of weights, against numpy on weights of which it is known."""

import numpy as np
import pytest
import torch

from brainexp.compressed.weights import (
    DIRECTIONS,
    dense,
    fault,
    measured,
    most_values,
    rank_of,
    sparsity_fault,
    weight_change,
)
from brainexp.interfaces import Claims


def weights(rng, shape=(24, 64), dtype=torch.float32):
    return torch.from_numpy(rng.normal(size=shape)).to(dtype)


@pytest.mark.parametrize("group_size", [None, 16, 32, 48])
def test_most_values_are_those_that_numpy_counts(rng, group_size):
    weight = torch.from_numpy(rng.integers(-9, 9, (24, 64))).to(torch.bfloat16)
    size = group_size or 64
    flat = weight.float().numpy().ravel()
    expected = max(len(np.unique(flat[at : at + size])) for at in range(0, flat.size, size))

    assert most_values(weight, group_size) == expected


def test_one_value_too_many_in_one_group_is_found(rng):
    weight = torch.from_numpy(rng.integers(0, 16, (24, 64)).astype(float))
    assert fault(weight, "q", Claims(modules=("q",), bits=4, group_size=32)) is None
    weight[7, 32:49] = torch.arange(17)

    told = fault(weight, "q", Claims(modules=("q",), bits=4, group_size=32))

    assert told == "was to have at most 2^4 = 16 values in a group of 32, but has 17"


def test_zeros_of_either_sign_are_one_value():
    assert most_values(torch.tensor([[0.0, -0.0, 1.0, 1.0]]), None) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rank", [1, 5, 20])
def test_rank_is_found_behind_rounding_and_one_more_too(rng, dtype, rank):
    product = weights(rng, (48, rank)) @ weights(rng, (rank, 64))
    more = product + 2.0 * weights(rng, (48, 1)) @ weights(rng, (1, 64))

    assert rank_of(product.to(dtype)) == rank
    assert rank_of(more.to(dtype)) == rank + 1
    assert fault(product.to(dtype), "q", Claims(modules=("q",), ranks={"q": rank})) is None
    assert "was to have rank" in fault(more.to(dtype), "q", Claims(modules=("q",), ranks={"q": rank}))


def test_two_of_four_is_looked_at_in_every_four(rng):
    weight = weights(rng)
    weight.view(-1, 4)[:, 1:3] = 0
    claims = Claims(modules=("q",), two_of_four=True)
    assert fault(weight, "q", claims) is None
    weight[20, 41] = 1.0

    assert "two zeros among every four neighbouring inputs, but has 3 other weights" in fault(weight, "q", claims)


def test_weights_that_are_not_finite_are_found(rng):
    weight = weights(rng)
    weight[3, 3] = torch.nan

    assert "NaN" in fault(weight, "q", Claims())


def pruned(rng, share, shape=(24, 64)):
    values = rng.normal(size=shape)
    flat = values.reshape(-1)
    flat[np.argsort(np.abs(flat))[: round(share * flat.size)]] = 0
    return torch.from_numpy(values)


@pytest.mark.parametrize(("share", "right"), [(0.5, True), (0.49, False), (0.51, False), (0.0, False)])
def test_sparsity_must_be_as_asked(rng, share, right):
    before, after = {"q": measured(weights(rng))}, {"q": measured(pruned(rng, share))}

    assert (sparsity_fault(before, after, Claims(modules=("q",), sparsity=0.5, in_each=True)) is None) == right


def test_sparsity_together_may_differ_between_layers_and_in_each_may_not(rng):
    before = {name: measured(weights(rng)) for name in "qk"}
    after = {"q": measured(pruned(rng, 0.25)), "k": measured(pruned(rng, 0.75))}

    assert sparsity_fault(before, after, Claims(sparsity=0.5)) is None
    told = sparsity_fault(before, after, Claims(sparsity=0.5, in_each=True))
    assert told == "q was to have a share of 0.5 zeros, but has 0.2500"


def test_zeros_that_were_there_and_zeros_of_quantization_are_no_fault(rng):
    sparse = {"q": measured(pruned(rng, 0.6))}
    full = {"q": measured(weights(rng))}

    assert sparsity_fault(sparse, sparse, Claims(sparsity=0.5)) is None
    assert sparsity_fault(full, sparse, Claims(sparsity=0.5, bits=4)) is None
    assert sparsity_fault(full, sparse, Claims(sparsity=0.5)) is not None


def test_a_few_more_zeros_are_right_where_scores_may_tie_and_many_are_not(rng):
    full, ties = {"q": measured(weights(rng))}, Claims(sparsity=0.5, ties=True)

    assert sparsity_fault(full, {"q": measured(pruned(rng, 0.505))}, ties) is None
    assert sparsity_fault(full, {"q": measured(pruned(rng, 0.505))}, Claims(sparsity=0.5)) is not None
    assert sparsity_fault(full, {"q": measured(pruned(rng, 0.52))}, ties) is not None
    assert sparsity_fault(full, {"q": measured(pruned(rng, 0.49))}, ties) is not None


def test_a_share_that_is_no_whole_number_of_a_row_may_be_rounded_in_each_row(rng):
    values = rng.normal(size=(24, 64))
    for row in values:
        row[np.argsort(np.abs(row))[: int(0.33 * 64)]] = 0
    before, after = {"q": measured(weights(rng))}, {"q": measured(torch.from_numpy(values))}

    assert sparsity_fault(before, after, Claims(sparsity=0.33, in_each=True)) is None


def test_the_change_of_weights_is_estimated_and_nothing_is_exactly_zero(rng):
    one = weights(rng, (300, 200))
    other = one + 0.1 * weights(rng, (300, 200))
    expected = float((other - one).norm() / one.norm())

    found = weight_change({"q": measured(one), "k": measured(one)}, {"q": measured(other), "k": measured(one)})

    assert found["q"] == pytest.approx(expected, rel=0.1)
    assert found["k"] == 0
    assert measured(one).sketch.shape == (300, DIRECTIONS)


@pytest.mark.parametrize("at", [(0, 0), (299, 199)])
def test_one_changed_weight_is_a_change(rng, at):
    one = weights(rng, (300, 200))
    other = one.clone()
    other[at] *= 1.01

    assert weight_change({"q": measured(one)}, {"q": measured(other)})["q"] > 0


def test_weights_of_bitsandbytes_are_seen_as_they_multiply(rng):
    import bitsandbytes as bnb

    made = bnb.nn.Linear8bitLt(64, 24, bias=False, has_fp16_weights=False)
    values = weights(rng).half()
    made.weight = bnb.nn.Int8Params(values, requires_grad=False, has_fp16_weights=False)
    made = made.to("cpu")
    four = bnb.nn.Linear4bit(64, 24, bias=False, quant_type="nf4")
    four.weight = bnb.nn.Params4bit(values.float(), requires_grad=False, quant_type="nf4", blocksize=64)
    four = four.to("cpu")

    assert float((dense(made).float() - values.float()).abs().max()) < 0.02
    assert most_values(dense(four), 64) <= 16
    assert float((dense(four).float() - values.float()).norm() / values.float().norm()) < 0.15


def test_weights_of_gpt2_are_turned_so_that_rows_are_outputs(checkpoints):
    from transformers import AutoModel

    layer = AutoModel.from_pretrained(checkpoints["gpt2"]).h[0].mlp.c_fc
    inputs = torch.eye(32)[:3]

    assert dense(layer).shape == (128, 32)
    torch.testing.assert_close(layer(inputs), inputs @ dense(layer).T + layer.bias)
