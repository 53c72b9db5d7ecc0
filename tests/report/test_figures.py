import numpy as np
import pandas as pd
import pytest

from brainexp.align.audit import audited
from brainexp.containers import Clock, Timing
from brainexp.report.figures import clock_figure, layer_curve, roi_bars
from brainexp.result import SCORE_COLUMNS, clock_table


@pytest.fixture
def scores():
    rest = (0.2, 0.0, 0.05, 0.5, 5, 0.2, 0.01, 0.48, 0.52)
    rows = [
        (source, subject, layer, roi, 5, 5, 0.1 * (layer if layer is not pd.NA else 9) + 0.01 * at, *rest)
        for source in ("model", "untrained", "word_rate")
        for at, subject in enumerate(("a", "b"))
        for layer in (0, 1, 2, pd.NA)
        for roi in ("IFG", "all")
    ]
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS)).astype({"layer": "Int64"})


def test_the_curve_shows_the_mean_over_subjects_at_each_layer(scores):
    figure = layer_curve(scores)

    held_out = figure.axes[0].lines[0]
    np.testing.assert_array_equal(held_out.get_xdata(), [0, 1, 2])
    np.testing.assert_allclose(held_out.get_ydata(), [0.005, 0.105, 0.205])
    assert [panel.get_title() for panel in figure.axes] == ["IFG", "all voxels"]


def test_bars_show_the_chosen_layer_with_a_point_per_subject(scores):
    figure = roi_bars(scores)

    (panel,) = figure.axes
    heights = [
        bar.get_height() for container in panel.containers if hasattr(container, "patches") for bar in container.patches
    ]
    np.testing.assert_allclose(heights, [0.905] * 6)
    points = [line for line in panel.lines if line.get_marker() == "."]
    np.testing.assert_allclose(points[0].get_ydata(), [0.9, 0.91])


def test_a_single_subject_is_drawn_without_error_bars(scores):
    figure = roi_bars(scores[scores.subject == "a"])

    assert len(figure.axes) == 1


def test_clocks_show_recordings_words_and_how_far_triggers_are():
    words, clock = np.array([1.0, 2.0, 170.0]), Clock(-10.0, 2.0, 100)
    known = Timing(trigger_s=-9.8 + 2.0 * np.arange(100))
    audits = [audited("a", words, words + 0.5, clock), audited("b", words, words + 0.5, clock, known)]

    spans, off = clock_figure(clock_table(audits)).axes

    recording, told = spans.containers
    assert [(bar.get_x(), bar.get_width()) for bar in recording] == [(-10.0, 200.0)] * 2
    assert [(bar.get_x(), bar.get_width()) for bar in told] == [(1.0, 169.5)] * 2
    (bar,) = off.containers[0]
    assert bar.get_width() == pytest.approx(0.2)
    assert off.get_xlabel() == "farthest trigger, s"
    assert clock_figure(clock_table(audits[:1])).axes[1].get_xlabel() == "no triggers known"
