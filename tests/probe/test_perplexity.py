import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from brainexp.containers import Stimulus
from brainexp.damage import damage
from brainexp.errors import ConfigError, ModelError
from brainexp.experiment import Experiment, probes_of, run
from brainexp.grammar import text
from brainexp.interfaces import ProbeInput
from brainexp.model.transformer import Transformer
from brainexp.probe.perplexity import Perplexity
from brainexp.settings import Damage
from tests.model.families import checkpoint

TINY = Transformer(path="package:brainexp/model/tiny/s")
SHORT = Perplexity(words=300, window_tokens=64, stride_tokens=16)


def stimulus(words):
    onset_s = np.arange(len(words), dtype=float)
    return Stimulus("tea", tuple(words), onset_s, onset_s + 0.5)


@pytest.fixture(scope="module")
def story():
    return stimulus(text(1_000_000_555, 150).split())


def given(model, stories, kept=None, encode_words=None):
    return ProbeInput(
        tuple(stories),
        {},
        None,
        None,
        (0,),
        None,
        lambda: model,
        kept or (lambda _, compute: compute()),
        encode_words,
    )


def test_held_out_perplexity_is_that_of_the_damage_stage(tmp_path):
    found = Perplexity(words=300, stories=False).measure(given(TINY.language_model(), ()))

    expected = damage(TINY, None, Damage(words=300, feature_words=60), tmp_path).metrics
    for name, value in found.metrics.items():
        assert value == pytest.approx(expected[f"compression/{name}"], rel=1e-6)
    assert found.tables == {}


def test_surprisal_of_words_is_that_of_a_loop_over_transformers(story):
    table = SHORT.measure(given(TINY.language_model(), [story])).tables["surprisal"]

    network, tokenizer = TINY.network_with_head(), TINY.tokenizer()
    joined = " ".join(story.units)
    told = tokenizer(joined, return_offsets_mapping=True, add_special_tokens=False)
    ids, begins = told["input_ids"], [0]
    special = tokenizer("")["input_ids"]
    while begins[-1] + 64 - len(special) < len(ids):
        begins.append(begins[-1] + 16)
    expected = np.zeros(len(story.units))
    for at, token in enumerate(ids):
        # The first window that reaches the token is the one in which it has least before it that others have not.
        begin = next(begin for begin in begins if at < begin + 64 - len(special))
        before = ids[begin:at]
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        before = [*special, *before] if before else [start]
        with torch.no_grad():
            log_p = network(torch.tensor([before])).logits[0, -1].log_softmax(-1)[token].item()
        word = joined[: told["offset_mapping"][at][1]].count(" ")
        expected[word] -= log_p / math.log(2)
    np.testing.assert_allclose(table.surprisal, expected, rtol=1e-4)
    assert table.word.tolist() == list(story.units)
    assert table.onset_s.tolist() == story.onset_s.tolist()


def test_a_word_out_of_place_surprises(story):
    strange = list(story.units)
    strange[80] = "crow"
    strange[81] = "crow"

    as_told, changed = (
        SHORT.measure(given(TINY.language_model(), [one])).tables["surprisal"].surprisal
        for one in (story, stimulus(strange))
    )

    assert changed[81] > as_told[81] + 2
    np.testing.assert_allclose(changed[:80], as_told[:80])


def test_surprisal_of_a_masked_model_knows_later_words(tmp_path):
    model = Transformer(path=str(checkpoint("bert", tmp_path, "MaskedLM"))).language_model()
    words = "the crow drank tea and the fox did not drink any of it".split()

    found = Perplexity(words=30, window_tokens=16, masked_tokens=9).measure(given(model, [stimulus(words)]))

    assert found.metrics.keys() == {"pseudo_perplexity", "surprisal"}
    surprisal = found.tables["surprisal"].surprisal
    assert np.isfinite(surprisal).all()
    changed = Perplexity(words=30, window_tokens=16).measure(given(model, [stimulus([*words[:-1], "home"])]))
    assert not np.allclose(changed.tables["surprisal"].surprisal[:-1], surprisal[:-1])


