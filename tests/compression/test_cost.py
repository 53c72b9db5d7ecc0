"""What a model costs: counted by hand, by formula and from the stored files."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from brainexp.compression.cost import bits, cost, disk_bytes, sparsity, stored, stored_bits, tensor_bytes
from brainexp.compression.layer_drop import LayerDrop
from brainexp.compression.low_rank import LowRank
from brainexp.compression.magnitude import Magnitude
from brainexp.compression.none import NoCompression
from brainexp.compression.options import Compressing
from brainexp.compression.recipe import Recipe
from brainexp.compression.rtn import RoundToNearest
from brainexp.interfaces import Claims
from brainexp.model.static_vectors import StaticVectors
from brainexp.model.transformer import Transformer

SIZES = ("xs", "m")


@dataclass(frozen=True)
class FourBits(Compressing):
    """Groups of 32 inputs share a scale of 16 bits, in some layers."""

    of: str = ""

    def claims(self, blueprint):
        return Claims(modules=tuple(name for name in blueprint.linear if self.of in name))

    def bits_per_weight(self, shape, dense_bits):
        assert dense_bits == 16
        return 4 + 16 / 32


def ladder(size, **options):
    return Transformer(path=f"package:brainexp/model/tiny/{size}", **options)


def by_hand(size):
    """Weights of the linear layers, and of everything without the head, which shares its weights with the embedding."""
    network = ladder(size).load().network
    linear = sum(one.weight.numel() for one in network.modules() if isinstance(one, torch.nn.Linear))
    return linear, sum(one.numel() for one in network.parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_kept_whole_takes_the_bits_of_its_dtype(dtype):
    found = bits(ladder("m", dtype=dtype), NoCompression())

    width = {"float32": 32, "bfloat16": 16}[dtype]
    assert found == pytest.approx({"bits_per_weight": width, "bits_per_linear_weight": width})


@pytest.mark.parametrize("size", SIZES)
def test_bits_are_those_of_the_formula_and_embeddings_stay_whole(size):
    n_linear, n_all = by_hand(size)

    found = bits(ladder(size, dtype="bfloat16"), FourBits())

    assert found["bits_per_linear_weight"] == pytest.approx(4.5)
    assert found["bits_per_weight"] == pytest.approx((4.5 * n_linear + 16 * (n_all - n_linear)) / n_all)


def test_only_the_layers_that_the_method_changes_count_as_changed():
    network = ladder("m").load().network
    named = {name: one.weight.numel() for name, one in network.named_modules() if isinstance(one, torch.nn.Linear)}
    attention = sum(n for name, n in named.items() if "self_attn" in name)

    found = bits(ladder("m", dtype="bfloat16"), FourBits(of="self_attn"))

    expected = (4.5 * attention + 16 * (sum(named.values()) - attention)) / sum(named.values())
    assert found["bits_per_linear_weight"] == pytest.approx(expected)


def test_what_is_gone_or_thin_is_counted_by_hand_for_every_weight_there_was():
    """tiny_xs: of 32 inputs, 96 between, two blocks, 1,024 words and five norms of 32."""
    attention, between = 4 * 32 * 32, 3 * 32 * 96
    block, others = attention + between, 1024 * 32 + 5 * 32
    n_linear, n_all = 2 * block, 2 * block + others
    assert (n_linear, n_all) == by_hand("xs")
    model = ladder("xs", dtype="bfloat16")

    def expected(linear_bits):
        return {
            "bits_per_weight": pytest.approx((linear_bits + 16 * others) / n_all),
            "bits_per_linear_weight": pytest.approx(linear_bits / n_linear),
        }

    drop, prune, rounding = LayerDrop(n_blocks=1, by="last"), Magnitude(sparsity=0.5), RoundToNearest(4, 32)
    assert bits(model, drop) == expected(16 * block)
    # four bits and a sixteenth of a scale's 16, half of them, and a mask
    assert bits(model, Recipe((prune, rounding))) == expected((4.5 / 2 + 1) * 2 * block)
    assert bits(model, Recipe((drop, prune, rounding))) == expected((4.5 / 2 + 1) * block)
    # eight rows of 32 and of 32, for 32 × 32; of 32 and of 96, for 32 × 96
    thin = 16 * (4 * 8 * (32 + 32) + 3 * 8 * (32 + 96))
    assert bits(model, LowRank(rank=8, energy=None)) == expected(2 * thin)
    assert bits(model, Recipe((drop, LowRank(rank=8, energy=None)))) == expected(thin)


def test_ranks_that_only_the_weights_tell_are_counted_where_they_are_known():
    model = ladder("xs", dtype="bfloat16")
    assert all(np.isnan(value) for value in bits(model, LowRank(energy=0.9)).values())

    found = bits(model, LowRank(energy=0.9), {"model.layers.1.mlp.up_proj": 5})

    n_linear, n_all = by_hand("xs")
    saved = 16 * (32 * 96 - 5 * (32 + 96))
    assert found["bits_per_linear_weight"] == pytest.approx(16 - saved / n_linear)
    assert found["bits_per_weight"] == pytest.approx(16 - saved / n_all)


def test_gpt2_has_the_bits_of_its_dtype_too(checkpoints):
    assert bits(Transformer(path=str(checkpoints["gpt2"])), NoCompression())["bits_per_weight"] == pytest.approx(32)


def test_word_vectors_have_no_bits(tmp_path):
    (tmp_path / "vectors.txt").write_text("fox 1 2\ncrow 3 4\n")
    vectors = StaticVectors(path=str(tmp_path / "vectors.txt"))

    assert bits(vectors, NoCompression()) == {}
    assert cost(vectors.load()) == {}
    assert stored(vectors) == {}


def test_the_file_of_the_weights_is_weighed_and_nothing_else():
    path = ladder("m").folder() / "model.safetensors"

    assert stored(ladder("m")) == {"disk_bytes": path.stat().st_size}


@pytest.mark.parametrize("size", SIZES)
def test_stored_bits_are_those_of_the_file(size):
    model = ladder(size)

    found = stored_bits(tensor_bytes(model.folder()), model.blueprint(), 8 * model.size().n_bytes / 32)

    assert found == pytest.approx({"bits_per_weight": 16, "bits_per_linear_weight": 16})


def test_a_checkpoint_that_came_quantized_counts_scales_and_zero_points(tmp_path):
    """Packed as compressed-tensors packs: eight 4-bit codes to an int32, a bfloat16 scale per 32 inputs."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    model = ladder("m", dtype="bfloat16")
    blueprint = model.blueprint()
    tensors = {}
    with safe_open(model.folder() / "model.safetensors", "pt") as file:
        for key in file.keys():  # noqa: SIM118  no mapping
            layer, _, kind = key.rpartition(".")
            weight = file.get_tensor(key)
            if kind == "weight" and layer in blueprint.linear:
                rows, columns = weight.shape
                tensors[f"{layer}.weight_packed"] = torch.zeros(rows, columns // 8, dtype=torch.int32)
                tensors[f"{layer}.weight_scale"] = torch.zeros(rows, columns // 32, dtype=torch.bfloat16)
            else:
                tensors[key] = weight
    save_file(tensors, tmp_path / "model.safetensors")
    n_linear, n_all = by_hand("m")

    found = stored_bits(tensor_bytes(tmp_path), blueprint, 8 * model.size().n_bytes / 16)

    expected = bits(model, FourBits())
    assert found == pytest.approx(expected)
    assert found["bits_per_weight"] == pytest.approx((4.5 * n_linear + 16 * (n_all - n_linear)) / n_all)
    assert disk_bytes(tmp_path) == (tmp_path / "model.safetensors").stat().st_size


def test_a_quantized_base_is_told_by_its_file(tmp_path, monkeypatch):
    import dataclasses
    import shutil

    shutil.copytree(ladder("xs").folder(), tmp_path / "xs")
    model = Transformer(path=str(tmp_path / "xs"))  # computes in float32, stored in bfloat16
    whole = model.blueprint()
    monkeypatch.setattr(Transformer, "blueprint", lambda _: dataclasses.replace(whole, quantized="gptq"))

    assert bits(model, NoCompression()) == pytest.approx({"bits_per_weight": 16, "bits_per_linear_weight": 16})


def test_cost_counts_what_is_in_memory(checkpoints):
    loaded = Transformer(path=str(checkpoints["llama"])).load()
    n_weights = sum(tensor.numel() for tensor in loaded.network.parameters())

    full = cost(loaded)
    half = cost(Transformer(path=str(checkpoints["llama"]), dtype="bfloat16").load())

    assert full["parameters"] == half["parameters"] == n_weights
    assert full["bytes"] >= 4 * n_weights
    assert 2 * n_weights <= half["bytes"] < full["bytes"]


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert"])
def test_sparsity_is_the_share_of_exact_zeros_in_matrices_without_embeddings(checkpoints, family):
    loaded = Transformer(path=str(checkpoints[family])).load()
    matrices = {
        name: value
        for name, value in loaded.network.named_parameters()
        if value.ndim == 2 and not any(part in name for part in ("embed", "wte", "wpe"))
    }
    assert cost(loaded)["sparsity"] == 0
    rng = np.random.default_rng(0)
    n_zeros = 0
    for value in matrices.values():
        mask = torch.from_numpy(rng.random(value.shape) < 0.3)
        value.data[mask] = 0
        n_zeros += int(mask.sum())
    loaded.network.get_input_embeddings().weight.data[:] = 0  # does not count

    assert cost(loaded)["sparsity"] == n_zeros / sum(value.numel() for value in matrices.values())


def test_zeros_that_cannot_be_counted_are_not_guessed():
    packed = torch.nn.Linear(8, 8)
    packed.weight = torch.nn.Parameter(torch.zeros(8, 1, dtype=torch.int32), requires_grad=False)

    assert np.isnan(sparsity([packed]))
    assert np.isnan(sparsity([torch.nn.Embedding(3, 3)]))


def test_weights_that_bitsandbytes_packs_are_counted_unpacked():
    bnb = pytest.importorskip("bitsandbytes", reason="comes with the compress extra")
    layer = bnb.nn.Linear4bit(64, 64, bias=False, quant_type="nf4")
    dense = torch.randn(64, 64).sign()  # small weights would be rounded to zero
    dense[:, :16] = 0
    layer.load_state_dict({"weight": dense})
    layer = layer.to("cpu")

    assert layer.weight.numel() < dense.numel()
    assert sparsity([layer]) == 0.25
