from brainexp.compressed import uncompressed
from brainexp.compression.cost import cost
from brainexp.compression.none import NoCompression
from brainexp.model.transformer import Transformer


def test_none_leaves_the_weights_and_objects_to_nothing(checkpoints):
    model = Transformer(path=str(checkpoints["gpt2"]))
    network = NoCompression().compress(uncompressed(model, NoCompression(), []))

    assert NoCompression().objection(model) is None
    expected = model.network_with_head().state_dict()
    assert all((expected[name] == value).all() for name, value in network.state_dict().items())


def test_cost_counts_what_is_stored(checkpoints):
    loaded = Transformer(path=str(checkpoints["llama"])).load()
    n_weights = sum(tensor.numel() for tensor in loaded.network.parameters())

    full = cost(loaded)
    half = cost(Transformer(path=str(checkpoints["llama"]), dtype="bfloat16").load())

    assert full["bits_per_weight"] == 32
    assert half["bits_per_weight"] == 16
    assert full["parameters"] == n_weights
    assert full["bytes"] >= 4 * n_weights


def test_sparsity_is_the_share_of_exact_zeros(checkpoints):
    loaded = Transformer(path=str(checkpoints["gpt2"])).load()
    weight = loaded.network.h[0].mlp.c_fc.weight
    before = cost(loaded)["sparsity"]
    weight.data[:] = 0

    assert cost(loaded)["sparsity"] - before == weight.numel() / cost(loaded)["parameters"]
