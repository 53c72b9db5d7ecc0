import dataclasses

import numpy as np
import pytest
import torch

from brainexp.compression.magnitude import Magnitude
from brainexp.errors import ConfigError
from brainexp.model.transformer import Transformer
from brainexp.registry import COMPRESSIONS
from tests.compression.networks import TINY, features, saved, unchanged, weights, with_head, without_head, zeros

FAMILIES = ("llama", "qwen3", "bert", "gpt2", "t5")


def smallest(weight, share):
    """Which weights are the smallest, in numpy."""
    flat = np.abs(np.asarray(weight, np.float64)).ravel()
    gone = np.zeros(flat.size, bool)
    gone[np.argsort(flat, kind="stable")[: round(share * flat.size)]] = True
    return gone


@pytest.mark.parametrize("family", FAMILIES)
def test_each_layer_loses_its_smallest_weights_and_nothing_else_changes(family, tmp_path):
    model, method = with_head(family, tmp_path / "whole"), Magnitude(sparsity=0.3)
    claims = method.claims(model.blueprint())
    before = weights(model)

    small = saved(model, method, tmp_path / "small")

    after = weights(small)
    for name in claims.modules:
        was, left = before[f"{name}.weight"].numpy(), after[f"{name}.weight"].numpy()
        expected = np.where(smallest(was, 0.3).reshape(was.shape), 0.0, was)
        np.testing.assert_array_equal(left, expected, err_msg=name)
    assert unchanged(before, after, but=claims.modules)
    n_zero, n = zeros(small, claims.modules)
    assert n_zero == round(claims.sparsity * n)
    assert abs(claims.sparsity - 0.3) < 1e-3


def test_across_the_model_weights_of_all_layers_compete(tmp_path):
    model, method = with_head("llama", tmp_path / "whole"), Magnitude(sparsity=0.25, across="model")
    claims = method.claims(model.blueprint())
    before = weights(model)

    after = weights(saved(model, method, tmp_path / "small"))

    was = np.concatenate([before[f"{name}.weight"].numpy().ravel() for name in claims.modules])
    left = np.concatenate([after[f"{name}.weight"].numpy().ravel() for name in claims.modules])
    np.testing.assert_array_equal(left, np.where(smallest(was, 0.25), 0.0, was))
    assert int((left == 0).sum()) == round(claims.sparsity * len(left))
    assert not claims.in_each


