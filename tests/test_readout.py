"""Weights that are saved predict what the encoder predicts."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge

from brainexp.align.fold import folds_of_runs
from brainexp.containers import Design
from brainexp.errors import ConfigError, DataError
from brainexp.experiment import Experiment, require_possible
from brainexp.readout import Readout, load, read_out
from brainexp.solve.solver import Work

LENGTHS = (60, 50, 40, 45)
FOLDS = folds_of_runs([length - 3 for length in LENGTHS], 4)
ALPHAS = (1.0, 10.0, 100.0, 1e4)


def problem(n_dims, seed=0):
    rng = np.random.default_rng(seed)
    runs = tuple(rng.standard_normal((length, n_dims)) * np.linspace(0.1, 5, n_dims) + 3 for length in LENGTHS)
    for run in runs:
        run[:, 1] = 7.0  # constant: it is left out
    design = Design("layer 2", runs, tuple(slice(2, length - 1) for length in LENGTHS), (1, 2))
    weights = rng.standard_normal((design.n_features, 4))
    responses = design.matrix() @ weights / np.sqrt(n_dims) + rng.standard_normal((design.n_rows, 4))
    return design, responses


def fitted(design, responses, form):
    return read_out(design, 2, responses, np.array([0, 1, 2, 4]), FOLDS, ALPHAS, Work(dtype="float64"), form)


@pytest.mark.parametrize("form", ["primal", "dual", "downdated"])
@pytest.mark.parametrize("n_dims", [6, 150])
def test_a_readout_is_the_ridge_of_scikit_learn_on_all_rows(form, n_dims):
    design, responses = problem(n_dims)

    readout = fitted(design, responses, form)
    guess = np.concatenate([readout.predict(run)[kept] for run, kept in zip(design.runs, design.rows, strict=True)])

    every = np.concatenate([run[kept] for run, kept in zip(design.runs, design.rows, strict=True)])
    mean, scale = every.mean(0), every.std(0)
    scale[1] = np.inf
    scaled = Design("", tuple((run - mean) / scale for run in design.runs), design.rows, design.delays).matrix()
    expected = SklearnRidge(alpha=readout.penalty).fit(scaled, responses).predict(scaled)
    np.testing.assert_allclose(guess, expected, atol=1e-4)  # weights are kept in single precision
    assert set(readout.penalty) <= set(ALPHAS)


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_what_is_saved_is_what_is_loaded(tmp_path, suffix):
    design, responses = problem(6)
    readout = fitted(design, responses, "primal")
    path = tmp_path / f"s1.{suffix}"

    readout.save(path)
    again = load(path)

    assert [made.name for made in tmp_path.iterdir()] == [path.name]
    assert (again.layer, again.delays) == (2, (1, 2))
    np.testing.assert_array_equal(again.predict(design.runs[0]), readout.predict(design.runs[0]))
    np.testing.assert_array_equal(again.columns, [0, 1, 2, 4])


def test_features_of_another_width_are_refused():
    design, responses = problem(6)
    readout = fitted(design, responses, "primal")

    with pytest.raises(DataError, match="features have 5 dimensions, but the readout was fitted to 6 of layer 2"):
        readout.predict(np.ones((10, 5)))


def test_what_is_no_readout_is_refused(tmp_path):
    (tmp_path / "s1.safetensors").write_bytes(b"nothing")
    np.savez(tmp_path / "s2.npz", weights=np.ones(3))

    with pytest.raises(DataError, match="no readout at"):
        load(tmp_path / "absent.npz")
    for name in ("s1.safetensors", "s2.npz"):
        with pytest.raises(DataError, match="is not a readout of brainexp"):
            load(tmp_path / name)


def test_new_stimuli_are_predicted_and_others_are_not():
    """Held-out rows of a readout of the first three runs; features of another story do not predict them."""
    design, responses = problem(6)
    n_rows = [length - 3 for length in LENGTHS]
    first = Design("layer 2", design.runs[:3], design.rows[:3], design.delays)
    seen = sum(n_rows[:3])
    readout = read_out(first, 2, responses[:seen], np.arange(4), folds_of_runs(n_rows[:3], 3), ALPHAS, Work())

    guess = readout.predict(design.runs[3])[design.rows[3]]
    wrong = readout.predict(problem(6, seed=5)[0].runs[3])[design.rows[3]]

    for voxel in range(4):
        assert np.corrcoef(guess[:, voxel], responses[seen:, voxel])[0, 1] > 0.5
    assert np.mean([np.corrcoef(wrong[:, v], responses[seen:, v])[0, 1] for v in range(4)]) < 0.3


def test_a_readout_without_its_parts_cannot_be_made():
    with pytest.raises(TypeError):
        Readout(layer=1)


def test_a_format_that_is_not_known_and_an_encoder_without_weights_are_refused(composed, small_run):
    with pytest.raises(ConfigError, match="readout='csv' is not known. Give safetensors or npz, or null."):
        Experiment.from_config(composed(*small_run, "readout=csv"))
    stacked = Experiment.from_config(composed(*small_run, "readout=npz", "encoder=stacked"))
    with pytest.raises(ConfigError, match="encoder 'stacked' has no weights to save. Give encoder=ridge"):
        require_possible(stacked)
