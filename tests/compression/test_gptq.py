"""GPTQ: against its own loss, the errors of layers, and the algorithm of the paper written down again."""

import numpy as np
import pytest

from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.gptq import Gptq
from brainexp.compression.rtn import RoundToNearest
from brainexp.compression.smoothquant import SmoothQuant
from brainexp.errors import ConfigError
from brainexp.registry import COMPRESSIONS
from tests.compression.quantized import TEXT, compressed, error, inputs, messages, saved_weights, tiny, tokens, weights

ENOUGH = GrammarText(samples=16, tokens=64)
FIRST_BLOCK = ("self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")


def second_moments(model, layer, text):
    """As llm-compressor 0.14 scales them: twice the sum over tokens, divided by the number of samples."""
    seen = inputs(model, layer, text).astype(np.float64)
    rows = seen.reshape(-1, seen.shape[-1])
    return 2 * rows.T @ rows / len(seen)


def gptq(weight, moments, bits, group_size, damping, act_order):
    """Frantar et al. 2023, algorithm 1 without blocks; scales of the groups are those of the full weights."""
    weight = weight.astype(np.float64)
    n_inputs = weight.shape[1]
    high = 2 ** (bits - 1) - 1
    scale = np.abs(weight.reshape(len(weight), -1, group_size)).max(-1) / (high + 0.5)
    damped = moments + damping * np.mean(np.diag(moments)) * np.eye(n_inputs)
    order = np.argsort(-np.diag(moments), kind="stable") if act_order else np.arange(n_inputs)
    factor = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    left, found = weight[:, order].copy(), np.empty_like(weight)
    for at, column in enumerate(order):
        step = scale[:, column // group_size]
        found[:, column] = np.rint(np.clip(left[:, at] / step, -high - 1, high)) * step
        loss = (left[:, at] - found[:, column]) / factor[at, at]
        left[:, at:] -= np.outer(loss, factor[at, at:])
    return found


@pytest.mark.parametrize("act_order", ["none", "static"])
@pytest.mark.parametrize("layer", ["self_attn.q_proj", "mlp.down_proj"])
def test_weights_are_those_of_the_algorithm_in_double_precision(tmp_path, act_order, layer):
    model = tiny("xs")
    method = Gptq(bits=3, group_size=16, act_order=act_order, calibration=TEXT)

    found = saved_weights(method, model, tmp_path)[f"layers.0.{layer}"]

    expected = gptq(
        weights(model)[f"layers.0.{layer}"],
        second_moments(model, f"model.layers.0.{layer}", TEXT),
        bits=3,
        group_size=16,
        damping=0.01,
        act_order=act_order == "static",
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_loss_that_it_reports_is_that_of_the_layers(tmp_path):
    """Half the sum over outputs of d H d with d what rounding changed and H the damped second moments."""
    model = tiny("s")
    method = Gptq(bits=2, group_size=32, calibration=ENOUGH)

    with messages("INFO") as told:
        found = saved_weights(method, model, tmp_path)

    dense = weights(model)
    losses = [float(message.split()[1]) for message in told if message.startswith("error ")]
    names = [message.split("'")[1] for message in told if message.startswith("Quantizing 1 module")]
    reported = dict(zip(names, losses, strict=True))
    for layer in FIRST_BLOCK:
        moments = second_moments(model, f"model.layers.0.{layer}", ENOUGH)
        damped = moments + 0.01 * np.mean(np.diag(moments)) * np.eye(len(moments))
        change = (dense[f"layers.0.{layer}"] - found[f"layers.0.{layer}"]).astype(np.float64)
        loss = np.einsum("oi,ij,oj->", change, damped, change) / 2
        assert reported[f"model.layers.0.{layer}"] == pytest.approx(loss, rel=1e-3, abs=0.006)  # told to two decimals


@pytest.mark.parametrize("bits", [2, 4])
def test_layers_put_out_what_they_did_more_nearly_than_rounded_to_nearest(tmp_path, bits):
    model = tiny("s")
    dense = weights(model)
    ours = saved_weights(Gptq(bits=bits, group_size=32, calibration=ENOUGH), model, tmp_path / "gptq")
    nearest = saved_weights(RoundToNearest(bits, 32), model, tmp_path / "rtn")

    for layer in FIRST_BLOCK:  # what the first block reads is the same in all three
        seen = inputs(model, f"model.layers.0.{layer}", ENOUGH)
        lost = [
            np.linalg.norm(seen @ (dense[f"layers.0.{layer}"] - one[f"layers.0.{layer}"]).T) for one in (ours, nearest)
        ]
        assert lost[0] < 0.95 * lost[1], layer


@pytest.mark.parametrize("symmetric", [True, False])
def test_states_of_new_stories_are_nearer_than_with_rounding_to_nearest(symmetric):
    model = tiny("s")
    ids = tokens(model, 8, 64)

    ours = error(Gptq(bits=3, group_size=32, symmetric=symmetric, calibration=ENOUGH), model, ids)

    assert ours < 0.9 * error(RoundToNearest(3, 32, symmetric), model, ids)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("size", ["m", "l"])
def test_the_larger_models_too(size, bits):
    model = tiny(size)
    ids = tokens(model, 8, 64)
    text = GrammarText(samples=64, tokens=128)

    assert error(Gptq(bits=bits, calibration=text), model, ids) < 0.9 * error(RoundToNearest(bits), model, ids)


def test_options_change_what_they_should(tmp_path):
    model = tiny("xs")
    plain = {"bits": 3, "group_size": 16, "calibration": TEXT}
    found = {
        name: saved_weights(Gptq(**{**plain, **changed}), model, tmp_path / name)["layers.1.mlp.down_proj"]
        for name, changed in {
            "plain": {},
            "as they stand": {"act_order": "none"},
            "damped": {"damping": 1.0},
            "in small blocks": {"block_size": 16},
        }.items()
    }

    assert (found["as they stand"] != found["plain"]).any()
    assert (found["damped"] != found["plain"]).any()
    np.testing.assert_allclose(found["in small blocks"], found["plain"], atol=1e-6)


def test_with_much_damping_it_rounds_to_nearest(tmp_path):
    model = tiny("xs")

    damped = saved_weights(Gptq(bits=3, group_size=16, damping=1e7, calibration=TEXT), model, tmp_path / "gptq")
    nearest = saved_weights(RoundToNearest(3, 16), model, tmp_path / "rtn")

    np.testing.assert_allclose(damped["layers.0.mlp.up_proj"], nearest["layers.0.mlp.up_proj"], atol=1e-6)


def test_orders_that_the_library_lost_are_refused():
    with pytest.raises(ConfigError, match="act_order: Input should be 'static' or 'none', got 'dynamic'"):
        COMPRESSIONS.build({"name": "gptq", "act_order": "dynamic"})
    with pytest.raises(ConfigError, match="damping must not be negative"):
        Gptq(damping=-0.1)


def test_it_says_that_the_library_fails_without_its_log(monkeypatch):
    monkeypatch.setenv("LLM_COMPRESSOR_LOG_DISABLED", "true")

    assert "Level 'METRIC' does not exist" in Gptq(group_size=32).objection(tiny("xs"))
    assert "Level 'METRIC' does not exist" in SmoothQuant(then="gptq").objection(tiny("xs"))
    assert SmoothQuant().objection(tiny("xs")) is None


def test_the_network_is_left_on_the_cpu():
    network = compressed(Gptq(bits=4, group_size=32, calibration=TEXT), tiny("xs"))

    assert {weight.device.type for weight in network.state_dict().values()} == {"cpu"}
