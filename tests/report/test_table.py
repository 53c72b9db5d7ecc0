import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from brainexp.align.audit import audited
from brainexp.comparison import adjusted_table
from brainexp.containers import Clock, Timing
from brainexp.experiment import Experiment, run
from brainexp.report.table import clocks_table, comparison_table, roi_counts, summary_table
from brainexp.result import clock_table
from brainexp.settings import Scoring


def test_the_table_shows_each_roi_beside_its_baselines(composed, small_run):
    result = run(Experiment.from_config(composed(*small_run)))
    console = Console(width=100, record=True, file=io.StringIO())

    console.print(summary_table(result, "a run"))

    text = console.export_text()
    assert "a run" in text
    for cell in ("A1", "LPTL", "all voxels", "word_rate", f"{result.metrics['alignment/A1/r']:.3f}", "–"):
        assert cell in text


def comparison(roi, difference, p, p_equivalence, reference="word_rate", layer=None):
    return {
        "family": "all" if roi == "all" else "ROIs", "source": "model", "reference": reference, "roi": roi, "layer": layer,
        "n_subjects": 9, "difference": difference, "ci_low": difference - 0.02, "ci_high": difference + 0.02, "g_z": 1.5,
        "p_t": p, "p_wilcoxon": p, "p_sign_flip": p, "p_equivalence": p_equivalence, "confidence": 0.95, "margin": 0.01,
        "remark": "",
    }  # fmt: skip


@pytest.fixture
def comparisons():
    rows = [
        comparison("A1", 0.1, 0.0001, 0.9),
        comparison("IFG", -0.1, 0.0001, 0.9),
        comparison("PTL", 0.001, 0.001, 0.001),
        comparison("V1", 0.001, 0.8, np.nan),
        comparison("all", 0.031, 0.0123, 0.9),
    ]
    return adjusted_table(rows, Scoring())


def shown(table):
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_rois_are_counted_by_what_is_significant_after_adjustment(comparisons):
    rois = comparisons[comparisons.roi != "all"]

    assert roi_counts(rois) == (2, 1, 1, 4)
    assert roi_counts(rois.assign(p_t_adjusted=0.2, p_equivalence_adjusted=0.2)) == (0, 0, 0, 4)


def test_a_row_of_tests_is_that_of_all_voxels_with_its_rois_counted(comparisons):
    text = shown(comparison_table(comparisons, "model against baselines"))

    assert "model against baselines: minus word_rate" in text
    for cell in ("+0.031", "+0.011 +0.051", ".012", "1.50", ".900", "2/1/1 of 4", "95 %"):
        assert cell in text
    assert "layer" not in text


def test_layers_and_references_are_named_where_there_are_several(comparisons):
    other = adjusted_table([comparison("all", 0.2, 0.5, 0.5, reference="untrained", layer=3)], Scoring())

    text = shown(comparison_table(pd.concat([comparisons, other]), "jobs"))

    for words in ("model − word_rate", "model − untrained", "layer", "own", " 3 "):
        assert words in text


def test_there_is_no_table_where_nothing_was_tested(comparisons):
    assert comparison_table(comparisons.assign(p_t=np.nan), "x") is None
    assert comparison_table(adjusted_table([], Scoring()), "x") is None


def clocks(n_stories):
    clock = Clock(-10.0, 2.0, 100)
    known = [Timing(trigger_s=-10.0 + at / 10 + 2.0 * np.arange(100), missing=(3,)) for at in range(n_stories)]
    words = np.array([0.5, 1.0, 180.0])
    return clock_table([audited(f"s{at}", words, words + 0.6, clock, timing) for at, timing in enumerate(known)])


def test_clocks_show_words_and_triggers_of_each_story():
    text = shown(clocks_table(clocks(2).assign(n_triggers=[100, 0])))

    first, second = (next(line for line in text.splitlines() if f" s{at} " in line) for at in (0, 1))
    for cell in (" 3 ", " 100 ", "-10 – 190", "0 – 181", "0.10", "99 + 1", "2.0000", "0.000"):
        assert cell in first
    assert [cell.strip() for cell in second.split("│")[-4:-1]] == ["–", "2", "–"]


def test_of_many_stories_those_that_are_farthest_off_are_shown():
    text = shown(clocks_table(clocks(20)))

    assert "8 stories that are less off are not shown" in text
    assert " s19 " in text
    assert " s7 " not in text