@pytest.mark.parametrize("sparsity", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("across", ["layer", "model"])
def test_the_share_is_exact_where_many_weights_are_equally_small(sparsity, across, tmp_path):
    model, method = Transformer(path=f"{TINY}/xs", dtype="bfloat16"), Magnitude(sparsity=sparsity, across=across)
    claims = method.claims(model.blueprint())

    small = saved(model, method, tmp_path)

    n_zero, n = zeros(small, claims.modules)
    assert n_zero == round(claims.sparsity * n)
    assert abs(n_zero - sparsity * n) <= 0.5 * (len(claims.modules) if across == "layer" else 1)  # whole weights
    assert {tensor.dtype for tensor in weights(small).values()} == {torch.bfloat16}


@pytest.mark.parametrize("modules", ["attention", "feed_forward"])
def test_only_the_chosen_layers_change(modules, tmp_path):
    model, method = with_head("bert", tmp_path / "whole"), Magnitude(modules=modules)
    names = method.claims(model.blueprint()).modules

    after = weights(saved(model, method, tmp_path / "small"))

    assert unchanged(weights(model), after, but=names)
    assert len(names) == {"attention": 12, "feed_forward": 6}[modules]


@pytest.mark.parametrize("family", ["gpt2", "bert", "llama", "t5", "bart"])
def test_a_pruned_head_changes_words_but_no_feature_and_no_embedding(family, tmp_path, story):
    model, method = with_head(family, tmp_path / "whole"), Magnitude(modules="head")

    small = saved(model, method, tmp_path / "small")

    (name,) = method.claims(model.blueprint()).modules
    assert zeros(small, [name]) == (round(0.5 * 600 * 32), 600 * 32)
    np.testing.assert_array_equal(features(small, story), features(model, story))
    was, left = model.network_with_head(), small.network_with_head()
    assert torch.equal(was.get_input_embeddings().weight, left.get_input_embeddings().weight)
    ids = torch.arange(10)[None]
    given = {"decoder_input_ids": ids} if was.config.is_encoder_decoder else {}
    with torch.inference_mode():
        assert not torch.equal(was(ids, **given).logits, left(ids, **given).logits)
    assert "no feature depends on the head" in method.remarks(model.blueprint())[0]


def test_random_weights_go_by_seed_and_not_by_size(tmp_path):
    model = with_head("llama", tmp_path / "whole")
    method = Magnitude(criterion="random", seed=1)
    name = method.claims(model.blueprint()).modules[0]
    torch.manual_seed(5)
    drawn_before = torch.rand(3)
    torch.manual_seed(5)

    one = saved(model, method, tmp_path / "one").network_with_head().get_submodule(name).weight

    assert torch.equal(torch.rand(3), drawn_before)  # the caller's random numbers are as if nothing had been
    torch.manual_seed(99)
    again = saved(model, method, tmp_path / "again").network_with_head().get_submodule(name).weight
    other = dataclasses.replace(method, seed=2)
    other = saved(model, other, tmp_path / "other").network_with_head().get_submodule(name).weight
    was = model.network_with_head().get_submodule(name).weight
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    gone = np.abs(was[one == 0].detach().numpy()).mean()
    assert gone > 0.8 * np.abs(was.detach().numpy()).mean()  # not the small ones
    assert int((one == 0).sum()) == one.numel() // 2


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_whole_outputs_go_by_the_sum_of_their_magnitudes(family, tmp_path):
    model = with_head(family, tmp_path / "whole")
    method = Magnitude(criterion="structured_magnitude", sparsity=0.25)
    before, claims = weights(model), method.claims(model.blueprint())

    small = saved(model, method, tmp_path / "small")

    after = weights(small)
    for name in claims.modules:
        was, left = before[f"{name}.weight"].numpy(), after[f"{name}.weight"].numpy()
        was, left = (was.T, left.T) if family == "gpt2" else (was, left)
        weakest = np.argsort(np.abs(was).sum(axis=1))[: len(was) // 4]
        expected = was.copy()
        expected[weakest] = 0
        np.testing.assert_array_equal(left, expected, err_msg=name)
    assert zeros(small, claims.modules)[0] == round(claims.sparsity * zeros(small, claims.modules)[1])


def test_whole_outputs_can_go_at_random(tmp_path):
    model, method = (
        with_head("llama", tmp_path / "whole"),
        Magnitude(criterion="structured_random", modules="head", sparsity=0.2),
    )

    left = weights(saved(model, method, tmp_path / "small"))["lm_head.weight"]

    gone = (left == 0).all(dim=1)
    assert int(gone.sum()) == 120
    assert not (left[~gone] == 0).any()


def test_embeddings_that_are_also_the_head_stay_as_they_are(tmp_path):
    model = with_head("gpt2", tmp_path / "whole")

    small = saved(model, Magnitude(sparsity=0.9), tmp_path / "small").network_with_head()

    assert small.lm_head.weight is small.transformer.wte.weight
    assert torch.equal(small.lm_head.weight, model.network_with_head().lm_head.weight)


def test_features_move_further_the_more_is_gone(tmp_path, story):
    model = Transformer(path=f"{TINY}/s", device="cpu")
    whole = features(model, story)

    errors = [
        np.linalg.norm(features(saved(model, Magnitude(sparsity=share), tmp_path / str(share)), story) - whole)
        / np.linalg.norm(whole)
        for share in (0.1, 0.25, 0.5, 0.75)
    ]

    assert errors == sorted(errors)
    assert 0 < errors[0] < 0.2 < errors[-1]


def test_the_head_of_a_model_without_one_cannot_go(tmp_path):
    model = without_head("llama", tmp_path)

    assert Magnitude(modules="head").objection(model) == (
        "compression 'magnitude': modules=head means no linear layer of a llama. Give modules=all | attention | feed_forward."
    )
    assert Magnitude().objection(model) is None


def test_untrained_models_are_not_for_pruning(tmp_path):
    model = dataclasses.replace(without_head("llama", tmp_path), weights="random")

    assert "is for trained weights" in Magnitude().objection(model)


def test_bits_are_those_of_what_is_left_and_of_the_mask():
    assert Magnitude(sparsity=0.5).bits_per_weight((64, 32), 16) == 0.5 * 16 + 1
    assert Magnitude(sparsity=0.1).bits_per_weight((64, 32), 4) == pytest.approx(
        4
    )  # a mask would cost more than it saves
    assert Magnitude(sparsity=0.25, criterion="structured_magnitude").bits_per_weight((64, 32), 16) == 12 + 1 / 32


@pytest.mark.parametrize("sparsity", [0.0, 1.0, -0.1])
def test_a_share_that_is_none_is_refused(sparsity):
    with pytest.raises(ConfigError, match=f"sparsity must lie between 0 and 1, got {sparsity}"):
        COMPRESSIONS.build({"name": "magnitude", "sparsity": sparsity})


def test_whole_outputs_do_not_compete_across_layers():
    with pytest.raises(ConfigError, match="criterion=structured_random needs across=layer"):
        Magnitude(criterion="structured_random", across="model")
