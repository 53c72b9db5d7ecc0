import numpy as np
import pandas as pd
import pytest

from brainexp.cli import show_sweep
from brainexp.report.dissociation import COLUMNS, QUADRANTS, dissociation_figure, dissociations
from brainexp.report.sweep import leaderboard, records, sweep_table
from brainexp.score.inference import adjusted
from brainexp.score.ranking import winning_rates
from tests.report.test_pairing import job
from tests.report.test_probed import linear

N_TASKS = 5
ABOVE = np.random.default_rng(2).uniform(0.3, 0.45, (3, N_TASKS))


def probes(folder, number, losses, seed, **options):
    """Scores of a job above the 0.5 of random labels, less a share of them per competence."""
    rng = np.random.default_rng(seed)
    scores = {
        (name, f"{name} {task}"): 0.5 + (1 - loss) * above + rng.normal(0, 0.01)
        for (name, loss), row in zip(losses.items(), ABOVE, strict=False)
        for task, above in enumerate(row)
    }
    linear(folder / str(number), scores, **options)


@pytest.fixture
def sweep(tmp_path):
    """awq: nothing is lost; rtn: syntax is lost, alignment is not; w2: both lose the same share, 40 % of r = 0.2."""
    job(tmp_path, "gpt2-none-x", 0.0, seed=1)
    job(tmp_path, "gpt2-awq-x", 0.0, seed=2)
    job(tmp_path, "gpt2-rtn-x", 0.0, seed=3)
    job(tmp_path, "gpt2-w2-x", 0.08, seed=4)
    for number, syntax in enumerate((0.0, 0.0, 0.5, 0.4)):
        other = 0.4 if number == 3 else 0.0
        probes(tmp_path, number, {"syntax": syntax, "semantics": other, "discourse": other}, seed=number)
    return tmp_path


def test_only_what_was_planted_is_dissociated(sweep):
    table, remarks = dissociations(records(sweep))

    assert remarks == []
    assert tuple(table) == COLUMNS
    verdicts = table.set_index(["run", "competence"]).verdict.to_dict()
    assert verdicts.pop(("gpt2-rtn-x", "syntax")) == "dissociated"
    assert verdicts.pop(("gpt2-rtn-x", "all")) in (
        "dissociated",
        "not shown",
    )  # a third of the sets have lost something
    assert set(verdicts.values()) == {"not shown"}
    assert len(verdicts) == 3 * 4 - 2


def test_changes_are_shares_of_what_the_uncompressed_model_has_above_its_floor(sweep):
    table, _ = dissociations(records(sweep))
    both = table.set_index(["run", "competence"]).loc[("gpt2-w2-x", "syntax")]
    scores = [pd.read_parquet(sweep / str(number) / "scores.parquet") for number in (0, 3)]
    r = [one[(one.roi == "all") & one.layer.isna()].r.mean() for one in scores]

    assert both.alignment_change == pytest.approx(r[1] / r[0] - 1)
    assert both.probes_change == pytest.approx(-0.4, abs=0.05)
    assert both.difference == pytest.approx(both.alignment_change - both.probes_change)
    assert both.alignment_low < both.alignment_change < both.alignment_high
    assert (both.n_subjects, both.n_tasks, both.reference) == (9, N_TASKS, "gpt2-none-x")


def test_p_are_adjusted_within_jobs_and_competences_and_over_all_sets_apart(sweep):
    table, _ = dissociations(records(sweep))

    for family, rows in table.groupby("family"):
        assert (rows.competence == "all").all() == (family == "jobs, all probing sets")
        for test in ("p_larger", "p_bootstrap", "p_equivalence"):
            assert rows[f"{test}_adjusted"].to_numpy() == pytest.approx(adjusted(rows[test].to_numpy(), "holm"))


