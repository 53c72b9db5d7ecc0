"""What the compressions of bitsandbytes have in common."""

import dataclasses

import numpy as np
import pytest
import torch

from brainexp.compressed import uncompressed
from brainexp.compression import bnb
from brainexp.compression.bnb_fp4 import BnbFp4
from brainexp.compression.bnb_int8 import BnbInt8
from brainexp.compression.bnb_nf4 import BnbNf4
from brainexp.model.static_vectors import StaticVectors
from brainexp.model.transformer import Transformer
from tests.compression.bnb_cases import TINY, features, relative, saved

ALL = [BnbInt8(), BnbNf4(), BnbNf4(double_quant=False), BnbFp4(), BnbFp4(double_quant=False)]


@pytest.mark.parametrize("compression", ALL, ids=repr)
def test_features_are_near_the_full_model_and_the_same_if_the_network_ran_before_it_was_saved(
    compression, story, tmp_path
):
    small = saved(compression, TINY, tmp_path / "once")
    again = saved_after_a_pass(compression, TINY, tmp_path / "again")

    error = relative(features(small, story), features(TINY, story))

    assert 0.001 < error < (0.05 if isinstance(compression, BnbInt8) else 0.5)
    np.testing.assert_array_equal(features(small, story), features(again, story))


def saved_after_a_pass(compression, model, folder):
    """Save a network that has run: what bitsandbytes' layout for CPUs would spoil."""
    network = compression.compress(uncompressed(model, compression, ()))
    with torch.inference_mode():
        network(input_ids=torch.arange(12)[None])
    network.save_pretrained(folder)
    model.tokenizer().save_pretrained(folder)
    return model.at(folder)


@pytest.mark.parametrize("family", ["bert", "llama", "qwen2", "gpt_neox"])
@pytest.mark.parametrize("compression", [BnbInt8(), BnbNf4()], ids=["int8", "nf4"])
def test_other_families_are_compressed_saved_and_read(compression, family, checkpoints, story, tmp_path):
    model = Transformer(path=str(checkpoints[family]), device="cpu")
    assert compression.objection(model) is None

    small = saved(compression, model, tmp_path)

    assert relative(features(small, story), features(model, story)) < 0.5
    assert small.blueprint().quantized.startswith("bitsandbytes")


@pytest.mark.parametrize("compression", [BnbInt8(), BnbNf4()], ids=["int8", "nf4"])
def test_exactly_the_claimed_layers_are_quantized(compression, tmp_path):
    compression = dataclasses.replace(compression, skip_modules=("o_proj", "model.layers.0"))
    network = compression.compress(uncompressed_tiny())

    import bitsandbytes

    kinds = bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt
    found = tuple(name for name, module in network.named_modules() if isinstance(module, kinds))
    claimed = compression.claims(TINY.blueprint()).modules

    assert sorted(found) == sorted(claimed)
    assert claimed
    assert not any(name.endswith("o_proj") or "layers.0" in name or "head" in name for name in claimed)


def uncompressed_tiny():
    return uncompressed(TINY, BnbNf4(), ())


@pytest.mark.parametrize("compression", [BnbInt8(), BnbNf4()], ids=["int8", "nf4"])
def test_gradients_flow_through_to_the_input(compression):
    network = compression.compress(uncompressed_tiny())
    given = network.get_input_embeddings().weight[None, 3:9].detach().requires_grad_()

    network(inputs_embeds=given).logits.sum().backward()

    assert compression.differentiable
    assert torch.isfinite(given.grad).all()
    assert given.grad.abs().sum() > 0


def test_what_cannot_be_is_said_before_anything_loads(checkpoints, tmp_path, monkeypatch):
    blueprint = TINY.blueprint()
    gpt2 = Transformer(path=str(checkpoints["gpt2"]), device="cpu")
    table = tmp_path / "vectors.txt"
    table.write_text("the 1 2 3\n")

    def why(compression, **changes):
        return next(compression._objections(dataclasses.replace(blueprint, **changes)), None)

    assert BnbNf4().objection(TINY) is None
    assert "skip_modules='q_prj' is no linear layer of the model. Layers end in: down_proj" in why(
        BnbNf4(skip_modules=("q_prj",))
    )
    assert "leaves no layer to change" in why(BnbNf4(skip_modules=("proj",)))
    assert "runs on cpu and cuda, but model.device=mps" in why(BnbInt8(), device="mps")
    assert BnbNf4().objection(gpt2) is None  # whose linear layers are Conv1D, which it rounds too
    assert "has no linear layers that it could change" in BnbNf4().objection(StaticVectors(path=str(table)))
    assert "does not reach the experts of a mixtral" in why(BnbNf4(), family="mixtral")
    assert "is for trained weights" in BnbNf4().objection(dataclasses.replace(TINY, weights="random"))
    monkeypatch.setattr(bnb, "LIBRARIES", ("no_such_library",))
    assert "needs no_such_library, which is not installed. Install it: pip install brainexp[compress]" in why(BnbInt8())


def test_what_transformers_keeps_in_full_is_not_claimed():
    blueprint = dataclasses.replace(
        TINY.blueprint(),
        family="t5",
        linear={"encoder.block.0.layer.1.DenseReluDense.wo": (8, 8), "encoder.q": (8, 8)},
        head=(),
    )

    assert BnbNf4().modules(blueprint) == ("encoder.q",)


def test_a_compressed_checkpoint_is_not_compressed_again(tmp_path):
    small = saved(BnbNf4(), TINY, tmp_path)

    assert BnbInt8().objection(small) == (
        "compression 'bnb_int8' needs full weights, but the checkpoint is already quantized (bitsandbytes nf4 double). Give "
        "compression=none to use it as it is, or the model that it was made from."
    )


def test_memory_is_reckoned_packed(tmp_path):
    full = TINY.size().n_bytes
    linear = sum(a * b for name, (a, b) in TINY.blueprint().linear.items() if name not in TINY.blueprint().head)

    assert saved(BnbNf4(), TINY, tmp_path / "four").size().n_bytes == full - linear * (4 - 0.5625)
    assert saved(BnbInt8(), TINY, tmp_path / "eight").size().n_bytes == full - linear * (4 - 1)
