import numpy as np
import pytest
import torch

from brainexp.compressed import uncompressed
from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.sparsegpt import SparseGPT
from brainexp.errors import ConfigError
from brainexp.model.transformer import Transformer
from tests.compression.networks import TINY, saved, weights, with_head, zeros

TEXT = GrammarText(samples=6, tokens=40)


def by_hand(weight, inputs, sparsity, damping, block_size):
    """SparseGPT (Frantar & Alistarh 2023, algorithm 1), transcribed: choose in blocks, move the error to later inputs."""
    moments = 2 * inputs.T @ inputs
    moments += damping * np.mean(np.diag(moments)) * np.eye(len(moments))
    upper = np.linalg.cholesky(np.linalg.inv(moments)).T
    left = weight.astype(np.float64).copy()
    n_inputs = left.shape[1]
    for start in range(0, n_inputs, block_size):
        stop = min(start + block_size, n_inputs)
        score = left[:, start:stop] ** 2 / np.diag(upper)[start:stop] ** 2
        n_gone = round(sparsity * score.size)
        gone = np.zeros(score.size, bool)
        gone[np.argsort(score, axis=None, kind="stable")[:n_gone]] = True
        gone = gone.reshape(score.shape)
        for column in range(start, stop):
            error = np.where(gone[:, column - start], left[:, column], 0) / upper[column, column]
            left[:, column:] -= np.outer(error, upper[column, column:])
            left[gone[:, column - start], column] = 0
    return left


def inputs_of(network, name, samples):
    caught = []
    hook = network.get_submodule(name).register_forward_pre_hook(lambda _, args: caught.append(args[0]))
    with torch.inference_mode():
        for row in samples:
            network(input_ids=torch.tensor(row[None]))
    hook.remove()
    return torch.cat(caught).flatten(0, 1).double().numpy() / np.sqrt(len(samples))


@pytest.mark.parametrize("block_size", [128, 16])
def test_the_first_block_is_as_the_paper_has_it(block_size, tmp_path):
    model = with_head("llama", tmp_path / "whole")
    method = SparseGPT(sparsity=0.4, calibration=TEXT, damping=0.05, block_size=block_size)
    samples = uncompressed(model, method, []).samples
    network = model.network_with_head()

    after = weights(saved(model, method, tmp_path / "small"))

    for name in (one for one in method.claims(model.blueprint()).modules if ".0." in one):
        was = network.get_submodule(name).weight.detach().numpy()
        expected = by_hand(was, inputs_of(network, name, samples), 0.4, 0.05, block_size)
        found = after[f"{name}.weight"].numpy()
        np.testing.assert_array_equal(found == 0, expected == 0, err_msg=name)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4 * np.abs(was).max(), err_msg=name)


@pytest.mark.parametrize("sparsity", [0.1, 0.5])
@pytest.mark.parametrize("block_size", [128, 24])
def test_the_share_is_exact_in_every_layer(sparsity, block_size, tmp_path):
    model, method = (
        with_head("llama", tmp_path / "whole"),
        SparseGPT(sparsity=sparsity, calibration=TEXT, block_size=block_size),
    )
    claims = method.claims(model.blueprint())

    small = saved(model, method, tmp_path / "small")

    n_zero, n = zeros(small, claims.modules)
    assert n_zero == round(claims.sparsity * n)
    assert all(abs(zeros(small, [name])[0] - sparsity * zeros(small, [name])[1]) <= 4 for name in claims.modules)


def test_upstream_still_makes_one_zero_too_many_in_each_block(tmp_path):
    """The day this fails, sparsity can be asked for as it is."""
    from llmcompressor.modifiers.pruning import SparseGPTModifier

    from brainexp.compression.pruning_oneshot import pruned

    model, name = with_head("llama", tmp_path), "model.layers.0.self_attn.q_proj"
    given = uncompressed(model, SparseGPT(calibration=TEXT), [])

    network = pruned(given, lambda: SparseGPTModifier(sparsity=0.5, targets=[name]))

    assert int((network.get_submodule(name).weight == 0).sum()) == 32 * 32 // 2 + 1


def test_equal_weights_in_half_precision_may_go_together(tmp_path):
    model, method = Transformer(path=f"{TINY}/s", dtype="bfloat16", device="cpu"), SparseGPT(calibration=TEXT)
    claims = method.claims(model.blueprint())

    n_zero, n = zeros(saved(model, method, tmp_path), claims.modules)

    assert 0 <= n_zero - claims.sparsity * n <= len(claims.modules)


def test_options_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="damping must be positive and block_size at least 1, got 0 and 128"):
        SparseGPT(damping=0)
    with pytest.raises(ConfigError, match="block_size=30 would cut groups of four"):
        SparseGPT(two_of_four=True, block_size=30)
