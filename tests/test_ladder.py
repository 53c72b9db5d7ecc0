"""Along the tiny ladder, alignment and probing rise, and an untrained twin lies below each."""

import ast
import csv

import numpy as np
import pytest

from brainexp.experiment import Experiment, run
from brainexp.grammar import write_holmes

pytestmark = pytest.mark.slow

LADDER = ("tiny_xs", "tiny_s", "tiny_m", "tiny_l")
#: Regions whose planted annotations models of this size learn; discourse is beyond them.
LANGUAGE = ("IFG", "IFGorb", "MFG", "ATL", "PTL")


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """Sentence probes of the grammar: name, split to sentences and labels."""
    folder = tmp_path_factory.mktemp("gold") / "gold"
    write_holmes(folder, seed=3, n_samples=2500)
    probes = {}
    for path in sorted(folder.glob("*/samples.csv")):
        if (
            "probe_task_type: SENTENCE\n" in (path.parent / "config-none.yaml").read_text()
            and path.parent.name != "tree-depth"
        ):
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            probes[path.parent.name] = {
                split: [(ast.literal_eval(row["inputs"])[0], row["label"]) for row in rows if row["set-0"] == split]
                for split in ("train", "test")
            }
    return probes


def mean_states(model, texts):
    """Mean over tokens of the last layer, array of shape (n_texts, n_dims)."""
    import torch

    loaded = model.load()
    encoded = [loaded.tokenizer(text)["input_ids"] for text in texts]
    means = np.empty((len(texts), loaded.n_dims), np.float32)
    order = np.argsort([len(ids) for ids in encoded], kind="stable")
    for first in range(0, len(order), 64):
        at = order[first : first + 64]
        read = loaded.tokenizer.pad({"input_ids": [encoded[i] for i in at]}, return_tensors="pt")
        with torch.inference_mode():
            states = loaded.network(**read).last_hidden_state.float()
        kept = read["attention_mask"][:, :, None]
        means[at] = ((states * kept).sum(1) / kept.sum(1)).numpy()
    return means


def probing_accuracy(model, probes):
    """Accuracy of linear probes on held-out sentences, averaged over tasks."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    accuracies = []
    for splits in probes.values():
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
        features = {split: mean_states(model, [text for text, _ in rows]) for split, rows in splits.items()}
        labels = {split: [label for _, label in rows] for split, rows in splits.items()}
        fitted.fit(features["train"], labels["train"])
        accuracies.append(fitted.score(features["test"], labels["test"]))
    return float(np.mean(accuracies))


def test_alignment_rises_and_untrained_twins_lie_below(composed):
    language, twins = [], []
    for name in LADDER:
        config = composed(f"model={name}", "baselines=[untrained]", "scoring.permutations=10")
        metrics = run(Experiment.from_config(config)).metrics
        language.append(np.mean([metrics[f"alignment/{roi}/r"] for roi in LANGUAGE]))
        twins.append(np.mean([metrics[f"baseline/untrained/{roi}/r"] for roi in LANGUAGE]))
    print(*zip(LADDER, language, twins, strict=True), sep="\n")

    assert all(model > twin for model, twin in zip(language, twins, strict=True))
    assert language == sorted(language)


def test_probing_rises_and_untrained_twins_lie_below(composed, sentences):
    import dataclasses

    from brainexp.registry import MODELS

    models = [MODELS.build(composed(f"model={name}")["model"]) for name in LADDER]

    trained = [probing_accuracy(model, sentences) for model in models]
    twins = [probing_accuracy(dataclasses.replace(model, weights="random"), sentences) for model in models]
    print(*zip(LADDER, trained, twins, strict=True), sep="\n")

    assert len(sentences) >= 5
    assert all(model > twin for model, twin in zip(trained, twins, strict=True))
    assert trained == sorted(trained)
