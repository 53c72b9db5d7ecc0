import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from brainexp.compressed import uncompressed
from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.gptq import Gptq
from brainexp.compression.layer_drop import LayerDrop
from brainexp.compression.low_rank import LowRank
from brainexp.compression.magnitude import Magnitude
from brainexp.compression.options import Compressing
from brainexp.compression.recipe import Recipe
from brainexp.compression.rtn import RoundToNearest
from brainexp.compression.scope import chosen
from brainexp.compression.sparsegpt import SparseGPT
from brainexp.compression.wanda import Wanda
from brainexp.errors import ConfigError
from brainexp.interfaces import Claims
from brainexp.registry import COMPRESSIONS
from tests.compression import quantized
from tests.compression.networks import saved, unchanged, weights, with_head, zeros

TEXT = GrammarText(samples=4, tokens=30)


@dataclass(frozen=True)
class Rounding(Compressing):
    """Rounds every row to sixteen values and, like methods that mend their errors, makes something of every zero."""

    modules: str = "all"
    reload: bool = False

    def claims(self, blueprint):
        return Claims(modules=chosen(blueprint, self.modules), bits=4)

    def bits_per_weight(self, shape, dense_bits):
        return 4 + dense_bits / shape[1]

    def compress(self, given) -> Any:
        # what a library asks for that quantizes while it reads
        network = given.network(**({"attn_implementation": "eager"} if self.reload else {}))
        assert not self.reload or network.config._attn_implementation == "eager"
        with torch.no_grad():
            for name in chosen(given.blueprint, self.modules):
                weight = network.get_submodule(name).weight
                step = weight.abs().amax(dim=1, keepdim=True) / 7
                weight.copy_(torch.where(weight == 0, step, (weight / step).round() * step))
        return network


@pytest.fixture(autouse=True)
def rounding(monkeypatch):
    monkeypatch.setitem(COMPRESSIONS._members, "rounding", Rounding)


@pytest.fixture
def model(tmp_path):
    return with_head("llama", tmp_path / "whole")


@pytest.mark.parametrize("prune", [Magnitude(), Wanda(calibration=TEXT), SparseGPT(calibration=TEXT)])
@pytest.mark.parametrize("reload", [False, True])
def test_zeros_survive_rounding_and_both_claims_hold(prune, reload, model, tmp_path):
    recipe = Recipe(steps=(prune, Rounding(reload=reload)))
    claims = recipe.claims(model.blueprint())

    small = saved(model, recipe, tmp_path / "small")

    n_zero, n = zeros(small, claims.modules)
    assert n_zero >= round(claims.sparsity * n) == n // 2
    assert n_zero < 0.62 * n  # rounding makes some of its own
    after = weights(small)
    alone = weights(saved(model, prune, tmp_path / "alone"))
    for name in claims.modules:
        rows = after[f"{name}.weight"]
        assert max(len(row.unique()) for row in rows) <= 2**claims.bits
        assert (rows[alone[f"{name}.weight"] == 0] == 0).all()
    assert unchanged(weights(model), after, but=claims.modules)
    assert recipe.objection(model) is None


