import numpy as np
import pytest
from scipy.stats import kendalltau

from brainexp.score.ranking import discriminability, winning_rates


def test_rates_by_hand():
    scores = np.array(
        [
            [0.9, 0.8, 0.1],  # ranks 3, 2, 1: 1, 0.5, 0
            [0.2, 0.2, 0.1],  # ranks 2.5, 2.5, 1: 1, 1, 0
            [0.5, 0.5, 0.5],  # nobody wins: a half each
            [0.1, np.nan, 0.3],  # ranks 1, -, 2: 0, -, 1
        ]
    )

    assert winning_rates(scores) == pytest.approx([2.5 / 4, 2 / 3, 1.5 / 4])


def test_the_scale_of_a_task_does_not_count_and_the_order_of_runs_does_not():
    scores = np.random.default_rng(0).random((5, 4))
    other = np.exp(10 * scores * np.arange(1, 6)[:, None])

    assert winning_rates(other) == pytest.approx(winning_rates(scores))
    assert winning_rates(scores[:, ::-1]) == pytest.approx(winning_rates(scores)[::-1])


def test_a_run_that_was_never_asked_has_no_rate_and_one_run_has_a_half():
    assert np.isnan(winning_rates(np.array([[0.1, np.nan], [0.2, np.nan]]))).tolist() == [False, True]
    assert winning_rates(np.array([[0.1], [0.2]])) == pytest.approx([0.5])
    assert np.isnan(winning_rates(np.empty((0, 2)))).all()


def test_discriminability_is_kendalls_tau_with_the_other_tasks():
    rng = np.random.default_rng(0)
    ability = np.arange(8.0)
    scores = np.stack([*(ability + rng.normal(0, 0.1, (4, 8))), -ability])

    tau, p = discriminability(scores)

    expected = kendalltau(scores[0], winning_rates(scores[1:]))
    assert (tau[0], p[0]) == pytest.approx((expected.statistic, expected.pvalue))
    assert (tau[:4] > 0.9).all()
    assert tau[4] == pytest.approx(-1)
    assert p[4] < 0.001


def test_a_task_that_knows_nothing_does_not_discriminate():
    rng = np.random.default_rng(1)
    tau = [discriminability(np.stack([*np.tile(np.arange(8.0), (3, 1)), rng.normal(size=8)]))[0][3] for _ in range(200)]

    assert abs(np.mean(tau)) < 0.06


def test_two_runs_or_a_task_in_which_all_are_alike_have_no_tau():
    assert np.isnan(discriminability(np.array([[0.1, 0.2], [0.3, 0.4]]))[0]).all()
    tau, p = discriminability(np.array([[0.5, 0.5, 0.5], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]]))
    assert np.isnan([tau[0], p[0]]).all()
