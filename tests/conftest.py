"""Small models built on the spot, real data where it is there, and no network."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

# Set before any library reads them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the problems are small: threads would only wait for each other
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

CONF = Path(__file__).parent.parent / "conf"
# Absolute: tests link to it from folders of their own.
DATA = Path(os.environ.get("BRAINEXP_DATA", Path(__file__).parent.parent.parent / "shared" / "data")).resolve()


#: Collected for its doctests, it would stay registered; the contract tests install it themselves.
collect_ignore = ["contract/plugin.py"]


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("data") and not DATA.is_dir():
            item.add_marker(pytest.mark.skip(reason=f"no real data: {DATA} is not there (set BRAINEXP_DATA)"))
        if item.get_closest_marker("lm_eval") and find_spec("lm_eval") is None:
            item.add_marker(pytest.mark.skip(reason="no lm-evaluation-harness (pip install brainexp[eval])"))
        if item.get_closest_marker("browser") and not _has_chromium():
            item.add_marker(pytest.mark.skip(reason="no Chromium (apt-get install chromium)"))
        if item.get_closest_marker("services") and not _has_postgresql():
            item.add_marker(pytest.mark.skip(reason="no PostgreSQL (make test-services)"))
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="no GPU"))


def pytest_terminal_summary(terminalreporter):
    for reason, told in (
        ("no real data", "tests on real data were left out: set BRAINEXP_DATA to its folder."),
        ("no Chromium", "tests of MLflow's pages were left out: install Chromium."),
        ("no PostgreSQL", "tests of a tracking server were left out: make test-services installs what they need."),
        ("no lm-evaluation-harness", "tests of probe=lm_eval were left out: install the eval extra."),
    ):
        skipped = terminalreporter.stats.get("skipped", [])
        left_out = sum(reason in str(report.longrepr) for report in skipped)
        if left_out:
            terminalreporter.write_line(f"{left_out} {told}")


def _has_chromium():
    from tests.browser.pages import chromium

    return chromium() is not None and find_spec("playwright") is not None


def _has_postgresql():
    from tests.services.running import postgresql

    return postgresql() is not None or bool(os.environ.get("BRAINEXP_SERVICES"))


def _has_gpu():
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test reads or fills the user's cache; tests share one, as runs do."""
    monkeypatch.setenv("BRAINEXP_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def alice_root():
    return DATA / "alice_brennan2016"


@pytest.fixture
def story():
    from brainexp.containers import Stimulus

    words = ("The", "crow", "didn't", "drink", "tea,", "but", "the", "naïve", "fox", "drank", "20", "cups.")
    onset_s = 0.5 * np.arange(len(words))
    return Stimulus(story="tea", units=words, onset_s=onset_s, offset_s=onset_s + 0.4)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Folders of tiny random models of real transformers classes, by family."""
    import torch
    import transformers as hf

    size = {
        "vocab_size": 300,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    configs = {
        "bert": hf.BertConfig(**size),
        "gpt2": hf.GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2, n_positions=128),
        "llama": hf.LlamaConfig(**size, num_key_value_heads=2),
        "qwen2": hf.Qwen2Config(**size, num_key_value_heads=2),
        "gpt_neox": hf.GPTNeoXConfig(**size),
    }
    folder = tmp_path_factory.mktemp("checkpoints")
    for name, config in configs.items():
        torch.manual_seed(0)
        hf.AutoModel.from_config(config).save_pretrained(folder / name)
        byte_level_tokenizer(brackets=name == "bert").save_pretrained(folder / name)
    return {name: folder / name for name in configs}


def byte_level_tokenizer(brackets):
    """A byte-level BPE tokenizer as GPT-2's; with [CLS] and [SEP] around, as BERT's, where asked."""
    import tokenizers
    import transformers as hf

    text = [
        "the",
        "crow",
        "drank",
        "tea",
        "but",
        "the",
        "fox",
        "did",
        "not",
        "drink",
        "any",
        "of",
        "it",
        "and",
        "went",
        "home",
        "slowly",
    ]
    model = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=None))
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["[CLS]", "[SEP]", "[PAD]"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator([" ".join(text)], trainer)
    if brackets:
        model.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
        )
    else:
        model.post_processor = tokenizers.processors.ByteLevel(trim_offsets=False)
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="[PAD]" if brackets else None, eos_token="[SEP]"
    )


@pytest.fixture
def composed():
    """Compose the config as the command line does, as plain values."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    def compose_with(*overrides):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return OmegaConf.to_container(compose("config", list(overrides)), resolve=True, throw_on_missing=True)

    return compose_with


@pytest.fixture
def members(monkeypatch):
    """Compressions of the tests' own are known under their names."""
    from brainexp.registry import COMPRESSIONS
    from tests.compressed.members import MEMBERS

    for name, member in MEMBERS.items():
        monkeypatch.setitem(COMPRESSIONS._members, name, member)


@pytest.fixture
def small_run(checkpoints, tmp_path):
    """Overrides of a run that takes seconds: a tiny random model, two simulated people, few choices."""
    return [
        "dataset=passage",
        "model=local",
        f"model.path={checkpoints['gpt2']}",
        "dataset.n_subjects=2",
        "split.folds=3",
        "encoder.alphas=[100,10000]",
        "scoring.permutations=50",
        "baselines=[word_rate]",
        "report.figures=false",
        f"tracking.uri=sqlite:///{tmp_path}/mlflow.db",
        f"sweep.finished={tmp_path}/finished",
    ]
