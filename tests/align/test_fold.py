import numpy as np
import pytest

from brainexp.align.fold import fold_of_stories, folds_of_blocks, folds_of_runs
from brainexp.errors import ConfigError

#: Run lengths, folds, gap: even and uneven runs, single and several, no gap and gaps near half a block.
BLOCKS = [
    ((100,), 5, 0),
    ((100,), 5, 4),
    ((101,), 4, 7),
    ((40, 97, 53), 5, 3),
    ((40, 97, 53), 3, 6),
    ((60, 60), 10, 2),
]
RUNS = [((20, 20, 20), 3), ((31, 12, 45, 7, 22), 3), ((31, 12, 45, 7, 22), 5), ((5, 9, 4, 8, 6, 7, 3, 10), 4)]


def run_of_row(run_lengths) -> np.ndarray:
    return np.repeat(np.arange(len(run_lengths)), run_lengths)


def near_rows(held_out, run, gap_trs: int) -> set[int]:
    """Rows within the gap of a held-out row of the same run, by a naive double loop; held-out rows left out."""
    held = set(np.asarray(held_out).tolist())
    near = {
        row for row in range(len(run)) for other in held if run[row] == run[other] and 0 < abs(row - other) <= gap_trs
    }
    return near - held


@pytest.mark.parametrize(("run_lengths", "n_folds", "gap_trs"), BLOCKS)
def test_test_blocks_partition_all_rows(run_lengths, n_folds, gap_trs):
    folds = folds_of_blocks(run_lengths, n_folds, gap_trs)

    assert len(folds) == n_folds
    tested = np.concatenate([fold.test for fold in folds])
    np.testing.assert_array_equal(np.sort(tested), np.arange(sum(run_lengths)))


@pytest.mark.parametrize(("run_lengths", "n_folds", "gap_trs"), BLOCKS)
def test_training_rows_are_exactly_those_outside_block_and_gap(run_lengths, n_folds, gap_trs):
    run = run_of_row(run_lengths)

    folds = folds_of_blocks(run_lengths, n_folds, gap_trs)

    for fold in folds:
        left_out = set(fold.test.tolist()) | near_rows(fold.test, run, gap_trs)
        assert set(fold.train.tolist()) == set(range(len(run))) - left_out


@pytest.mark.parametrize(("run_lengths", "n_folds", "gap_trs"), BLOCKS)
def test_inner_rows_are_disjoint_positions_inside_the_training_rows(run_lengths, n_folds, gap_trs):
    folds = folds_of_blocks(run_lengths, n_folds, gap_trs)

    for fold in folds:
        assert len(fold.inner) == n_folds - 1
        for fit, validation in fold.inner:
            both = np.concatenate([fit, validation])
            assert len(np.unique(both)) == len(both)
            assert both.min() >= 0
            assert both.max() < len(fold.train)


@pytest.mark.parametrize(("run_lengths", "n_folds", "gap_trs"), BLOCKS)
def test_no_inner_fit_row_lies_within_the_gap_of_a_validation_row(run_lengths, n_folds, gap_trs):
    run = run_of_row(run_lengths)

    folds = folds_of_blocks(run_lengths, n_folds, gap_trs)

    for fold in folds:
        for fit, validation in fold.inner:
            assert not near_rows(fold.train[validation], run, gap_trs) & set(fold.train[fit].tolist())


@pytest.mark.parametrize(("run_lengths", "n_folds", "gap_trs"), BLOCKS)
def test_inner_folds_validate_the_blocks_of_the_other_folds(run_lengths, n_folds, gap_trs):
    folds = folds_of_blocks(run_lengths, n_folds, gap_trs)

    for held_out, fold in enumerate(folds):
        others = [other for at, other in enumerate(folds) if at != held_out]
        for other, (_, validation) in zip(others, fold.inner, strict=True):
            expected = np.intersect1d(other.test, fold.train)
            np.testing.assert_array_equal(fold.train[validation], expected)


@pytest.mark.parametrize(("run_lengths", "n_folds", "gap_trs"), BLOCKS)
def test_each_run_gives_one_contiguous_block_of_nearly_equal_length_to_each_fold(run_lengths, n_folds, gap_trs):
    run = run_of_row(run_lengths)

    folds = folds_of_blocks(run_lengths, n_folds, gap_trs)

    for number, length in enumerate(run_lengths):
        for fold in folds:
            block = fold.test[run[fold.test] == number]
            assert (np.diff(block) == 1).all()
            assert length // n_folds <= len(block) <= -(-length // n_folds)


def test_the_gap_does_not_cross_the_end_of_a_run():
    first, *_ = folds_of_blocks((48, 48), n_folds=3, gap_trs=5)

    train = set(first.train.tolist())
    assert {16, 17, 18, 19, 20, 64, 65, 66, 67, 68}.isdisjoint(train)
    assert {21, 47, 69, 95} <= train  # 47 touches the held-out row 48, but is of another run


def test_without_a_gap_all_other_rows_are_trained_on():
    folds = folds_of_blocks((30, 25), n_folds=5, gap_trs=0)

    assert all(len(fold.train) + len(fold.test) == 55 for fold in folds)


@pytest.mark.parametrize(
    ("run_lengths", "n_folds", "gap_trs"), [((27,), 3, 3), ((39, 45), 3, 5), ((24,), 4, 3), ((35,), 5, 4)]
)
def test_every_inner_fold_has_rows_to_fit_and_to_validate(run_lengths, n_folds, gap_trs):
    folds = folds_of_blocks(run_lengths, n_folds, gap_trs)

    assert all(fit.size and validation.size for fold in folds for fit, validation in fold.inner)


