"""Perplexity against independent loops, and features against features, of checkpoints that were damaged by hand."""

import dataclasses
import json
import logging
import math

import numpy as np
import pytest
import torch

from brainexp.compression.calibration import windows
from brainexp.compression.calibration.grammar import GrammarText
from brainexp.damage import damage, held_out_words, require_apart
from brainexp.errors import ConfigError
from brainexp.grammar import text
from brainexp.model.perplexity import masked_losses, token_losses
from brainexp.model.transformer import Transformer
from brainexp.settings import Damage

SMALL = Damage(words=300, feature_words=60, masked_tokens=20)


def ladder(size="s", **options):
    return Transformer(path=f"package:brainexp/model/tiny/{size}", **options)


@pytest.fixture(scope="module")
def network():
    return ladder().network_with_head()


@pytest.fixture(scope="module")
def ids():
    return ladder().tokenizer()(text(1_000_000_777, 300))["input_ids"]


def logits_of(network):
    def logits(tokens):
        with torch.inference_mode():
            return network(input_ids=tokens).logits

    return logits


def damaged(folder, size="s", change=None):
    """Save a checkpoint of the ladder with weights of its linear layers changed."""
    model = ladder(size)
    network = model.network_with_head()
    with torch.no_grad():
        for name, layer in network.named_modules():
            if isinstance(layer, torch.nn.Linear) and name != "lm_head":
                layer.weight.copy_(change(layer.weight))
    network.save_pretrained(folder)
    model.tokenizer().save_pretrained(folder)
    return model.at(folder)


def rounded(bits):
    """To nearest, a scale for each row."""

    def change(weight):
        scale = weight.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
        return torch.round(weight / scale) * scale

    return change


@pytest.mark.parametrize(("window", "stride"), [(64, 16), (50, 49), (512, 256), (64, 1)])
def test_it_is_the_strided_perplexity_of_the_documentation_of_transformers(network, ids, window, stride):
    ids = ids[:200]
    tokens = torch.tensor([ids])
    total, n_scored, previous = 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + window, len(ids))
        labels = tokens[:, begin:end].clone()
        labels[:, : -(end - previous)] = -100
        with torch.no_grad():
            mean = network(tokens[:, begin:end], labels=labels).loss.item()
        n_labels = int((labels[:, 1:] != -100).sum())  # the first one has nothing before it
        total, n_scored, previous = total + mean * n_labels, n_scored + n_labels, end
        if end == len(ids):
            break

    losses = token_losses(logits_of(network), ids, window, stride)

    assert losses.shape == (n_scored,) == (len(ids) - 1,)
    assert losses.mean() == pytest.approx(total / n_scored, rel=1e-5)


def test_each_token_is_predicted_once_from_at_least_a_window_less_a_stride(network, ids):
    ids = ids[:60]
    alone = np.empty(59)
    for at in range(1, 60):
        begin = 0 if at < 20 else (at - 20 + 8) // 8 * 8  # the first window of 20 tokens, every 8, that holds it
        with torch.no_grad():
            rows = network(torch.tensor([ids[begin:at]])).logits[0, -1].double()
        alone[at - 1] = -torch.log_softmax(rows, 0)[ids[at]]

    np.testing.assert_allclose(token_losses(logits_of(network), ids, 20, 8), alone, rtol=1e-4, atol=1e-5)


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary(ids):
    def uniform(tokens):
        return torch.zeros(*tokens.shape, 1024)

    assert np.exp(token_losses(uniform, ids, 64, 32).mean()) == pytest.approx(1024)
    assert np.exp(masked_losses(uniform, ids, 5, 64, 30).mean()) == pytest.approx(1024)


