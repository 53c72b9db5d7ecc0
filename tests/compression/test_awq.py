"""AWQ: nearer than rounding to nearest, on networks whose layers the library knows, and on no others."""

import re

import numpy as np
import pytest

from brainexp.compressed import uncompressed
from brainexp.compression.awq import MAPPINGS, Awq
from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.rtn import RoundToNearest
from brainexp.errors import ConfigError
from tests.compression.quantized import (
    TEXT,
    error,
    family,
    local,
    messages,
    saved,
    saved_weights,
    tiny,
    tokens,
    weights,
)
from tests.model.families import checkpoint

ENOUGH = GrammarText(samples=16, tokens=64)


@pytest.mark.parametrize(("bits", "group_size"), [(3, 32), (4, 64)])
def test_states_of_new_stories_are_nearer_than_with_rounding_to_nearest(bits, group_size):
    model = tiny("s")
    ids = tokens(model, 8, 64)

    ours = error(Awq(bits=bits, group_size=group_size, n_grid=10, calibration=ENOUGH), model, ids)

    assert ours < error(RoundToNearest(bits, group_size, symmetric=False), model, ids)


@pytest.mark.slow
@pytest.mark.parametrize("group_size", [32, 128])
@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize("size", ["m", "l"])
def test_the_larger_models_too(size, bits, group_size):
    model = tiny(size)
    ids = tokens(model, 8, 64)
    text = GrammarText(samples=16, tokens=128)

    assert error(Awq(bits=bits, group_size=group_size, calibration=text), model, ids) < error(
        RoundToNearest(bits, group_size, symmetric=False), model, ids
    )


def test_the_loss_that_it_reports_is_nowhere_larger_than_without_scaling():
    model = tiny("xs")
    with messages("DEBUG") as told:
        Awq(bits=3, group_size=32, n_grid=6, calibration=TEXT).compress(
            uncompressed(model, Awq(group_size=32, calibration=TEXT), [])
        )

    found = [re.findall(r"(?:initial|best) error = ([\d.e+-]+),", one) for one in told if "AWQ grid search for" in one]
    assert len(found) == 4 * 2  # before q, k, v; before o; before gate and up; before down
    assert all(float(best) <= float(initial) for initial, best in found)
    assert any(float(best) < float(initial) for initial, best in found)


@pytest.mark.parametrize("name", sorted(MAPPINGS))
def test_scaling_leaves_what_the_network_computes(tmp_path, name):
    """With eight bits next to nothing is lost, unless what one layer is divided by is not what the next is multiplied by."""
    model = family(name, tmp_path)
    ids = np.arange(3, 243).reshape(6, 40)
    import torch

    ours = error(Awq(bits=8, group_size=16, n_grid=4, calibration=TEXT), model, torch.tensor(ids))

    assert ours < 1.5 * error(RoundToNearest(8, 16, symmetric=False), model, torch.tensor(ids))


def test_families_are_known_to_the_library():
    from llmcompressor.modifiers.transform.awq.mappings import AWQ_MAPPING_REGISTRY

    assert set(MAPPINGS.values()) <= AWQ_MAPPING_REGISTRY.keys()


def test_other_families_are_refused_because_the_library_would_do_nothing(tmp_path, monkeypatch):
    """When this fails, look whether llm-compressor has learned of BERT."""
    model = local(checkpoint("bert", tmp_path / "bert"))
    method = Awq(bits=3, group_size=16, n_grid=4, calibration=TEXT)

    assert re.search(
        "does not know which layer of a bert feeds which.* Give compression=gptq, or rtn", method.objection(model)
    )

    import torch
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier

    from brainexp.compression.oneshot import _dataset, targets

    given = uncompressed(model, method, [])
    network = given.network()
    modifiers = [
        AWQModifier(),
        QuantizationModifier(config_groups=method._groups(targets(method.rounded(given.blueprint)))),
    ]
    with messages("WARNING") as told:
        oneshot(model=network, processor=given.tokenizer, recipe=modifiers, dataset=_dataset(given))
    found = weights(saved(network, tmp_path / "awq", model))
    nearest = saved_weights(RoundToNearest(3, 16, symmetric=False), model, tmp_path / "rtn")

    assert any("No error metrics were collected" in one for one in told)
    assert all((found[name] == nearest[name]).all() for name in nearest)
    assert torch.is_tensor(network.get_input_embeddings().weight)


def test_options_change_what_they_should(tmp_path):
    model = tiny("xs")
    plain = {"bits": 3, "group_size": 32, "n_grid": 6, "calibration": TEXT}
    found = [
        saved_weights(Awq(**{**plain, **changed}), model, tmp_path / str(at))["layers.0.self_attn.q_proj"]
        for at, changed in enumerate(({}, {"duo_scaling": False}, {"n_grid": 12}))
    ]

    assert (found[0] != found[1]).any()
    assert (found[0] != found[2]).any()


def test_too_few_points_are_refused():
    with pytest.raises(ConfigError, match="n_grid must be at least 4, got 3"):
        Awq(n_grid=3)
