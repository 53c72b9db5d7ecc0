"""Options that all ridge regressions share."""

import dataclasses

import numpy as np
import pytest

from brainexp.encoder.banded_ridge import BandedRidge
from brainexp.encoder.huth_bootstrap import HuthBootstrap
from brainexp.encoder.options import RidgeOptions, mean_only, ridge_options
from brainexp.encoder.ridge import Ridge
from brainexp.encoder.stacked import Stacked
from brainexp.errors import ConfigError
from brainexp.registry import ENCODERS
from tests.problems import problem

ENCODERS_OF_RIDGE = [(Ridge, "ridge"), (BandedRidge, "banded_ridge"), (Stacked, "stacked")]


def test_penalties_at_an_edge_of_the_grid_are_remarked():
    encoder = Ridge(alphas=(1.0, 30.0, 1000.0))

    assert encoder.remarks(np.array([30.0] * 9 + [1.0])) == ()
    (low,) = encoder.remarks(np.array([1.0] * 3 + [30.0] * 7))
    assert low == "encoder 'ridge': 30% of the fits chose the lowest penalty, 1. Add lower ones to encoder.alphas."
    (high,) = encoder.remarks(np.array([1000.0] * 10))
    assert high.startswith("encoder 'ridge': 100% of the fits chose the highest penalty, 1000.")


def test_a_single_penalty_is_no_edge():
    assert Ridge(alphas=(1.0,)).remarks(np.ones(10)) == ()


@pytest.mark.parametrize(("kind", "name"), ENCODERS_OF_RIDGE)
@pytest.mark.parametrize("alphas", [(), (0.0,), (1.0, -1.0)])
def test_penalties_must_be_positive(kind, name, alphas):
    with pytest.raises(ConfigError, match=f"encoder '{name}': alphas must be positive, got"):
        kind(alphas=alphas)


@pytest.mark.parametrize(("kind", "name"), ENCODERS_OF_RIDGE)
def test_voxels_per_batch_must_be_positive(kind, name):
    with pytest.raises(ConfigError, match=f"encoder '{name}': voxels_per_batch must be at least 1, got 0"):
        kind(voxels_per_batch=0)


def test_a_device_that_is_not_there_or_not_known_is_an_objection(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert Ridge().objection() is None
    assert Ridge(device="cpu").objection() is None
    assert "finds no GPU. Give encoder.device=cpu" in Ridge(device="cuda:1").objection()
    assert Ridge(device="gpu").objection() == "encoder.device=gpu is not known. Give auto, cpu, cuda or cuda:1."


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    import torch

    for there, device in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert Ridge().work().device == device
        assert Ridge(device="cpu").work().device == "cpu"


def test_options_reach_the_work():
    work = Ridge(device="cpu", dtype="float64", voxels_per_batch=3, nodes=False).work()

    assert dataclasses.astuple(work) == ("cpu", "float64", 3, False)


def test_where_and_in_what_pieces_it_computes_is_not_in_the_key_of_caches():
    key = ENCODERS.cache_key(Ridge())

    assert key == ENCODERS.cache_key(Ridge(device="cuda:1", voxels_per_batch=5))
    assert key != ENCODERS.cache_key(Ridge(dtype="float64"))


def test_the_mean_is_a_prediction_without_r_and_penalty():
    _, responses, fold = problem(0, 60, 3)

    found = mean_only(responses[fold.train], fold, n_bands=2)

    assert found.predicted.shape == (len(fold.test), 5)
    np.testing.assert_array_equal(found.predicted, np.tile(responses[fold.train].mean(axis=0), (len(fold.test), 1)))
    assert np.isnan(found.penalty).all()
    assert found.penalty.shape == (2, 5)
    assert np.isnan(found.validation_r).all()


def test_penalties_that_are_squared_are_not_taken_for_others():
    ridge = Ridge(alphas=(3.0, 5.0), device="cpu")

    assert ridge_options(ridge) is ridge
    assert ridge_options(HuthBootstrap(alphas=(3.0, 5.0))).alphas == RidgeOptions().alphas
