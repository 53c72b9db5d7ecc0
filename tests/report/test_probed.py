import numpy as np
import pandas as pd
import pytest

from brainexp.report.probed import task_scores


def linear(folder, scores, probe="holmes", layers=(0, 1), random_labels=0.5, seeds=2):
    """Leave the table of a linear probe: a score per task at the last layer, on test samples; decoys elsewhere."""
    rows = [
        {"task": task, "competence": competence, "phenomenon": "", "layer": layer, "seed": seed, "control": control,
         "split": split, "measure": "macro_f1",
         "score": (score if control == "none" else random_labels) + (seed - (seeds - 1) / 2) / 100
         if (layer, split) == (layers[-1], "test") else 0.01}
        for (competence, task), score in scores.items()
        for layer in layers
        for seed in range(seeds)
        for split in ("dev", "test")
        for control in ("none", *(["random_labels"] if random_labels is not None else []))
    ]  # fmt: skip
    rows += [{**rows[0], "split": "train", "measure": "compression", "score": 9.0}]
    pd.DataFrame(rows).to_parquet(folder / f"probe_{probe}_scores.parquet")


def test_scores_are_of_the_last_layer_and_the_test_samples_beside_random_labels(tmp_path):
    linear(tmp_path, {("syntax", "gap"): 0.9, ("semantics", "animacy"): 0.8})
    linear(tmp_path, {("syntax", "pos"): 0.7}, probe="ud", random_labels=None)

    found = task_scores({"folder": str(tmp_path)}).set_index(["probe", "task"])

    assert found.score.to_dict() == pytest.approx(
        {("holmes", "gap"): 0.9, ("holmes", "animacy"): 0.8, ("ud", "pos"): 0.7}
    )
    assert found.competence.to_dict()["holmes", "animacy"] == "semantics"
    assert found.floor["holmes", "gap"] == pytest.approx(0.5)
    assert np.isnan(found.floor["ud", "pos"])


def test_minimal_pairs_and_facts_have_a_chance_of_their_own(tmp_path):
    pd.DataFrame({"paradigm": ["island"], "accuracy": [0.6]}).to_parquet(
        tmp_path / "probe_minimal_pairs_accuracy.parquet"
    )
    pd.DataFrame({"corpus": ["squad"], "top_1": [0.1]}).to_parquet(tmp_path / "probe_knowledge_accuracy.parquet")

    found = task_scores({"folder": str(tmp_path)})

    assert found[["probe", "task", "competence", "score", "floor"]].to_numpy().tolist() == [
        ["minimal_pairs", "island", "minimal pairs", 0.6, 0.5],
        ["knowledge", "squad", "knowledge", 0.1, 0.0],
    ]


def test_runs_without_probes_have_none(tmp_path):
    assert task_scores({"folder": str(tmp_path)}).empty
    assert task_scores({}).empty
