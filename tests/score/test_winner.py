import numpy as np
import pytest
from scipy.stats import false_discovery_control, ttest_rel

from brainexp.score.winner import NO_WINNER, winners


def maps(rng, n_conditions=3, n_subjects=9, n_places=500, noise=0.02):
    person = rng.normal(0.2, 0.1, (1, n_subjects, n_places))
    return person + rng.normal(0, noise, (n_conditions, n_subjects, n_places))


def test_identical_maps_have_no_winner(rng):
    same = np.repeat(maps(rng)[:1], 3, axis=0)

    found = winners(same, 0.95, "bh", 0.01)

    assert (found.winner == NO_WINNER).all()
    assert (found.lead == 0).all()
    assert (found.q == 1).all()


def test_noise_has_hardly_any_winner(rng):
    found = winners(maps(rng), 0.95, "bh", 0.01)

    assert (found.winner != NO_WINNER).mean() < 0.01
    assert set(found.best) == {0, 1, 2}


def test_a_planted_winner_is_found_where_it_is_and_nowhere_else(rng):
    made = maps(rng)
    made[1, :, :200] += 0.1

    found = winners(made, 0.95, "bh", 0.01)

    assert (found.winner[:200] == 1).mean() > 0.95
    assert (found.winner[200:] != NO_WINNER).mean() < 0.05
    assert found.lead[:200] == pytest.approx(np.full(200, 0.1), abs=0.05)


def test_two_that_are_alike_and_beat_a_third_do_not_win(rng):
    made = maps(rng)
    made[:2] += 0.1

    assert (winners(made, 0.95, "bh", 0.01).winner != NO_WINNER).mean() < 0.01


def test_p_are_those_of_paired_tests_against_every_other(rng):
    made = maps(rng, n_places=40)
    made[2, :, :20] += 0.05

    found = winners(made, 0.95, "bh", 0.01)

    best = made.mean(axis=1).argmax(axis=0)
    p = [
        max(ttest_rel(made[own, :, at], made[other, :, at]).pvalue for other in range(3) if other != own)
        for at, own in enumerate(best)
    ]
    assert found.best.tolist() == best.tolist()
    assert found.q == pytest.approx(false_discovery_control(p))


def test_subjects_who_lack_a_condition_do_not_count_there(rng):
    made = maps(rng, n_places=4)
    made[0, 0, 0] = np.nan
    made[:, :7, 1] = np.nan
    made[:, :, 2] = np.nan

    found = winners(made, 0.95, "bh", 0.01)

    without = winners(made[:, 1:, :1], 0.95, "bh", 0.01)
    assert found.lead[0] == pytest.approx(without.lead[0])
    assert np.isnan(found.q[1])  # two subjects are left, which is no test
    assert found.best[2] == NO_WINNER
    assert np.isnan(found.lead[2])


def test_two_subjects_are_not_tested_and_a_margin_decides(rng):
    made = np.repeat(maps(rng, n_subjects=2)[:1], 3, axis=0)
    made[1, :, :10] += 0.02
    made[1, :, 10:20] += 0.005

    found = winners(made, 0.95, "bh", 0.01)

    assert not found.tested
    assert (found.winner[:10] == 1).all()
    assert (found.winner[10:] == NO_WINNER).all()
