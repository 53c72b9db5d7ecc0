import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from brainexp.errors import ConfigError, DataError, ModelError
from brainexp.interfaces import ProbeInput
from brainexp.model.transformer import Transformer
from brainexp.probe import lm_eval as module
from brainexp.probe.lm_eval import LmEval
from tests.model.families import checkpoint

TINY = Transformer(path="package:brainexp/model/tiny/xs")
QUESTIONS = [
    {"question": "Nora has a dog . The", "choices": ["dog", "of"], "label": 0},
    {"question": "Nora went to the", "choices": ["went", "forest"], "label": 1},
    {"question": "Then she was very", "choices": ["the", "happy"], "label": 1},
]
TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1.0}}
"""
#: What the harness and what it stands on warn of, which is none of ours.
quiet = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tasks").mkdir()
    data = tmp_path / "tasks" / "questions.jsonl"
    data.write_text("\n".join(map(json.dumps, QUESTIONS)))
    (tmp_path / "tasks" / "local.yaml").write_text(TASK.format(name="local_choice", file=data))
    return tmp_path / "tasks"


def given(model, kept=None):
    return ProbeInput((), {}, None, None, (0,), None, lambda: model, kept or (lambda _, compute: compute()))


@pytest.mark.lm_eval
@quiet
def test_a_local_task_is_scored_offline_as_by_a_loop_over_transformers(folder):
    model = TINY.language_model()
    before = {name: value.clone() for name, value in model.network.state_dict().items()}

    found = LmEval(tasks=("local_choice",), include_path=str(folder), batch_size=2).measure(given(model))

    hits = []
    for one in QUESTIONS:
        scores = []
        for choice in one["choices"]:
            start = model.tokenizer(one["question"])["input_ids"]
            ids = model.tokenizer(f"{one['question']} {choice}")["input_ids"]
            with torch.no_grad():
                log_p = model.network(torch.tensor([ids])).logits[0].log_softmax(-1)
            scores.append(sum(log_p[at - 1, ids[at]].item() for at in range(len(start), len(ids))))
        hits.append(np.argmax(scores) == one["label"])
    assert found.metrics == {"local_choice_acc": pytest.approx(np.mean(hits))}
    (row,) = found.tables["results"].to_dict("records")
    assert row == {
        "task": "local_choice",
        "metric": "acc",
        "filter": "none",
        "value": np.mean(hits),
        "n_samples": 3,
        "version": "1.0",
    }
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name])
    assert model.likelihoods(["Nora has a dog ."])[0].n_scored > 0


@pytest.mark.lm_eval
@quiet
def test_the_limit_counts_and_what_is_kept_depends_on_files_and_options(folder):
    keys = []

    def kept(key, compute):
        keys.append(json.dumps(key))
        return []

    model = TINY.language_model()
    short = LmEval(tasks=("local_choice",), include_path=str(folder), limit=1)
    assert short.measure(given(model)).tables["results"].n_samples.tolist() == [1]
    for probe in (short, short, LmEval(tasks=("local_choice",), include_path=str(folder), limit=2)):
        probe.measure(given(model, kept))
    (folder / "questions.jsonl").write_text(json.dumps(QUESTIONS[0]))
    short.measure(given(model, kept))

    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


@pytest.mark.lm_eval
@quiet
def test_data_that_is_not_here_and_masked_models_are_refused(folder, tmp_path):
    (folder / "far.yaml").write_text(TASK.format(name="far", file=tmp_path / "none.jsonl"))
    far = (folder / "far.yaml").read_text().replace("dataset_path: json", "dataset_path: nobody/nothing")
    (folder / "far.yaml").write_text(far)
    module._listed.cache_clear()
    probe = LmEval(tasks=("far",), include_path=str(folder))

    with pytest.raises(DataError, match=r"the data of task 'far' is not here and cannot be fetched.*Connect"):
        probe.measure(given(TINY.language_model()))
    masked = Transformer(path=str(checkpoint("bert", tmp_path / "bert", "MaskedLM"))).language_model()
    with pytest.raises(ModelError, match="asks causal models and encoder–decoders, not masked ones"):
        probe.measure(given(masked))


@pytest.mark.lm_eval
@quiet
def test_unknown_tasks_are_refused_before_work(folder):
    with pytest.raises(ConfigError, match=r"unknown task 'local_chioce'\. Did you mean 'local_choice'\?"):
        LmEval(tasks=("local_chioce",), include_path=str(folder)).require_ready()


def test_without_the_harness_it_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)

    with pytest.raises(ConfigError, match=r"pip install brainexp\[eval\]"):
        LmEval(tasks=("local_choice",)).require_ready()


def test_no_tasks_and_folders_that_are_not_there_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "find_spec", find_spec if find_spec("lm_eval") else lambda _: True)

    with pytest.raises(ConfigError, match=r"tasks names none. Give some, such as probe.lm_eval.tasks="):
        LmEval().require_ready()
    with pytest.raises(DataError, match="is no folder"):
        LmEval(tasks=("a",), include_path=str(tmp_path / "none")).require_ready()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"limit": 0}, "limit must be at least 1, got 0"),
        ({"num_fewshot": -1}, "num_fewshot must be at least 0, got -1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        LmEval(**options)
