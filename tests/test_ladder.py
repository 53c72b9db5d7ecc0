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


def test_reasoning_is_above_its_untrained_twin_where_it_is_asked_before_the_answer(tmp_path):
    """Who of three is the greatest: told in the state at *So*, and better by larger models. A conclusion that is there already
    leaves no trace; where a thing is, models of this size do not know; and neither does the smallest who is the greatest.

    Measured before this was written, 5,000 samples: xs .524 (twin .528), s .593 (.534), m .618 (.503), l .689 (.535).
    """
    from brainexp.grammar import PROBES
    from brainexp.interfaces import ProbeInput
    from brainexp.model.transformer import Transformer
    from brainexp.probe.holmes import Holmes

    write_holmes(tmp_path / "gold", 0, 5000, tuple(one for one in PROBES if one.name == "transitivity-foreseen"))
    probe = Holmes(
        str(tmp_path / "gold"), seeds=(0, 1, 2), controls=("random_labels", "random_weights"), code_length=False
    )

    def reader(name, **options):
        network = Transformer(path=f"package:brainexp/model/tiny/{name}", **options).load()

        def read(_, passages):
            parts = list(network.read(passages))
            order = np.argsort(np.concatenate([at for at, _ in parts]))
            return np.concatenate([values for _, values in parts], axis=1)[:, order]

        return read

    def found(name):
        """Test scores at the layer that dev samples choose."""
        given = reader(name), tuple(range(5)), reader(name, weights="random")
        table = probe.measure(ProbeInput((), {}, None, *given, None, lambda _, compute: compute())).tables["scores"]
        means = table.groupby(["control", "layer", "split"]).score.mean().unstack("split")
        return means.loc[means.dev.groupby("control").idxmax()].test.droplevel("layer")

    ladder = {name: found(name) for name in ("s", "m", "l")}
    print(ladder)

    error = 0.5 / np.sqrt(750)  # of a share of 750 test samples
    for name, scores in ladder.items():
        assert scores["none"] > scores["random_weights"] + 2 * error, name
        assert abs(scores["random_labels"] - 0.5) < 3 * error, name
    assert ladder["l"]["none"] > ladder["m"]["none"] > ladder["s"]["none"]
