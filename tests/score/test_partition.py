"""Set arithmetic on explained variance against planted truth and himalaya's product measure."""

import numpy as np
import pytest
from himalaya.scoring import r2_score_split

from brainexp.score.correlation import r_squared
from brainexp.score.partition import commonality, legacy_overlap, product_measure, subsets

A, B, C = "model", "word_rate", "motion"


def fs(*names):
    return frozenset(names)


def test_subsets_are_all_but_the_empty_one():
    assert subsets((A, B)) == [fs(A), fs(B), fs(A, B)]
    assert len(subsets((A, B, C, "position"))) == 15


def test_two_spaces_are_divided_as_in_a_venn_diagram():
    r2 = {fs(A): np.array([0.5]), fs(B): np.array([0.3]), fs(A, B): np.array([0.6])}

    parts = commonality(r2)

    np.testing.assert_allclose(parts[fs(A)], 0.3)
    np.testing.assert_allclose(parts[fs(B)], 0.1)
    np.testing.assert_allclose(parts[fs(A, B)], 0.2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("names", [(A, B), (A, B, C), (A, B, C, "position")])
def test_areas_that_were_planted_are_found_again(seed, names):
    """Every subset gets an area; the R² of a joint fit is the area of the union of its members."""
    rng = np.random.default_rng(seed)
    area = {one: rng.uniform(-0.1, 1, 4) for one in subsets(names)}
    r2 = {joint: sum(size for one, size in area.items() if one & joint) for joint in area}

    parts = commonality(r2)

    for one, size in area.items():
        np.testing.assert_allclose(parts[one], size, atol=1e-12)
    np.testing.assert_allclose(sum(parts.values()), r2[frozenset(names)], atol=1e-12)


def test_negative_parts_are_reported_as_they_are():
    """A suppressor: it explains nothing alone, but helps the other."""
    parts = commonality({fs(A): np.array([0.2]), fs(B): np.array([0.0]), fs(A, B): np.array([0.5])})

    assert parts[fs(A, B)] == pytest.approx(-0.3)


@pytest.mark.parametrize("seed", range(5))
def test_product_measure_is_that_of_himalaya_and_sums_to_r2(seed):
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((3, 50, 4))
    observed = parts.sum(axis=0) * 0.5 + rng.standard_normal((50, 4))
    centred = observed - observed.mean(axis=0)
    guesses = parts - parts.mean(axis=1, keepdims=True)

    measure = product_measure(observed + 100, parts + rng.standard_normal((3, 1, 1)))

    np.testing.assert_allclose(measure, r2_score_split(centred, guesses), atol=1e-12)
    np.testing.assert_allclose(measure.sum(axis=0), r_squared(centred, guesses.sum(axis=0)), atol=1e-12)


def test_product_measure_of_a_constant_response_is_unknown():
    assert np.isnan(product_measure(np.ones((10, 2)), np.ones((2, 10, 2)))).all()


def test_the_published_arithmetic_finds_overlap_where_there_is_none():
    """Two spaces that explain half of the variance each, and share nothing: r is √½ each, 1 together."""
    half = np.sqrt(np.array([0.5]))

    found = legacy_overlap(half, half, np.array([1.0]))
    right = commonality({fs(A): half**2, fs(B): half**2, fs(A, B): np.array([1.0])})

    assert found["shared"] == pytest.approx(2 * np.sqrt(0.5) - 1)
    assert found["unique_first"] == found["unique_second"] == pytest.approx(1 - np.sqrt(0.5))
    assert right[fs(A, B)] == pytest.approx(0, abs=1e-12)
