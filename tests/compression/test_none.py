from brainexp.compressed import uncompressed
from brainexp.compression.none import NoCompression
from brainexp.model.transformer import Transformer


def test_none_leaves_the_weights_and_objects_to_nothing(checkpoints):
    model = Transformer(path=str(checkpoints["gpt2"]))
    network = NoCompression().compress(uncompressed(model, NoCompression(), []))

    assert NoCompression().objection(model) is None
    expected = model.network_with_head().state_dict()
    assert all((expected[name] == value).all() for name, value in network.state_dict().items())
