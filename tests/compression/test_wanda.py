import numpy as np
import pytest
import torch

from brainexp.compressed import uncompressed
from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.magnitude import Magnitude
from brainexp.compression.sparsegpt import SparseGPT
from brainexp.compression.wanda import Wanda
from brainexp.errors import ConfigError
from brainexp.model.transformer import Transformer
from brainexp.registry import COMPRESSIONS
from tests.compression.networks import (
    TINY,
    perplexity,
    saved,
    unchanged,
    weights,
    with_head,
    without_head,
    zeros,
)

TEXT = GrammarText(samples=6, tokens=40)
METHODS = (Wanda(calibration=TEXT), SparseGPT(calibration=TEXT))
NAMES = ("wanda", "sparsegpt")


def norms_of_inputs(network, names, samples):
    """Euclidean norm of each input of some layers over all tokens, in numpy, by name."""
    squares = dict.fromkeys(names, 0.0)

    def catch(name):
        def hook(_, args):
            given = args[0].detach().double().numpy()
            squares[name] = squares[name] + (given**2).reshape(-1, given.shape[-1]).sum(axis=0)

        return hook

    hooks = [network.get_submodule(name).register_forward_pre_hook(catch(name)) for name in names]
    with torch.inference_mode():
        for row in samples:
            network(input_ids=torch.tensor(row[None]))
    for hook in hooks:
        hook.remove()
    return {name: np.sqrt(square) for name, square in squares.items()}


def kept_by_hand(weight, norms, sparsity):
    """Weights with the smallest |w| times norm of each output set to zero."""
    score = np.abs(weight.astype(np.float64)) * norms
    left = weight.copy()
    for row, order in zip(left, np.argsort(score, axis=1, kind="stable"), strict=True):
        row[order[: int(weight.shape[1] * sparsity)]] = 0
    return left


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_weights_go_by_their_size_times_the_norm_of_their_input(family, tmp_path):
    model, method = with_head(family, tmp_path / "whole"), Wanda(sparsity=0.4, calibration=TEXT)
    samples = uncompressed(model, method, []).samples
    names = method.claims(model.blueprint()).modules
    by_hand = model.network_with_head()
    blocks = {name: [one for one in names if f".{number}." in one] for number, name in enumerate(("0", "1", "2"))}

    after = weights(saved(model, method, tmp_path / "small"))

    for inside in blocks.values():  # a block sees what the pruned ones before it put out
        norms = norms_of_inputs(by_hand, inside, samples)
        for name in inside:
            layer = by_hand.get_submodule(name)
            expected = kept_by_hand(layer.weight.detach().numpy(), norms[name], 0.4)
            np.testing.assert_array_equal(after[f"{name}.weight"].numpy(), expected, err_msg=name)
            layer.weight.data = torch.tensor(expected)


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
@pytest.mark.parametrize("family", ["qwen3", "bert", "gpt_neox"])
def test_the_saved_checkpoint_has_the_share_and_only_that_changed(method, family, tmp_path):
    model = with_head(family, tmp_path / "whole")
    claims = method.claims(model.blueprint())

    small = saved(model, method, tmp_path / "small")

    n_zero, n = zeros(small, claims.modules)
    assert n_zero == round(claims.sparsity * n) == n // 2
    assert claims.in_each
    assert all(zeros(small, [name])[0] == zeros(small, [name])[1] // 2 for name in claims.modules)
    before, after = weights(model), weights(small)
    assert unchanged(before, after, but=claims.modules)


@pytest.mark.parametrize("sparsity", [0.1, 0.7])
def test_shares_that_do_not_divide_a_row_are_rounded_down_and_claimed_so(sparsity, tmp_path):
    model, method = with_head("llama", tmp_path / "whole"), Wanda(sparsity=sparsity, calibration=TEXT)
    claims = method.claims(model.blueprint())

    n_zero, n = zeros(saved(model, method, tmp_path / "small"), claims.modules)

    assert n_zero == round(claims.sparsity * n)
    assert sparsity - 1 / 32 < claims.sparsity <= sparsity


@pytest.mark.parametrize("kind", [Wanda, SparseGPT])
def test_two_of_every_four_inputs_go(kind, tmp_path):
    model, method = with_head("llama", tmp_path / "whole"), kind(two_of_four=True, calibration=TEXT)
    claims = method.claims(model.blueprint())

    after = weights(saved(model, method, tmp_path / "small"))

    for name in claims.modules:
        fours = after[f"{name}.weight"].reshape(-1, 4)
        assert ((fours == 0).sum(dim=1) == 2).all(), name
    assert claims.two_of_four
    assert claims.sparsity == 0.5


def test_only_the_chosen_layers_change(tmp_path):
    model, method = with_head("llama", tmp_path / "whole"), Wanda(modules="attention", calibration=TEXT)
    names = method.claims(model.blueprint()).modules

    after = weights(saved(model, method, tmp_path / "small"))

    assert unchanged(weights(model), after, but=names)
    assert len(names) == 12


def test_the_network_comes_back_as_transformers_made_it_and_no_file_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = with_head("llama", tmp_path / "whole")

    network = Wanda(calibration=TEXT).compress(uncompressed(model, Wanda(calibration=TEXT), []))

    assert [path.name for path in tmp_path.iterdir()] == ["whole"]
    assert not hasattr(network, "hf_device_map")
    assert "save_pretrained" not in vars(network)
    assert type(network.model.layers[0].mlp.up_proj._parameters) is dict
    network.save_pretrained(tmp_path / "small")
    assert {path.name for path in (tmp_path / "small").iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
    }


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_precision_and_tied_embeddings_stay(method, tmp_path):
    model = Transformer(path=f"{TINY}/xs", dtype="bfloat16", device="cpu")

    after = weights(saved(model, method, tmp_path))

    assert unchanged(weights(model), after, but=method.claims(model.blueprint()).modules)


def test_on_trained_models_text_helps_to_choose(tmp_path):
    model, text = Transformer(path=f"{TINY}/s", device="cpu"), GrammarText(samples=32, tokens=128)
    unread = uncompressed(model, Wanda(calibration=GrammarText(samples=16, tokens=256, seed=7)), []).samples
    whole = perplexity(model, unread)

    found = {
        COMPRESSIONS.name_of(method): perplexity(saved(model, method, tmp_path / type(method).__name__), unread)
        for method in (Magnitude(), Wanda(calibration=text), SparseGPT(calibration=text))
    }

    assert whole < 0.95 * found["sparsegpt"] < 0.95**2 * found["wanda"] < 0.95**3 * found["magnitude"]


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("gpt2", "does not know the linear layers of a gpt2. Give compression=magnitude"),
        ("t5", "cannot follow a network of two halves. Give compression=magnitude"),
        ("mamba", "a mamba uses weights past its linear layers. Give compression=magnitude"),
        ("mixtral", "experts of a mixtral are held in one tensor"),
    ],
)
def test_what_llmcompressor_gets_wrong_is_refused(family, words, tmp_path):
    model = with_head(family, tmp_path)

    for method in METHODS:
        assert words in method.objection(model)
    assert "cannot save a mixtral" in Wanda(modules="attention").objection(model) or family != "mixtral"