def test_windows_change_nothing_of_a_model_that_sees_one_token(ids):
    table = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))

    found = [token_losses(lambda tokens: table[tokens], ids, *sizes) for sizes in ((8, 1), (64, 63), (512, 100))]

    expected = -torch.log_softmax(table.double(), 1)[ids[:-1], ids[1:]]
    for losses in found:
        np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_a_stride_changes_nothing_where_the_text_fits_a_window_and_more_context_helps(network, ids):
    short = ids[:100]
    by_stride = [token_losses(logits_of(network), short, 128, stride) for stride in (1, 50, 127)]
    np.testing.assert_array_equal(by_stride[0], by_stride[1])
    np.testing.assert_array_equal(by_stride[0], by_stride[2])

    means = [token_losses(logits_of(network), ids, window, window // 2).mean() for window in (4, 16, 64)]
    assert means == sorted(means, reverse=True)


def test_special_tokens_stand_before_every_window():
    seen = []

    def logits(tokens):
        seen.append(tokens[0].tolist())
        return torch.zeros(*tokens.shape, 20)

    losses = token_losses(logits, [1, 2, 3, 4, 5, 6], 4, 2, before=[9])

    assert seen == [[9, 1, 2, 3], [9, 3, 4, 5], [9, 5, 6]]
    assert losses.shape == (5,)


def test_masked_tokens_are_predicted_from_both_sides_one_at_a_time():
    seen = []

    def logits(tokens):
        seen.extend(tokens.tolist())
        return torch.nn.functional.one_hot(tokens.roll(-1, 1), 30).float() * 3  # guesses the token after

    ids = [10, 11, 12, 13, 14, 14]
    losses = masked_losses(logits, ids, mask=20, window=5, n_masked=3, before=[1], after=[2])

    assert seen == [[1, 20, 11, 12, 2], [1, 11, 20, 13, 2], [1, 13, 14, 20, 2]]  # of 10, 12 and the last 14
    total = math.log(29 + math.e**3)
    np.testing.assert_allclose(losses, [total, total, total], rtol=1e-6)


def test_perplexity_per_word_and_bits_per_byte_are_of_all_words_but_the_first(tmp_path):
    model = ladder()
    words = held_out_words(SMALL)
    told = " ".join(words)
    tokens = model.tokenizer()(told, return_offsets_mapping=True)
    losses = token_losses(logits_of(model.network_with_head()), tokens["input_ids"], 512, 256)
    scored = losses[np.array([end for _, end in tokens["offset_mapping"]])[1:] > len(words[0])]

    found = damage(model, None, SMALL, tmp_path).metrics

    assert found["compression/perplexity"] == pytest.approx(np.exp(scored.mean()), rel=1e-6)
    assert found["compression/perplexity_per_word"] == pytest.approx(np.exp(scored.sum() / 299), rel=1e-6)
    n_bytes = len(told.encode()) - len(words[0].encode())
    assert found["compression/bits_per_byte"] == pytest.approx(scored.sum() / np.log(2) / n_bytes, rel=1e-6)
    assert found["compression/perplexity_window_tokens"] == 512
    assert len(found) == 4


def test_larger_models_of_the_ladder_predict_better(tmp_path):
    found = [damage(ladder(size), None, SMALL, tmp_path).metrics for size in ("xs", "s", "m")]

    for name in ("perplexity", "perplexity_per_word", "bits_per_byte"):
        values = [one[f"compression/{name}"] for one in found]
        assert values == sorted(values, reverse=True)
    assert 2 < found[2]["compression/perplexity"] < 30


def test_fewer_bits_do_more_damage_and_none_does_none(tmp_path):
    base = ladder()
    found = {
        bits: damage(base, damaged(tmp_path / str(bits), change=rounded(bits)), SMALL, tmp_path / "cache")
        for bits in (8, 4, 3)
    }
    same = damage(base, damaged(tmp_path / "same", change=lambda weight: weight), SMALL, tmp_path / "cache")

    own = damage(base, None, SMALL, tmp_path / "cache").metrics["compression/perplexity"]
    for one in (same, *found.values()):
        assert one.metrics["compression/base_perplexity"] == own
        assert "compression/base_perplexity_window_tokens" not in one.metrics
        assert one.remarks == ()
        assert {len(curve) for curve in one.curves.values()} == {5}
    assert same.metrics["compression/perplexity"] == own
    assert same.curves["compression/relative_error"] == [0] * 5
    assert same.curves["compression/cka"] == pytest.approx([1] * 5)
    perplexity = [found[bits].metrics["compression/perplexity"] for bits in (8, 4, 3)]
    assert perplexity == sorted(perplexity)
    assert perplexity[0] == pytest.approx(own, rel=0.01)
    errors = np.array([found[bits].curves["compression/relative_error"] for bits in (8, 4, 3)])
    assert (errors[:, 0] == 0).all()  # embeddings were not touched
    assert (np.diff(errors[:, 1:], axis=0) > 0).all()
    for name in ("cka", "cka_unbiased"):
        cka = np.array([found[bits].curves[f"compression/{name}"] for bits in (8, 4, 3)])
        np.testing.assert_allclose(cka[:, 0], 1)
        assert (np.diff(cka[:, 1:], axis=0) < 0).all()


def test_zeros_are_counted_in_each_layer(tmp_path):
    def halved(weight):
        return torch.where(weight.abs() < weight.abs().median(), 0.0, weight)

    pruned = damaged(tmp_path / "pruned", change=halved)

    curve = damage(ladder(), pruned, SMALL, tmp_path / "cache").curves["compression/layer_sparsity"]

    assert curve[0] == 0
    assert curve[1:] == pytest.approx([0.5] * 4, abs=0.02)
    some = dataclasses.replace(pruned, layers=(0, 3))
    found = damage(ladder(layers=(0, 3)), some, SMALL, tmp_path / "cache")
    assert found.curves["compression/layer_sparsity"] == [curve[0], curve[3]]


def test_models_of_other_depth_are_not_compared_layer_by_layer(tmp_path):
    model = ladder()
    network = model.network_with_head()
    network.model.layers = network.model.layers[:3]
    network.config.num_hidden_layers = 3
    network.save_pretrained(tmp_path / "cut")
    model.tokenizer().save_pretrained(tmp_path / "cut")

    found = damage(model, model.at(tmp_path / "cut"), SMALL, tmp_path / "cache")

    assert found.remarks == (
        "Features are not compared layer by layer: the model had layers 0 to 4, and has 0 to 3 after compression.",
    )
    assert set(found.curves) == {"compression/layer_sparsity"}
    assert found.metrics["compression/perplexity"] > found.metrics["compression/base_perplexity"]


def test_a_masked_model_has_a_pseudo_perplexity(tmp_path):
    import transformers as hf

    from tests.model.families import wordpiece_tokenizer

    tokenizer = wordpiece_tokenizer()
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    torch.manual_seed(0)
    config = hf.BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    network = hf.BertForMaskedLM(config).eval()
    torch.nn.init.zeros_(network.cls.predictions.decoder.weight)  # tied: the embeddings too
    network.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")

    found = damage(Transformer(path=str(tmp_path / "bert")), None, SMALL, tmp_path / "cache")

    assert found.metrics == {"compression/pseudo_perplexity": pytest.approx(len(tokenizer), rel=1e-4)}
    assert found.remarks == ()


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_checkpoint_without_its_head_has_no_perplexity_but_may_be_compared(checkpoints, tmp_path, family):
    model = Transformer(path=str(checkpoints[family]))

    found = damage(model, model.at(checkpoints[family]), SMALL, tmp_path)

    assert found.metrics == {}
    assert found.remarks == (
        f"Perplexity is not measured: the checkpoint was saved as {family.capitalize()}Model, without the head that "
        "predicts words.",
    )
    assert found.curves["compression/relative_error"] == [0, 0, 0]


def test_an_encoder_decoder_has_no_perplexity(tmp_path):
    from tests.model.families import checkpoint

    model = Transformer(path=str(checkpoint("t5", tmp_path / "t5")))

    found = damage(model, None, SMALL, tmp_path)

    assert found.metrics == {}
    assert found.remarks == ("Perplexity is not measured: an encoder–decoder predicts its output, not what it reads.",)
    assert found.curves["compression/layer_sparsity"] == [0, 0, 0, 0]


def test_random_weights_and_word_vectors_have_nothing_to_lose(tmp_path):
    from brainexp.model.static_vectors import StaticVectors

    (tmp_path / "vectors.txt").write_text("fox 1 2\n")

    for model in (ladder(weights="random"), StaticVectors(path=str(tmp_path / "vectors.txt"))):
        found = damage(model, None, SMALL, tmp_path)
        assert (found.metrics, found.curves) == ({}, {})
        assert found.remarks[0].startswith("Damage is not measured: ")


def test_what_was_measured_is_kept_under_what_decides_it_and_measured_again_where_broken(tmp_path, monkeypatch, caplog):
    model, usual = ladder("xs"), dataclasses.replace(SMALL, window_tokens=128)
    first = damage(model, None, usual, tmp_path)
    (kept,) = tmp_path.glob("damage/*/*.json")
    read = []
    original = Transformer.network_with_head
    monkeypatch.setattr(Transformer, "network_with_head", lambda one, **told: read.append(one) or original(one, **told))

    assert damage(model, None, usual, tmp_path) == first
    assert not read

    kept.write_text(json.dumps({"metrics": {}})[:-1])
    with caplog.at_level(logging.WARNING):
        assert damage(model, None, usual, tmp_path) == first
    assert len(read) == 1
    assert "is broken" in caplog.text
    assert damage(model, None, usual, tmp_path) == first
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]

    others = [
        dataclasses.replace(usual, **changed)
        for changed in (
            {"stride_tokens": 100}, {"window_tokens": 100}, {"words": 299}, {"text": {**usual.text, "seed": 3}},
        )
    ]  # fmt: skip
    for settings in others:
        assert damage(model, None, settings, tmp_path) != first
    assert len(read) == 5


def test_calibration_on_the_held_out_text_is_refused(tmp_path):
    model = ladder()
    inside = GrammarText(**{key: value for key, value in SMALL.text.items() if key != "name"})
    samples = [
        windows(one.texts([]), model.tokenizer(), 8, 64, 0) for one in (inside, GrammarText(samples=100, tokens=200))
    ]
    everything = dataclasses.replace(SMALL, words=2000)

    with pytest.raises(ConfigError, match=r"calibration sample \d have 50 tokens in a row in common"):
        damage(model, model, everything, tmp_path, calibrated_on=samples[0])
    require_apart(model, held_out_words(everything), samples[1])
    require_apart(model, held_out_words(everything), samples[0][:, :40])  # too short to tell


def test_the_default_text_is_not_that_of_the_default_calibration():
    model = ladder()
    text = GrammarText()
    samples = windows(text.texts([]), model.tokenizer(), text.samples, text.tokens, text.seed)

    require_apart(model, held_out_words(Damage()), samples)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"words": 1, "feature_words": 1}, "words must be at least 2"),
        ({"feature_words": 301}, "feature_words must lie between 4 and words=300, got 301"),
        ({"feature_words": 3}, "feature_words must lie between 4"),
        ({"masked_tokens": 0}, "masked_tokens at least 1"),
        ({"window_tokens": 7}, "window_tokens must be at least 8, got 7"),
        ({"stride_tokens": 0}, "stride_tokens must be at least 1, got 0"),
        ({"window_tokens": 513}, r"window_tokens=513, but the model reads at most 512.*damage.window_tokens=512"),
        ({"window_tokens": 64, "stride_tokens": 64}, r"stride_tokens=64 must be less than a window \(64\)"),
        ({"words": 100_000}, r"the held-out text has 6,009 words, but damage.words=100000. Give damage.words=6009"),
    ],
)
def test_what_cannot_be_is_refused_in_words(tmp_path, changed, words):
    with pytest.raises(ConfigError, match=words):
        damage(ladder("xs"), None, dataclasses.replace(SMALL, **changed), tmp_path)
