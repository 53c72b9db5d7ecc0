"""What a model says of itself before it is loaded is what it gives."""

import numpy as np
import pytest

from brainexp.compression.none import NoCompression
from brainexp.model.static_vectors import StaticVectors
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain


@pytest.fixture(params=["bert", "gpt2", "llama", "qwen2", "gpt_neox", "vectors"])
def model(request, checkpoints, tmp_path):
    if request.param != "vectors":
        return Transformer(path=str(checkpoints[request.param]), context_words=4)
    file = tmp_path / "vectors.txt"
    file.write_text("the 1 2 3\ncrow 4 5 6\n")
    return StaticVectors(path=str(file))


def test_shape_objection_and_facts_hold_when_it_is_loaded(model, story):
    model.require_ready()
    assert model.objection(NoCompression(), Plain()) is None
    loaded = model.load()

    places = []
    for at, values in loaded.extract(story, Plain()):
        assert values.shape == (model.shape()[0], len(at), model.shape()[1])
        assert values.dtype == np.float32
        places.extend(at)

    assert (loaded.n_layers, loaded.n_dims) == model.shape()
    assert sorted(places) == list(range(len(story.units)))
    assert all(np.isfinite(value) for value in loaded.facts(story).values())
