"""What people call a run."""

import pytest

import brainexp.composition  # noqa: F401  registers all members
from brainexp.labels import run_label
from brainexp.registry import COMPRESSIONS

LABELS = [
    (["awq"], "awq w4 g128"),
    (["awq", "symmetric=true"], "awq w4 g128 sym"),
    (["gptq", "bits=3", "group_size=64"], "gptq w3 g64 act"),
    (["gptq", "act_order=none"], "gptq w4 g128"),
    (["rtn", "bits=8", "group_size=null"], "rtn w8"),
    (["rtn", "bits=2", "symmetric=false"], "rtn w2 g128 asym"),
    (["rtn", "bits=8", "group_size=null", "activations=8"], "rtn w8a8"),
    (["smoothquant"], "smoothquant w8a8"),
    (["smoothquant", "strength=0.8", "then=gptq"], "smoothquant w8a8 α0.8 gptq"),
    (["dynamic_int8"], "dynamic_int8 w8a8"),
    (["dynamic_int8", "modules=attention"], "dynamic_int8 w8a8 attention"),
    (["fp8"], "fp8"),
    (["fp8", "scales=block"], "fp8 block"),
    (["bnb_nf4"], "bnb nf4"),
    (["bnb_fp4", "double_quant=false"], "bnb fp4 single"),
    (["bnb_int8"], "bnb int8"),
    (["bnb_int8", "threshold=0", "skip_modules=[o_proj]"], "bnb int8 t0 without o_proj"),
    (["magnitude"], "magnitude 50 %"),
    (["magnitude", "sparsity=0.125", "modules=head", "across=model"], "magnitude 12.5 % head across model"),
    (["magnitude", "criterion=structured_random", "sparsity=0.1"], "structured_random 10 %"),
    (["wanda", "sparsity=0.25"], "wanda 25 %"),
    (["wanda", "two_of_four=true"], "wanda 2:4"),
    (["sparsegpt", "modules=feed_forward"], "sparsegpt 50 % feed_forward"),
    (["layer_drop", "n_blocks=3"], "layer_drop 3"),
    (["layer_drop", "by=last"], "layer_drop 1 last"),
    (["low_rank"], "low_rank 90 %"),
    (["low_rank", "rank=32", "energy=null"], "low_rank r32"),
    (["recipe"], "magnitude 50 % + rtn w4"),
    (["prune50_int4"], "wanda 50 % + rtn w4 g128"),
    (["none"], "none"),
]


@pytest.mark.parametrize(("words", "label"), LABELS, ids=[label for _, label in LABELS])
def test_a_compression_says_what_decides_how_much_is_lost(composed, words, label):
    choice, *options = words
    config = composed(f"compression={choice}", *(f"compression.{option}" for option in options))

    assert COMPRESSIONS.build(config["compression"]).label == label


def test_every_compression_is_among_them():
    assert {words[0] for words, _ in LABELS} - {"prune50_int4"} == set(COMPRESSIONS.names())


@pytest.mark.parametrize(
    ("overrides", "choices", "label"),
    [
        ([], {}, "m · none · synthetic · all"),
        (
            ["compression=awq", "dataset=lebel2023", "dataset.subjects=[UTS01,UTS03]"],
            {"model": "qwen3b", "dataset": "lebel2023"},
            "qwen3b · awq w4 g128 · lebel2023 · UTS01+UTS03",
        ),
        (
            ["dataset=deniz2019", "dataset.subjects=[1,2,3,4]"],
            {"model": "gpt2"},
            "gpt2 · none · deniz2019 · 4 subjects",
        ),
        (["dataset=custom_items"], {"model": "gpt2", "dataset": "custom_items"}, "gpt2 · none · custom_items · all"),
        (
            ["model=transformer", "model.path=Qwen/Qwen2.5-3B", "model.weights=random"],
            {"model": "transformer"},
            "Qwen2.5-3B untrained · none · synthetic · all",
        ),
        (
            ["prompt=task", "encoder=banded_ridge"],
            {"model": "gpt2", "encoder": "deep_fmri", "prompt": "task"},
            "gpt2 · none · synthetic · all · task · deep_fmri",
        ),
    ],
)
def test_a_run_is_called_by_what_was_chosen(composed, overrides, choices, label):
    assert run_label(composed(*overrides), choices) == label
