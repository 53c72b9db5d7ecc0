import numpy as np
import pytest

from brainexp.compression.low_rank import LowRank, bits_of_rank, highest_rank
from brainexp.errors import ConfigError, ModelError
from brainexp.model.transformer import Transformer
from tests.compression.networks import TINY, features, saved, unchanged, weights, with_head


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "t5"])
@pytest.mark.parametrize("rank", [1, 7])
def test_weights_are_the_nearest_of_that_rank(family, rank, tmp_path):
    model, method = with_head(family, tmp_path / "whole"), LowRank(rank=rank, energy=None)
    claims = method.claims(model.blueprint())
    before = weights(model)

    after = weights(saved(model, method, tmp_path / "small"))

    assert set(claims.ranks.values()) == {rank}
    for name in claims.modules:
        was, left = (side[f"{name}.weight"].double().numpy() for side in (before, after))
        u, s, vt = np.linalg.svd(was, full_matrices=False)
        np.testing.assert_allclose(left, (u[:, :rank] * s[:rank]) @ vt[:rank], atol=1e-5 * s[0], err_msg=name)
        np.testing.assert_allclose(np.linalg.norm(was - left), np.sqrt((s[rank:] ** 2).sum()), rtol=1e-5)
        assert np.linalg.matrix_rank(left, tol=1e-5 * s[0]) == rank
    assert unchanged(before, after, but=claims.modules)


def test_each_layer_takes_the_least_rank_that_has_the_energy(tmp_path):
    model, method = Transformer(path=f"{TINY}/m", device="cpu"), LowRank(energy=0.6)
    before = weights(model)

    small = saved(model, method, tmp_path)

    after, ranks = weights(small), small.network_with_head().config.low_rank
    chosen = method.claims(model.blueprint()).modules
    assert 0 < len(ranks) <= len(chosen)
    for name in chosen:
        s = np.linalg.svd(before[f"{name}.weight"].double().numpy(), compute_uv=False)
        kept = np.cumsum(s**2) / (s**2).sum()
        least = int((kept < 0.6).sum()) + 1
        n_outputs, n_inputs = model.blueprint().linear[name]
        if least * (n_outputs + n_inputs) < n_outputs * n_inputs:
            assert ranks[name] == least
            left = np.linalg.svd(after[f"{name}.weight"].double().numpy(), compute_uv=False)
            assert (left**2).sum() / (s**2).sum() == pytest.approx(kept[least - 1], rel=1e-4)
        else:
            assert name not in ranks
    assert unchanged(before, after, but=tuple(ranks))


def test_in_half_precision_the_product_is_rounded_and_no_more(tmp_path):
    model, method = Transformer(path=f"{TINY}/m", dtype="bfloat16", device="cpu"), LowRank(rank=8, energy=None)
    before = weights(model)

    after = weights(saved(model, method, tmp_path))

    assert {str(tensor.dtype) for tensor in after.values()} == {"torch.bfloat16"}
    for name in method.claims(model.blueprint()).modules:
        u, s, vt = np.linalg.svd(before[f"{name}.weight"].double().numpy(), full_matrices=False)
        expected = (u[:, :8] * s[:8]) @ vt[:8]
        # a unit in the last place of bfloat16 is 2^-8 of a number, half of which is lost at the most
        error = np.abs(after[f"{name}.weight"].double().numpy() - expected)
        assert (error <= 2.0**-8 * np.abs(expected) + 1e-5 * s[0]).all()


def test_features_come_nearer_as_the_rank_rises(tmp_path, story):
    model = Transformer(path=f"{TINY}/m", device="cpu")
    whole = features(model, story)

    errors = [
        np.linalg.norm(features(saved(model, LowRank(rank=rank, energy=None), tmp_path / str(rank)), story) - whole)
        for rank in (4, 16, 40, 60)
    ]

    assert errors == sorted(errors, reverse=True)
    assert errors[-1] > 0


def test_layers_for_which_a_rank_saves_nothing_stay_and_are_told(tmp_path):
    model, method = with_head("llama", tmp_path / "whole"), LowRank(rank=12, energy=None)
    claims = method.claims(model.blueprint())
    found = model.blueprint()

    after = weights(saved(model, method, tmp_path / "small"))

    # rank 12 of 32 × 32 would take 12 * 64 = 768 numbers for 1,024, of 16 × 32 12 * 48 = 576 for 512
    assert {name.split(".")[-1] for name in found.linear if name not in (*claims.modules, "lm_head")} == {
        "k_proj",
        "v_proj",
    }
    assert unchanged(weights(model), after, but=claims.modules)
    assert method.remarks(found) == (
        "low_rank: 6 of 21 layers are so small that rank 12 would save nothing; they stay.",
    )
    assert LowRank(rank=4, energy=None).remarks(found) == ()


def test_a_rank_that_saves_nothing_anywhere_is_refused(tmp_path):
    model = with_head("llama", tmp_path)

    assert LowRank(rank=21, energy=None).objection(model) is None
    assert LowRank(rank=22, energy=None).objection(model) == (
        "compression 'low_rank': rank=22 saves nothing in any layer. Give at most 21."
    )
    with pytest.raises(ModelError, match="in no layer has a rank that saves anything 99% of the energy. Lower energy"):
        saved(model, LowRank(energy=0.99), tmp_path / "small")


def test_bits_are_those_of_two_thin_matrices():
    assert LowRank(rank=8, energy=None).bits_per_weight((64, 32), 16) == 8 * (64 + 32) * 16 / (64 * 32)
    assert bits_of_rank((100, 10), highest_rank((100, 10)), 16) < 16
    assert bits_of_rank((100, 10), highest_rank((100, 10)) + 1, 16) >= 16
    assert np.isnan(LowRank().bits_per_weight((64, 32), 16))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 3}, "give either rank or energy"),
        ({"energy": None}, "give either rank or energy"),
        ({"rank": 0, "energy": None}, "rank must be at least 1, got 0"),
        ({"energy": 1.0}, "energy must lie between 0 and 1, got 1.0"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        LowRank(**options)
