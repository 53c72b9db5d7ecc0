import io

from rich.console import Console

from brainexp.experiment import Experiment, run
from brainexp.report.table import summary_table


def test_the_table_shows_each_roi_beside_its_baselines(composed, small_run):
    result = run(Experiment.from_config(composed(*small_run)))
    console = Console(width=100, record=True, file=io.StringIO())

    console.print(summary_table(result, "a run"))

    text = console.export_text()
    assert "a run" in text
    for cell in ("A1", "LPTL", "all voxels", "word_rate", f"{result.metrics['alignment/A1/r']:.3f}", "–"):
        assert cell in text
