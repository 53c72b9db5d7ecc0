"""Who does not do what it claims is caught, told which layer and what, and nothing of it is kept."""

import numpy as np
import pytest

from brainexp.compressed import CompressedModel
from brainexp.compressed.proof import PROBE_TEXT, RELOAD_TOLERANCE
from brainexp.errors import ModelError
from brainexp.model.transformer import Transformer
from tests.compressed.members import (
    Crash,
    Dropping,
    Idle,
    IdlePruning,
    LowRank,
    OtherOnDisk,
    Pruning,
    Rounding,
    TooManyValues,
)

FIRST = "layers.0.self_attn.q_proj"


@pytest.fixture
def compressed(checkpoints, members, tmp_path):
    def of(method, family="llama", dtype="bfloat16"):
        return CompressedModel(Transformer(path=str(checkpoints[family]), dtype=dtype), method, (), tmp_path)

    return of


def kept(tmp_path):
    return [file for file in tmp_path.rglob("*") if file.is_file() and not file.name.endswith(".lock")]


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    "method",
    [Rounding(bits=3), Pruning(sparsity=0.25), LowRank(rank=4), Dropping(drop=1)],
    ids=lambda one: type(one).__name__,
)
def test_who_does_what_it_claims_is_let_through_with_the_same_features(compressed, method, dtype):
    source = compressed(method, dtype=dtype)

    facts = source.facts()

    assert facts["compression/reload_error"] == 0
    assert facts.get("compression/weight_change", 1) > 0.01
    assert source.load().n_layers == source.shape()[0] == (2 if type(method) is Dropping else 3)


@pytest.mark.parametrize("family", ["bert", "qwen2", "gpt_neox"])
def test_other_families_prove_themselves_too(compressed, family):
    assert compressed(Rounding(), family).facts()["compression/reload_error"] == 0


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (IdlePruning(), rf"{FIRST} was to have a share of 0.5 zeros, but has 0.0000"),
        (Idle(), r"weights were to change, but \d+ layers have those that they had"),
        (Pruning(keep=(FIRST,)), rf"{FIRST} was to have a share of 0.5 zeros, but has 0.0000"),
        (Pruning(sparsity=0.25, told=0.5), rf"{FIRST} was to have a share of 0.5 zeros, but has 0.2500"),
        (Pruning(two_of_four=True), rf"{FIRST} was to have two zeros among every four neighbouring inputs, but has \d"),
        (
            TooManyValues(bits=4, group_size=32),
            r"layers.0.self_attn.k_proj was to have at most 2\^4 = 16 values in a group of 32, but has 17",
        ),
        (LowRank(rank=5, told=4), rf"{FIRST} was to have rank 4, but has rank 5"),
        (Dropping(drop=1, told=0), "2 blocks were to be left, but the saved checkpoint has 1"),
        (
            OtherOnDisk(),
            r"features of layer \d were to be the same when the checkpoint is read again, to 0.01 of their norm, but differ by",
        ),
    ],
    ids=lambda one: "" if isinstance(one, str) else type(one).__name__,
)
def test_who_does_not_is_caught_and_nothing_is_kept(compressed, tmp_path, method, words):
    source = compressed(method)

    with pytest.raises(ModelError, match=rf"did not do what it claims: {words}.*Nothing is kept."):
        source.load()

    assert kept(tmp_path) == []


def test_a_crash_in_the_middle_leaves_nothing(compressed, tmp_path):
    with pytest.raises(MemoryError, match="no more"):
        compressed(Crash()).load()

    assert kept(tmp_path) == []
    assert compressed(Pruning()).facts()["compression/reload_error"] == 0


def test_no_zeros_asked_for_change_nothing_and_are_no_fault(compressed):
    assert compressed(Pruning(sparsity=0.0)).facts()["compression/weight_change"] == 0


def test_tolerances_are_of_the_order_of_rounding_and_the_text_has_words_enough():
    import torch

    for dtype, tolerance in RELOAD_TOLERANCE.items():
        assert torch.finfo(getattr(torch, dtype)).eps < tolerance < 3 * 2**-8
    assert len(PROBE_TEXT.split()) > 20
    assert np.unique(PROBE_TEXT.split()).size > 20