def test_planted_surprisal_is_found_beyond_onsets_and_shuffled_surprisal_is_not(story):
    """An encoder of one least-squares fit on even words, tested on odd ones."""
    rng = np.random.default_rng(0)
    surprisal = SHORT.measure(given(TINY.language_model(), [story])).tables["surprisal"].surprisal.to_numpy()
    observed = surprisal + rng.normal(0, surprisal.std(), len(surprisal))

    def encoder(response):
        def encode_words(name, values):
            features = np.hstack([values["tea"], np.ones((len(response), 1))])
            weights, *_ = np.linalg.lstsq(features[::2], response[::2], rcond=None)
            guess = features[1::2] @ weights
            r = np.corrcoef(guess, response[1::2])[0, 1] if np.ptp(guess) > 1e-9 else 0.0
            rows = [("s1", "IFG", r), ("s1", "all", r)]
            return pd.DataFrame(rows, columns=["subject", "roi", "r"])

        return encode_words

    planted, shuffled = (
        SHORT.measure(given(TINY.language_model(), [story], encode_words=encoder(response)))
        for response in (observed, rng.permutation(observed))
    )

    assert planted.metrics["surprisal_r"] > 0.4
    assert planted.metrics["surprisal_IFG_gain"] > 0.4
    assert abs(shuffled.metrics["surprisal_gain"]) < 0.3
    assert set(planted.tables["encoding"]) == {"subject", "roi", "r", "r_onsets", "r_both", "gain"}


def test_what_is_kept_depends_on_words_and_windows(story):
    keys = []

    def kept(key, compute):
        keys.append(key)
        return compute()

    model = TINY.language_model()
    for probe in (SHORT, SHORT, Perplexity(words=300, window_tokens=64), Perplexity(words=200, window_tokens=64)):
        probe.measure(given(model, [story], kept))

    texts, stories = keys[::2], keys[1::2]
    assert texts[0] == texts[1]
    assert stories[0] == stories[1]
    assert all(one != other for one, other in pairwise(texts[1:]))
    assert stories[2] == stories[3] != stories[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": 1}, "words must be at least 2 and masked_tokens at least 1, got 1 and 200"),
        ({"window_tokens": 4}, "window_tokens must be at least 8 or null, got 4"),
        ({"stride_tokens": 0}, "stride_tokens must be at least 1 or null, got 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Perplexity(**options)


def test_a_text_that_is_not_there_or_too_short_is_refused_before_work(tmp_path):
    with pytest.raises(
        ConfigError, match=r"probe 'perplexity', held-out text: there is no file .*none\.txt\. Correct path"
    ):
        Perplexity(text=str(tmp_path / "none.txt")).require_ready()
    with pytest.raises(ConfigError, match="probe 'perplexity': text must name a file, or be null"):
        Perplexity(text="")
    (tmp_path / "short.txt").write_text("too short a text")
    with pytest.raises(ConfigError, match=r"has 4 words, but words=2000. Give probe.perplexity.words=4"):
        Perplexity(text=str(tmp_path / "short.txt")).require_ready()
    with pytest.raises(ConfigError, match=r"probe.perplexity.stride_tokens=99 must be less than a window \(64\)"):
        Perplexity(words=30, window_tokens=64, stride_tokens=99).measure(given(TINY.language_model(), ()))


def test_an_encoder_decoder_is_refused(tmp_path):
    model = Transformer(path=str(checkpoint("t5", tmp_path, "Seq2SeqLM"))).language_model()

    with pytest.raises(ModelError, match="has no head that tells how likely a text is"):
        SHORT.measure(given(model, ()))


def test_a_run_tells_surprisal_per_region_scored_as_a_baseline_is(composed, small_run, monkeypatch):
    import brainexp.experiment as module

    inputs = []

    def listening(*given):
        inputs.append(given)
        return probes_of(*given)

    monkeypatch.setattr(module, "probes_of", listening)
    config = composed(
        *[word for word in small_run if not word.startswith("model")],
        "model=tiny_xs",
        "baselines=[word_length]",
        "probe=[perplexity]",
        "probe.perplexity.words=50",
        "partition.spaces=[]",
        "damage.measure=false",
    )

    result = run(Experiment.from_config(config))

    metrics = result.metrics
    assert {"probe/perplexity/perplexity", "probe/perplexity/surprisal", "probe/perplexity/surprisal_r"} <= set(metrics)
    for roi in next(iter(result.voxels.spaces.values())).rois:
        assert {f"probe/perplexity/surprisal_{roi}_r", f"probe/perplexity/surprisal_{roi}_gain"} <= set(metrics)
    assert set(result.tables) >= {"probe_perplexity_surprisal", "probe_perplexity_encoding"}
    # A baseline through the same door gives the baseline's number.
    _, recordings, _, encode_words, _ = inputs[0]
    from brainexp.align.lexical import word_length

    found = encode_words("length", {one.story: word_length(one.units) for one in recordings.stimuli})
    mean = found[found.roi == "all"].r.mean()
    assert mean == pytest.approx(metrics["baseline/word_length/r"], abs=1e-6)
