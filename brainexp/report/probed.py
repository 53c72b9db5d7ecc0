"""What the probes of a run found in each probing set, beside what chance would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

#: A probe's table in a run's folder is ``probe_<name>_<table>.parquet``.
LINEAR, PAIRS, FACTS = (
    "probe_*_scores.parquet",
    "probe_minimal_pairs_accuracy.parquet",
    "probe_knowledge_accuracy.parquet",
)
#: Of two sentences, one is right; of all words, one.
CHANCE_OF_PAIRS, CHANCE_OF_FACTS = 0.5, 0.0
COLUMNS = ("probe", "task", "competence", "score", "floor")


def task_scores(run: Mapping[str, Any]) -> pd.DataFrame:
    """Return the score of every probing set at the last probed layer, mean over seeds, on test samples.

    Parameters
    ----------
    run : mapping
        As `brainexp.report.sweep.records` returns it; ``folder`` is where its files are.

    Returns
    -------
    DataFrame with the columns `COLUMNS`
        ``competence`` is a field of linguistics, "minimal pairs" or "knowledge". ``floor`` is the score of probes that were
        trained on random labels (NaN where there are none), one half for minimal pairs, 0 for facts.
    """
    import pandas as pd

    folder = Path(run["folder"]) if "folder" in run else None
    if folder is None:
        return pd.DataFrame(columns=list(COLUMNS))
    found = []
    for file in sorted(folder.glob(LINEAR)):
        found.append(_of_linear(pd.read_parquet(file)).assign(probe=_probe(file, "_scores")))
    for name, task, score, competence, chance in (
        (PAIRS, "paradigm", "accuracy", "minimal pairs", CHANCE_OF_PAIRS),
        (FACTS, "corpus", "top_1", "knowledge", CHANCE_OF_FACTS),
    ):
        if (folder / name).is_file():
            table = pd.read_parquet(folder / name)[[task, score]].rename(columns={task: "task", score: "score"})
            found.append(table.assign(competence=competence, floor=chance, probe=_probe(folder / name, "_accuracy")))
    if not found:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat([one[list(COLUMNS)] for one in found], ignore_index=True)


def _of_linear(table: pd.DataFrame) -> pd.DataFrame:
    last = table[(table.layer == table.layer.max()) & (table.split == "test")]
    means = last.groupby(["task", "competence", "control"], sort=False).score.mean().unstack("control")  # noqa: PD010  an index, not columns
    if "random_labels" not in means:
        means["random_labels"] = float("nan")
    found: pd.DataFrame = means.reset_index().rename(columns={"none": "score", "random_labels": "floor"})
    return found


def _probe(file: Path, ending: str) -> str:
    return file.stem.removeprefix("probe_").removesuffix(ending)