@pytest.mark.parametrize("family", ["llama", "bert"])
@pytest.mark.parametrize(
    ("prune", "quantize"),
    [
        (Wanda(calibration=TEXT), RoundToNearest(group_size=16)),
        (Wanda(calibration=TEXT, two_of_four=True), RoundToNearest(group_size=16, symmetric=False)),
        (SparseGPT(calibration=TEXT), Gptq(group_size=16, calibration=TEXT)),
    ],
    ids=["wanda+rtn", "two_of_four+asymmetric", "sparsegpt+gptq"],
)
def test_a_pruned_and_quantized_checkpoint_is_both(prune, quantize, family, tmp_path):
    model = with_head(family, tmp_path / "whole")
    recipe = Recipe(steps=(prune, quantize))
    assert recipe.objection(model) is None
    mask = {
        name: weight == 0
        for name, weight in quantized.saved_weights(prune, model, tmp_path / "pruned").items()
        if any(module.endswith(name) for module in recipe.claims(model.blueprint()).modules)
    }

    after = quantized.saved_weights(recipe, model, tmp_path / "small")

    assert len(mask) == len(recipe.claims(model.blueprint()).modules)
    for name, was_zero in mask.items():
        assert was_zero.mean() == 0.5
        assert (after[name][was_zero] == 0).all(), name
        assert quantized.most_values(after[name], 16) <= 16
        assert not prune.two_of_four or ((after[name].reshape(-1, 4) != 0).sum(axis=1) <= 2).all()
    # bits of a number and of a sixteenth of its float32 scale (and zero point), half of them kept, and a mask
    of_group = 4 + (32 if quantize.symmetric else 32 + 4) / 16
    assert recipe.bits_per_weight((64, 32), 32) == 0.5 * of_group + 1


def test_gptq_alone_would_fill_zeros(tmp_path):
    """The day this fails, zeros need not be restored."""
    model = with_head("llama", tmp_path / "whole")
    prune, quantize = SparseGPT(calibration=TEXT), Gptq(group_size=16, calibration=TEXT)
    name = "layers.1.mlp.up_proj"

    small = quantized.saved(quantized.compressed(prune, model), tmp_path / "pruned", model)

    was_zero = quantized.weights(small)[name] == 0
    assert (quantized.saved_weights(quantize, small, tmp_path / "filled")[name][was_zero] != 0).any()


def test_what_a_step_leaves_is_what_the_next_one_gets(model, tmp_path):
    steps = (LayerDrop(calibration=TEXT), Wanda(calibration=TEXT))

    together = weights(saved(model, Recipe(steps=steps), tmp_path / "together"))

    dropped = saved(model, steps[0], tmp_path / "dropped")
    one_by_one = weights(saved(dropped, steps[1], tmp_path / "one_by_one"))
    assert unchanged(one_by_one, together)


def test_after_blocks_are_dropped_claims_are_of_those_that_are_left(model, tmp_path):
    recipe = Recipe(steps=(LayerDrop(n_blocks=2, by="last"), Magnitude(sparsity=0.25, modules="attention")))
    claims = recipe.claims(model.blueprint())

    small = saved(model, recipe, tmp_path / "small")

    assert claims.modules == tuple(f"model.layers.0.self_attn.{one}_proj" for one in "qkvo")
    assert zeros(small, claims.modules) == (768, 3072)
    assert recipe.blocks_left(3) == small.blueprint().n_blocks == 1
    assert recipe.after(model.blueprint()) == small.blueprint()
    assert small.network_with_head().config.kept_blocks == [0]


def test_a_weight_costs_what_pruning_leaves_of_the_rounded_ones():
    assert Recipe(steps=(Magnitude(), Rounding())).bits_per_weight((64, 32), 16) == 0.5 * (4 + 16 / 32) + 1
    assert Recipe(steps=(LayerDrop(), Rounding())).bits_per_weight((64, 32), 16) == 4.5


def test_a_recipe_is_read_from_plain_options_and_told_as_such():
    options = {
        "name": "recipe",
        "steps": [{"name": "wanda", "calibration": {"name": "grammar", "samples": 5}}, {"name": "rounding"}],
    }

    built = COMPRESSIONS.build(options)

    assert built == Recipe(steps=(Wanda(calibration=GrammarText(samples=5)), Rounding()))
    assert built.calibration == GrammarText(samples=5)
    told = COMPRESSIONS.options(built)
    assert told["steps"][0]["calibration"] == {"name": "grammar", "samples": 5, "tokens": 256, "seed": 0}
    assert COMPRESSIONS.build(told) == built


