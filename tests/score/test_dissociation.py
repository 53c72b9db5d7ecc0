import numpy as np
import pytest
from scipy.stats import bootstrap, t, ttest_1samp

from brainexp.score import dissociation as module
from brainexp.score.dissociation import Twins, dissociation, relative_loss
from brainexp.score.inference import equivalence_p


def twins(rng, n, loss, mean=0.3, spread=0.1, noise=0.02, floor=0.0):
    """What there is to lose differs between units; each loses its share of it, and all is measured with noise."""
    had = rng.normal(mean, spread, n)
    whole = floor + had + rng.normal(0, noise, n)
    compressed = floor + (1 - loss) * had + rng.normal(0, noise, n)
    return Twins(whole, compressed, np.full(n, floor))


def share(p, level=0.05):
    return float(np.mean(np.array(p) < level))


def test_a_loss_is_that_of_the_mean_above_the_floor():
    found = relative_loss(Twins(np.array([0.9, 0.7]), np.array([0.7, 0.7]), np.array([0.5, 0.5])), 0.95)

    assert found.value == pytest.approx(0.2 / 0.6)
    assert found.n == 2


def test_error_and_interval_are_those_of_the_linearised_ratio():
    one = twins(np.random.default_rng(0), 400, 0.3)
    lost, had = one.whole - one.compressed, one.whole - one.floor

    found = relative_loss(one, 0.95)

    ratio = bootstrap((lost, had), lambda a, b: a.mean(-1) / b.mean(-1), paired=True, vectorized=False,
                      n_resamples=2000, random_state=np.random.default_rng(1), method="percentile")  # fmt: skip
    assert found.error == pytest.approx(ratio.standard_error, rel=0.08)
    assert found.high - found.value == pytest.approx(t.ppf(0.975, 399) * found.error)


def test_with_no_loss_of_alignment_the_test_is_a_t_test_of_the_probes():
    rng = np.random.default_rng(0)
    probes = twins(rng, 6, 0.3)
    lost, had = probes.parts
    steady = np.array([0.3, 0.31, 0.32])
    alignment = Twins(steady, steady, np.zeros(3))

    found = dissociation(alignment, probes, 0.01, 0.95, rng)

    value = lost.mean() / had.mean()
    expected = ttest_1samp((lost - value * had) / had.mean() + value, 0.0, alternative="greater").pvalue
    assert found.p_larger == pytest.approx(expected)
    assert np.isnan(found.p_equivalence)  # r is the same in all: no spread, no test


def test_equivalence_is_that_of_r_over_subjects():
    rng = np.random.default_rng(0)
    alignment, probes = twins(rng, 9, 0.0, noise=0.003), twins(rng, 9, 0.5)

    found = dissociation(alignment, probes, 0.01, 0.95, rng)

    assert found.p_equivalence == equivalence_p(alignment.compressed - alignment.whole, 0.01)
    assert found.p_equivalence < 0.05
    assert found.p_larger < 0.001
    assert found.p_bootstrap < 0.001
    assert found.difference == pytest.approx(0.5, abs=0.1)
    assert found.ci_low > 0.3
    assert found.bootstrap_low > 0.3


def test_what_is_unknown_is_left_out_and_too_few_are_not_tested():
    rng = np.random.default_rng(0)
    alignment, probes = twins(rng, 5, 0.2), twins(rng, 5, 0.2)
    alignment.compressed[0] = np.nan

    assert dissociation(alignment, probes, 0.01, 0.95, rng).alignment.n == 4
    few = dissociation(alignment, Twins(*(np.array([0.9, 0.8]) for _ in range(2)), np.full(2, 0.5)), 0.01, 0.95, rng)
    assert few.remark == "no test with fewer than 3 probing sets (here: 2)"
    assert np.isnan([few.difference, few.p_larger, few.p_equivalence]).all()
    assert few.probes.value == 0.0


def test_who_had_nothing_to_lose_is_not_tested():
    rng = np.random.default_rng(0)
    silent = twins(rng, 8, 0.0, mean=0.0, spread=0.01)

    assert "over subjects, the uncompressed model is not above chance" in (
        dissociation(silent, twins(rng, 8, 0.5), 0.01, 0.95, rng).remark
    )
    assert np.isnan(dissociation(silent, twins(rng, 8, 0.5), 0.01, 0.95, rng).alignment.value)  # no share of nothing
    assert np.isfinite(dissociation(silent, twins(rng, 8, 0.5), 0.01, 0.95, rng).probes.value)
    assert "over probing sets, the uncompressed model is not above chance" in (
        dissociation(twins(rng, 8, 0.5), silent, 0.01, 0.95, rng).remark
    )


def test_losses_without_any_spread_are_not_tested():
    same = Twins(np.full(4, 0.3), np.full(4, 0.2), np.zeros(4))

    assert "without spread there is no test" in dissociation(same, same, 0.01, 0.95, np.random.default_rng(0)).remark


def rejections(n_subjects, n_tasks, losses, n_seeds, **noise):
    p, p_bootstrap, inside = [], [], []
    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        found = dissociation(
            twins(rng, n_subjects, losses[0], **noise),
            twins(rng, n_tasks, losses[1], floor=0.5, **noise),
            0.01,
            0.95,
            rng,
        )
        if found.remark:  # hardly above chance, with few units
            continue
        p.append(found.p_larger)
        p_bootstrap.append(found.p_bootstrap)
        inside.append(found.ci_low <= losses[1] - losses[0] <= found.ci_high)
    return share(p), share(p_bootstrap), float(np.mean(inside))


def test_equal_losses_are_told_apart_as_seldom_as_promised_and_planted_ones_are_found(monkeypatch):
    monkeypatch.setattr(module, "RESAMPLES", 19)

    wrong, _, covered = rejections(9, 5, (0.3, 0.3), 600)
    found, _, _ = rejections(9, 5, (0.0, 0.3), 100)

    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)
    assert covered > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 600)
    assert found > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("loss", [0.0, 0.3, 0.6])
@pytest.mark.parametrize(("n_subjects", "n_tasks"), [(4, 3), (9, 5), (27, 22)])
def test_calibration_over_many_seeds(n_subjects, n_tasks, loss, monkeypatch):
    monkeypatch.setattr(module, "RESAMPLES", 199)
    n_seeds = 3000

    wrong, by_bootstrap, covered = rejections(n_subjects, n_tasks, (loss, loss), n_seeds)

    print(
        f"{n_subjects} subjects, {n_tasks} tasks, loss {loss}: {wrong:.3f}, bootstrap {by_bootstrap:.3f}, {covered:.3f}"
    )
    error = np.sqrt(0.05 * 0.95 / n_seeds)
    assert wrong < 0.05 + 3 * error
    assert covered > 0.95 - 3 * error