@pytest.mark.parametrize(("run_lengths", "gap_trs"), [((12,), 3), ((21, 24), 5)])
def test_three_blocks_of_which_gaps_eat_the_middle_one_are_refused(run_lengths, gap_trs):
    # the first held out, the last validated: both gaps lie in the middle block, and nothing is left to fit
    with pytest.raises(ConfigError, match="gap"):
        folds_of_blocks(run_lengths, 3, gap_trs)


@pytest.mark.parametrize(("run_lengths", "n_folds"), RUNS)
def test_whole_run_folds_never_split_a_run(run_lengths, n_folds):
    run = run_of_row(run_lengths)

    folds = folds_of_runs(run_lengths, n_folds)

    for fold in folds:
        assert not set(run[fold.test].tolist()) & set(run[fold.train].tolist())
        for fit, validation in fold.inner:
            assert not set(run[fold.train[fit]].tolist()) & set(run[fold.train[validation]].tolist())


@pytest.mark.parametrize(("run_lengths", "n_folds"), RUNS)
def test_whole_run_folds_test_every_row_once_and_train_on_all_others(run_lengths, n_folds):
    n_rows = sum(run_lengths)

    folds = folds_of_runs(run_lengths, n_folds)

    assert len(folds) == n_folds
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.test for fold in folds])), np.arange(n_rows))
    for fold in folds:
        np.testing.assert_array_equal(np.union1d(fold.train, fold.test), np.arange(n_rows))
        assert len(fold.train) + len(fold.test) == n_rows


@pytest.mark.parametrize(("run_lengths", "n_folds"), RUNS)
def test_inner_whole_run_folds_partition_the_training_rows(run_lengths, n_folds):
    folds = folds_of_runs(run_lengths, n_folds)

    for fold in folds:
        validated = np.sort(np.concatenate([validation for _, validation in fold.inner]))
        np.testing.assert_array_equal(validated, np.arange(len(fold.train)))
        for fit, validation in fold.inner:
            np.testing.assert_array_equal(np.union1d(fit, validation), np.arange(len(fold.train)))
            assert len(fit) + len(validation) == len(fold.train)


def test_neighbouring_runs_share_a_fold_where_there_are_more_runs_than_folds():
    run = run_of_row((4, 4, 4, 4, 4, 4, 4))

    folds = folds_of_runs((4, 4, 4, 4, 4, 4, 4), n_folds=3)

    assert [np.unique(run[fold.test]).tolist() for fold in folds] == [[0, 1, 2], [3, 4], [5, 6]]


def test_fewer_runs_than_folds_are_refused():
    with pytest.raises(
        ConfigError,
        match=r"split\.folds=5, but there are only 4 runs\. Lower split\.folds, or cut runs into blocks with "
        r"split\.by=block\.",
    ):
        folds_of_runs((10, 10, 10, 10), n_folds=5)


@pytest.mark.parametrize("n_folds", [2, 1, 0, -1])
def test_fewer_than_three_folds_are_refused(n_folds):
    said = rf"split\.folds={n_folds}: at least 3 are needed, to test on one, to choose penalty and layer on another"

    with pytest.raises(ConfigError, match=said):
        folds_of_runs((10, 10, 10), n_folds)
    with pytest.raises(ConfigError, match=said):
        folds_of_blocks((90,), n_folds, gap_trs=1)


@pytest.mark.parametrize("gap_trs", [8, 9, 50])
def test_blocks_not_longer_than_the_gap_are_refused(gap_trs):
    with pytest.raises(
        ConfigError,
        match=rf"split\.folds=5 cuts the shortest run into blocks of 8 TRs, but the gap beside each is {gap_trs} TRs\. "
        r"Lower split\.folds\.",
    ):
        folds_of_blocks((100, 41), n_folds=5, gap_trs=gap_trs)


def test_declared_test_runs_are_tested_and_all_others_trained_on():
    run = run_of_row([5, 9, 4, 8, 6])

    (fold,) = fold_of_stories([5, 9, 4, 8, 6], test=[1, 4], n_inner=3)

    assert set(run[fold.test]) == {1, 4}
    assert set(run[fold.train]) == {0, 2, 3}
    assert sorted([*fold.train, *fold.test]) == list(range(32))
    held = [set(run[fold.train][rows]) for _, rows in fold.inner]
    assert held == [{0}, {2}, {3}]
    for fit, rows in fold.inner:
        assert sorted([*fit, *rows]) == list(range(len(fold.train)))


def test_ten_training_stories_make_five_inner_folds_of_two():
    run = run_of_row([7] * 11)

    (fold,) = fold_of_stories([7] * 11, test=[10], n_inner=5)

    assert [sorted(set(run[fold.train][rows].tolist())) for _, rows in fold.inner] == [
        [0, 1], [2, 3], [4, 5], [6, 7], [8, 9],
    ]  # fmt: skip


@pytest.mark.parametrize(("n_runs", "n_inner"), [(3, 3), (2, 2), (5, 1)])
def test_too_few_training_stories_are_refused(n_runs, n_inner):
    with pytest.raises(
        ConfigError, match=rf"split.folds={n_inner}, but there are {n_runs - 1} training stories beside the 1"
    ):
        fold_of_stories([10] * n_runs, test=[0], n_inner=n_inner)