def test_it_needs_text_if_a_step_does_and_gradients_flow_if_they_do_in_all(monkeypatch):
    assert Recipe(steps=(Magnitude(), Rounding())).calibration is None
    assert Recipe(steps=(Magnitude(), Rounding())).differentiable
    monkeypatch.setattr(Rounding, "differentiable", False)
    assert not Recipe(steps=(Magnitude(), Rounding())).differentiable


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((Rounding(), Magnitude()), r"step 2 \(magnitude\) makes zeros or lowers the rank, which must not follow a step that quantizes"),
        ((Rounding(), Rounding()), "quantizes, which must not follow a step that quantizes"),
        ((Magnitude(), Wanda()), r"step 2 \(wanda\) makes zeros"),
        ((Magnitude(), LayerDrop()), r"step 2 \(layer_drop\) drops blocks, which must not follow"),
        ((LowRank(rank=4, energy=None), Rounding()), r"step 1 \(low_rank\): a product of thin matrices that is rounded"),
        ((Magnitude(modules="attention"), Rounding()), "changes 21 layers, but the step before it 12.*same modules"),
        ((LayerDrop(n_blocks=1), LayerDrop(n_blocks=1)), "drops blocks, which must not follow a step that drops blocks"),
        ((LayerDrop(n_blocks=3),), r"'recipe', step 1: compression 'layer_drop': n_blocks=3 of 3 would leave none"),
        ((LayerDrop(), LowRank(rank=99, energy=None)), r"'recipe', step 2: compression 'low_rank': rank=99 saves nothing"),
    ],
)  # fmt: skip
def test_steps_that_cannot_work_in_that_order_are_refused(steps, words, model):
    import re

    assert re.search(words, Recipe(steps=steps).objection(model))


def test_steps_that_can_are_not(model):
    steps = (LayerDrop(), Magnitude(), Rounding())

    assert Recipe(steps=steps).objection(model) is None
    assert Recipe(steps=(LayerDrop(), LowRank(rank=4, energy=None))).objection(model) is None


def test_a_step_is_asked_about_the_network_that_it_will_get(model):
    assert "n_blocks=2 of 2" in (LayerDrop(n_blocks=2).objection(_with_blocks(model, 2)) or "")
    left = Recipe(steps=(LayerDrop(n_blocks=2),)).steps[0].after(model.blueprint())
    assert left.n_blocks == 1
    assert len(Magnitude().claims(left).modules) == 7


def _with_blocks(model, n_blocks):
    from brainexp.compression.recipe import _Between

    return _Between(model, dataclasses.replace(model.blueprint(), n_blocks=n_blocks))


def test_remarks_of_all_steps_are_told(model):
    recipe = Recipe(steps=(LayerDrop(), LowRank(rank=12, energy=None)))

    assert recipe.remarks(model.blueprint()) == (
        "low_rank: 4 of 14 layers are so small that rank 12 would save nothing; they stay.",
    )


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], r"steps must be methods that compress, got \[\]"),
        ([{"name": "none"}], "steps must be methods that compress, got \\['none'\\]"),
        ([{"name": "magnitude", "sparsity": 2}], "compression 'magnitude': sparsity must lie between 0 and 1, got 2"),
        ([{"name": "wnada"}], "unknown compression 'wnada'. Did you mean 'wanda'"),
        (
            [{"name": "layer_drop"}, {"name": "wanda", "calibration": {"name": "grammar", "seed": 1}}],
            "steps must read the same calibration",
        ),
        (
            [{"name": "recipe", "steps": [{"name": "magnitude"}]}],
            "steps must be methods that compress, got \\['recipe'\\]",
        ),
    ],
)
def test_steps_that_make_no_recipe_are_refused(steps, words):
    with pytest.raises(ConfigError, match=words):
        COMPRESSIONS.build({"name": "recipe", "steps": steps})


def test_the_first_step_reads_the_model_and_no_other(model):
    read = []
    given = uncompressed(model, Magnitude(), [])
    counted = dataclasses.replace(given, network=lambda **options: read.append(options) or given.network(**options))

    Recipe(steps=(Magnitude(), Rounding(reload=True))).compress(counted)

    assert read == [{}]