def test_mamba_would_indeed_be_left_half_as_it_was(tmp_path):
    """The day this fails, Mamba need not be refused any more."""
    from llmcompressor.modifiers.pruning import WandaPruningModifier

    from brainexp.compression.pruning_oneshot import pruned

    model = with_head("mamba", tmp_path)
    names = [name for name in model.blueprint().linear if name.endswith(("dt_proj", "x_proj"))]

    given = uncompressed(model, Wanda(calibration=TEXT), [])
    network = pruned(given, lambda: WandaPruningModifier(sparsity=0.5, targets=names))

    has_zeros = {name.split(".")[-1]: bool((network.get_submodule(name).weight == 0).any()) for name in names}
    assert has_zeros == {"x_proj": True, "dt_proj": False}


def test_fours_that_do_not_divide_the_inputs_are_refused(tmp_path):
    import transformers as hf

    config = hf.LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=66, num_hidden_layers=1, num_attention_heads=2
    )
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(tmp_path)
    model = Transformer(path=str(tmp_path), device="cpu")

    assert Wanda().objection(model) is None
    assert "down_proj has 66 inputs, no multiple of 4. Give two_of_four=false" in Wanda(two_of_four=True).objection(
        model
    )


def test_a_model_without_a_head_is_pruned_too(tmp_path):
    model, method = without_head("llama", tmp_path / "whole"), Wanda(calibration=TEXT)

    small = saved(model, method, tmp_path / "small")

    n_zero, n = zeros(small, method.claims(model.blueprint()).modules)
    assert n_zero == n // 2


def test_bits_are_those_of_what_is_left_and_of_the_mask():
    assert Wanda(sparsity=0.5).bits_per_weight((64, 32), 16) == 9
    assert Wanda(two_of_four=True).bits_per_weight((64, 32), 4) == 3
    assert SparseGPT(sparsity=0.75).bits_per_weight((64, 32), 8) == 3


@pytest.mark.parametrize("name", NAMES)
def test_options_that_contradict_each_other_are_refused(name):
    with pytest.raises(
        ConfigError, match="two_of_four makes half of the weights zero, so sparsity must be 0.5, got 0.7"
    ):
        COMPRESSIONS.build({"name": name, "two_of_four": True, "sparsity": 0.7})
    with pytest.raises(ConfigError, match="sparsity must lie between 0 and 1, got 1.5"):
        COMPRESSIONS.build({"name": name, "sparsity": 1.5})
    with pytest.raises(ConfigError, match="unknown option of compression .*sparsity_profile"):
        COMPRESSIONS.build({"name": name, "sparsity_profile": "owl"})
