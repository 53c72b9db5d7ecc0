"""The tiny ladder that the package ships: it loads as declared, and larger models know the grammar better."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brainexp.grammar import text

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

ROOT = Path(__file__).parents[2]
LADDER = ROOT / "brainexp/model/tiny"
#: Size to declared blocks, the group of inputs that quantisation may rely on, and parameters in millions.
DECLARED = {"xs": (2, 32, 0.06), "s": (4, 64, 0.28), "m": (4, 128, 1.0), "l": (4, 128, 3.7)}
LARGEST_BYTES = 16_000_000


@pytest.fixture(scope="module", autouse=True)
def _offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def measures() -> dict:
    return json.loads((LADDER / "measures.json").read_text(encoding="utf-8"))


def causal(name: str):
    return transformers.AutoModelForCausalLM.from_pretrained(LADDER / name, dtype=torch.float32).eval()


def test_all_weights_together_stay_small() -> None:
    sizes = [(LADDER / name / "model.safetensors").stat().st_size for name in DECLARED]

    assert sum(sizes) < LARGEST_BYTES


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", DECLARED)
def test_a_size_loads_as_declared_and_gives_finite_states(
    name: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks, group, millions = DECLARED[name]

    model = transformers.AutoModel.from_pretrained(LADDER / name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(LADDER / name)
    read = tokenizer(text(5, 60), return_offsets_mapping=True, return_tensors="pt")
    with torch.no_grad():
        states = model(input_ids=read["input_ids"], output_hidden_states=True).hidden_states

    assert not caplog.records
    assert "warning" not in capsys.readouterr().err.lower()
    assert len(states) == blocks + 1
    assert all(bool(torch.isfinite(state).all()) for state in states)
    assert next(model.parameters()).dtype == torch.bfloat16
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert linear
    assert all(module.in_features % group == 0 for module in linear)
    assert sum(weight.numel() for weight in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.05)


@pytest.mark.parametrize("name", DECLARED)
def test_the_preset_names_the_folder_and_its_blocks(name: str) -> None:
    lines = (ROOT / f"conf/model/tiny_{name}.yaml").read_text(encoding="utf-8").splitlines()

    assert f"path: package:brainexp/model/tiny/{name}" in lines
    assert f"blocks: {DECLARED[name][0]}" in lines


def test_the_tokenizer_is_fast_adds_nothing_and_points_at_its_letters() -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(LADDER / "xs")
    story = text(5, 60)

    read = tokenizer(story, return_offsets_mapping=True)

    assert tokenizer.is_fast
    assert tokenizer.decode(read["input_ids"]) == story
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<pad>", "<eos>")
    assert not {tokenizer.pad_token_id, tokenizer.eos_token_id} & set(read["input_ids"])
    assert "".join(story[start:end] for start, end in read["offset_mapping"]) == story


def test_validation_loss_falls_along_the_ladder_as_the_card_says(measures: dict) -> None:
    stories = [text(seed, measures["validation_words"]) for seed in measures["few_seeds"]]

    losses = {name: loss(name, stories) for name in DECLARED}

    for name, found in losses.items():
        assert found == pytest.approx(measures[name]["loss_few"], rel=0.02)
    assert losses["xs"] > losses["s"] > losses["m"] > losses["l"]


def loss(name: str, stories: list[str]) -> float:
    """Mean surprise per token in nats, from the second word of each story."""
    model = causal(name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(LADDER / name)
    surprises = []
    for story in stories:
        read = tokenizer(story, return_offsets_mapping=True, truncation=True, max_length=512)
        tokens = torch.tensor([read["input_ids"]])
        with torch.no_grad():
            logs = model(input_ids=tokens).logits[0, :-1].log_softmax(-1)
        asked = [at for at, (start, _) in enumerate(read["offset_mapping"][1:]) if start >= story.index(" ")]
        surprises += [-float(logs[at, tokens[0, at + 1]]) for at in asked]
    return sum(surprises) / len(surprises)


def test_agreement_across_a_distractor_is_known_better_by_larger_models(measures: dict) -> None:
    accuracies = [measures[name]["pairs"]["agreement-distractor"] for name in DECLARED]

    assert accuracies[0] < accuracies[-1]
    assert accuracies[-1] > 0.8


def test_training_validation_and_scored_stories_share_no_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "training"))
    recipe = __import__("tiny_models")
    sys.modules.pop("tiny_models")

    assert min(recipe.VALIDATION_SEEDS) >= recipe.SCORED_BELOW
    assert max(recipe.VALIDATION_SEEDS) < recipe.TRAINING_FROM
