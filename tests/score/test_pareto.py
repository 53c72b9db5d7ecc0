import numpy as np
import pytest

from brainexp.score.pareto import pareto_front


def by_brute_force(cost, worth):
    known = np.isfinite(cost) & np.isfinite(worth)
    return [
        bool(known[at]) and not any(
            known[other] and cost[other] <= cost[at] and worth[other] >= worth[at] and (cost[other] < cost[at] or worth[other] > worth[at])
            for other in range(len(cost))
        )
        for at in range(len(cost))
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_no_other_point_beats(seed):
    rng = np.random.default_rng(seed)
    cost, worth = rng.integers(0, 6, (2, 25)).astype(float)  # with many ties
    worth[rng.random(25) < 0.1] = np.nan

    assert pareto_front(cost, worth).tolist() == by_brute_force(cost, worth)


def test_points_that_are_alike_are_on_it_together_and_unknown_ones_beat_none():
    assert pareto_front(np.array([1, 1, 2, 0]), np.array([3, 3, 3, np.nan])).tolist() == [True, True, False, False]
    assert pareto_front(np.array([]), np.array([])).tolist() == []