def test_alignment_that_falls_less_than_probes_but_falls_is_not_called_dissociated(tmp_path):
    job(tmp_path, "gpt2-none-x", 0.0, seed=1)
    job(tmp_path, "gpt2-w2-x", 0.05, seed=2)
    for number, loss in enumerate((0.0, 0.9)):
        probes(tmp_path, number, {"syntax": loss}, seed=number)

    table, _ = dissociations(records(tmp_path))

    assert set(table.verdict) == {"probes lose more"}


def test_other_probe_options_and_missing_floors_are_told(sweep):
    probes(sweep, 1, {"syntax": 0.0}, seed=1, random_labels=None)
    probes(sweep, 0, {"syntax": 0.0}, seed=0, random_labels=None)
    runs = records(sweep)
    runs[2]["config"]["probe"] = {"holmes": {"seeds": [7]}}

    table, remarks = dissociations(runs)

    assert remarks[0] == (
        "gpt2-awq-x: 5 probing sets have no score of random labels and are left out. Give the probe controls=[random_labels]."
    )
    assert "gpt2-rtn-x and gpt2-none-x are not tested for dissociation: they differ in probe.holmes." in remarks
    assert set(table[table.run == "gpt2-awq-x"].verdict) == {"untested"}


def test_jobs_without_an_uncompressed_twin_or_without_probes_have_no_rows(tmp_path):
    job(tmp_path, "gpt2-awq-x", 0.0, seed=1)
    job(tmp_path, "gpt2-rtn-x", 0.0, seed=2)
    assert dissociations(records(tmp_path))[0].empty
    for number in (0, 1):
        probes(tmp_path, number, {"syntax": 0.1}, seed=number)

    assert dissociations(records(tmp_path))[0].empty


def test_the_leaderboard_ranks_runs_in_every_set_and_competence(sweep):
    runs = records(sweep)

    rates, tasks = leaderboard(runs)

    assert rates.run.tolist() == [run["name"] for run in runs]
    scores = tasks[[run["name"] for run in runs]]
    assert rates["all"].to_numpy() == pytest.approx(winning_rates(scores.to_numpy()))
    syntax = winning_rates(scores[tasks.competence == "syntax"].to_numpy())
    assert rates.syntax.to_numpy() == pytest.approx(syntax)
    assert rates.syntax.idxmin() == 2
    assert len(tasks) == 3 * N_TASKS
    assert tasks.tau.mean() > 0


def test_sets_that_some_run_lacks_are_not_ranked(sweep):
    probes(sweep, 1, {"syntax": 0.0}, seed=1)

    assert set(leaderboard(records(sweep))[1].competence) == {"syntax"}
    assert leaderboard(records(sweep)[:1])[0].empty


def test_the_figure_has_a_panel_per_competence_and_names_its_quadrants(sweep):
    table, _ = dissociations(records(sweep))

    figure = dissociation_figure(table)

    titles = [panel.get_title() for panel in figure.axes if panel.get_visible()]
    assert titles == ["all probing sets", "syntax", "semantics", "discourse"]
    points = [
        (line.get_xdata()[0], line.get_ydata()[0], line.get_fillstyle())
        for line in figure.axes[1].lines
        if line.get_marker() == "o"
    ]
    rows = table[table.competence == "syntax"]
    assert [point[:2] for point in points] == list(zip(rows.probes_change, rows.alignment_change, strict=True))
    assert [point[2] for point in points] == ["none", "full", "none"]
    assert {text.get_text() for text in figure.axes[1].texts} == set(QUADRANTS.values())


def test_a_sweep_leaves_table_figure_and_winning_rates(sweep, capsys):
    show_sweep(sweep)

    told = capsys.readouterr().out
    assert "dissociated" in told
    assert "wins" in told
    assert list(pd.read_csv(sweep / "dissociation.csv")) == list(COLUMNS)
    assert (sweep / "dissociation.png").is_file()
    assert pd.read_csv(sweep / "winning_rates.csv").run.tolist() == [run["name"] for run in records(sweep)]
    assert len(pd.read_csv(sweep / "probing_sets.csv")) == 3 * N_TASKS
    assert "wins" in [column.header for column in sweep_table(records(sweep)).columns]
