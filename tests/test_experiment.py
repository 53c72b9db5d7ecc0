"""The whole way: planted signal is found, shuffled signal is not, and nothing held out is learned from."""

import dataclasses
import re
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest

from brainexp.containers import Clock, Facts, Responses, Space, Stimulus
from brainexp.dataset.passage import Passage
from brainexp.errors import ConfigError, DataError
from brainexp.experiment import Experiment, held_out, run
from brainexp.features import peak_gpu_memory_bytes
from brainexp.settings import Align, Split
from tests.problems import explicit


@pytest.fixture
def experiment(composed, small_run):
    return Experiment.from_config(composed(*small_run))


@dataclass(frozen=True)
class Changed(Passage):
    """The passage with responses changed by a test."""

    change: object = None

    def responses(self, subject):
        return tuple(
            dataclasses.replace(run, values=self.change(run.values, at))
            for at, run in enumerate(super().responses(subject))
        )


def changed(experiment, change, **options):
    dataset = experiment.dataset
    own = {field.name: getattr(dataset, field.name) for field in dataclasses.fields(dataset)}
    return dataclasses.replace(experiment, dataset=Changed(**own, change=change), **options)


def test_planted_signal_is_found_below_its_ceiling_and_nothing_in_the_control_region(experiment):
    scoring = dataclasses.replace(experiment.scoring, permutations=300)
    regions = experiment.dataset.space("p1").rois

    result = run(dataclasses.replace(experiment, scoring=scoring))

    assert 0.2 < result.metrics["alignment/LPTL/r"] < np.sqrt(experiment.dataset.explainable)
    assert abs(result.metrics["alignment/V1/r"]) < 0.05
    n_voxels = len(result.per_voxel["p"]) // 2
    p = {roi: result.per_voxel["p"][[*columns, *(columns + n_voxels)]] for roi, columns in regions.items()}
    assert np.median(p["LPTL"]) < 0.05
    assert np.mean(p["V1"] < 0.05) < 0.1


def test_shifts_find_what_blocks_find(experiment):
    scoring = dataclasses.replace(experiment.scoring, permutations=300, shuffle="circular_shift", block_trs=5)
    regions = experiment.dataset.space("p1").rois

    result = run(dataclasses.replace(experiment, scoring=scoring))

    n_voxels = len(result.per_voxel["p"]) // 2
    p = {roi: result.per_voxel["p"][[*columns, *(columns + n_voxels)]] for roi, columns in regions.items()}
    assert np.median(p["LPTL"]) < 0.05
    assert np.mean(p["V1"] < 0.05) < 0.1


def test_q_under_any_dependence_is_higher(experiment):
    by = dataclasses.replace(experiment.scoring, fdr="by")

    usual, strict = run(experiment), run(dataclasses.replace(experiment, scoring=by))

    np.testing.assert_array_equal(strict.per_voxel["p"], usual.per_voxel["p"])
    assert (strict.per_voxel["q"] >= usual.per_voxel["q"]).all()
    assert (strict.per_voxel["q"] > usual.per_voxel["q"]).any()


def test_shuffled_responses_give_r_within_chance(experiment):
    shuffled = changed(experiment, lambda values, at: np.random.default_rng(at).permutation(values))

    result = run(shuffled)

    n_rows = sum(len(r.values) for r in experiment.dataset.responses("p1")) - 8 * 14
    # A region's voxels share no signal after shuffling, but they share rows, so the region's mean varies like one voxel.
    assert abs(result.metrics["alignment/r"]) < 3 / np.sqrt(n_rows)
    assert result.metrics["alignment/significant_fraction"] < 0.05


def test_responses_made_of_the_features_give_the_planted_r(experiment, monkeypatch):
    """Each voxel is a random projection of layer 1 at TRs plus noise of equal variance: r tends to sqrt(1/2)."""
    from brainexp import experiment as module

    recordings = module.recorded(experiment.dataset)
    features, _ = module.features_of(experiment, experiment.model, recordings.stimuli)
    layer_1 = module.layer_designs(experiment.align, recordings, features)[1]()
    rng = np.random.default_rng(1)
    scaled = explicit(layer_1, np.arange(layer_1.n_rows))
    strongest = np.linalg.svd(scaled, full_matrices=False)[0][:, :4]  # few directions, so that 200 rows can learn them
    n_voxels = recordings.responses["p1"].shape[1]
    signal = strongest @ rng.standard_normal((4, n_voxels))
    planted = signal / signal.std(0) + rng.standard_normal(signal.shape)
    target, _ = module.to_predict(experiment, recordings, folds := module.held_out(experiment, recordings.run_lengths))
    planted_target = dataclasses.replace(target, values=np.hstack([planted, planted]))

    designs = module.layer_designs(experiment.align, recordings, features)
    scored = module.evaluated(experiment.encoder, designs, planted_target, folds, "model", "layers")

    assert np.nanmean(scored.r) == pytest.approx(np.sqrt(0.5), abs=0.06)
    assert np.nanmean(scored.r) < np.sqrt(0.5) + 0.02


def test_a_second_run_gives_the_same_numbers_without_loading_the_model(experiment, monkeypatch):
    first = run(experiment)

    def refuse(self):
        raise AssertionError("the model was loaded although its features are cached")

    monkeypatch.setattr(type(experiment.model), "load", refuse)
    second = run(experiment)

    timed = {name for name in first.metrics if name.startswith(("time/", "memory/"))}
    for name in first.metrics.keys() - timed:
        np.testing.assert_equal(first.metrics[name], second.metrics[name], err_msg=name)
    np.testing.assert_array_equal(first.per_voxel["p"], second.per_voxel["p"])


def test_voxels_with_nan_or_without_variance_are_nan_and_counted(experiment):
    def spoil(values, at):
        spoiled = values.copy()
        if at == 0:
            spoiled[15, 0] = np.nan
        spoiled[:, 1] = 5.0
        return spoiled

    result = run(changed(experiment, spoil))

    spoiled = np.isnan(result.per_voxel["r"])
    assert np.flatnonzero(spoiled[: len(spoiled) // 2]).tolist() == [0, 1]
    assert np.isnan(result.per_voxel["p"][spoiled]).all()
    assert result.metrics["alignment/unscored_voxels"] == 4
    assert result.remarks[0] == f"4 of {len(spoiled)} voxels have NaN or are constant, and are not scored."
    assert np.isfinite(result.metrics["alignment/r"])


def test_a_dataset_without_a_scorable_voxel_is_refused(experiment):
    with pytest.raises(DataError, match="every voxel has NaN or is constant in a held-out block"):
        run(changed(experiment, lambda values, _: np.zeros_like(values)))


def test_nuisance_is_removed_with_training_weights(experiment):
    """A regressor of great variance that swamps the signal: removing it restores the score that was there without."""

    def motion(subject, at, n_trs):
        return np.random.default_rng([at, int(subject[1:])]).standard_normal((n_trs, 2)).cumsum(axis=0)

    @dataclass(frozen=True)
    class Moving(Passage):
        strength: float = 20.0

        def responses(self, subject):
            runs = []
            for at, one in enumerate(super().responses(subject)):
                regressor = motion(subject, at, one.clock.n_trs)
                weights = np.random.default_rng(9).standard_normal((2, one.values.shape[1]))
                moved = one.values + self.strength * regressor @ weights
                runs.append(dataclasses.replace(one, values=moved, nuisance={"motion": regressor}))
            return tuple(runs)

    still, moving = Moving(n_subjects=2, strength=0.0), Moving(n_subjects=2)
    cleaning = dataclasses.replace(experiment.encoder, nuisance=("motion",))

    clean = run(dataclasses.replace(experiment, dataset=still)).metrics["alignment/LPTL/r"]
    swamped = run(dataclasses.replace(experiment, dataset=moving)).metrics["alignment/LPTL/r"]
    cleaned = run(dataclasses.replace(experiment, dataset=moving, encoder=cleaning)).metrics["alignment/LPTL/r"]

    assert swamped < 0.5 * clean
    assert cleaned == pytest.approx(clean, abs=0.05)


def test_own_regressors_and_annotations_are_scored_beside(experiment):
    @dataclass(frozen=True)
    class Beside(Passage):
        def stimuli(self):
            return tuple(
                dataclasses.replace(
                    one, annotations={"speech": speech(one.units), "order": np.arange(len(one.units))[:, None] % 7.0}
                )
                for one in super().stimuli()
            )

        def responses(self, subject):
            return tuple(
                dataclasses.replace(one, nuisance={"answer": one.values[:, :1]}) for one in super().responses(subject)
            )

    def speech(words):
        opened = np.cumsum([word.startswith('"') for word in words])
        closed = np.concatenate([[0], np.cumsum([word.endswith('"') for word in words])[:-1]])
        return (opened > closed).astype(float)[:, None]

    beside = dataclasses.replace(
        experiment, dataset=Beside(n_subjects=2), baselines=("speech", "order", "annotations", "answer")
    )
    metrics = run(beside).metrics

    assert metrics["baseline/speech/LPTL/r"] > 0.6
    assert metrics["baseline/annotations/LPTL/r"] > 0.5
    assert abs(metrics["baseline/order/LPTL/r"]) < 0.2
    assert run(beside).per_voxel["baseline_answer_r"][0] > 0.999


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"baselines": ("word_rat",)},
            r"unknown feature space 'word_rat' in baselines. Did you mean 'word_rate'\? Known: autocorrelation, low_level, position, static",
        ),
        (
            {"split": Split(folds=9)},
            "split.folds=9, but there are only 8 runs. Lower split.folds, or cut runs into blocks with split.by=block",
        ),
        (
            {"split": Split(folds=2)},
            "split.folds=2: at least 3 are needed, to test on one, to choose penalty and layer on another",
        ),
        (
            {"split": Split(by="block", folds=3, gap_trs=2)},
            "split.gap_trs=2, but delays and filter reach 7 TRs, so training rows would see held-out words",
        ),
        (
            {"split": Split(by="block", folds=5)},
            r"cuts the shortest run into blocks of \d+ TRs, but the gap beside each is 7 TRs. Lower split.folds",
        ),
    ],
)
def test_impossible_experiments_are_refused_before_work_starts(experiment, options, words, monkeypatch):
    monkeypatch.setattr(type(experiment.model), "load", lambda _: pytest.fail("work had started"))

    with pytest.raises(ConfigError, match=words):
        run(dataclasses.replace(experiment, **options, cache_dir=experiment.cache_dir / "fresh"))


TWO_PROMPTS = (
    "encoder=banded_ridge",
    "+prompt@also_prompts.question=task",
    "also_prompts.question.before='Who is it about? '",
    "+prompt@also_prompts.noise=task",
    "also_prompts.noise.before='Count the letters: '",
)


@pytest.fixture
def prompted(composed, small_run):
    """Two more prompts as bands, the run's own beside them."""
    others = ("encoder.beside=[question,noise,word_rate]", "partition.spaces=[model,question,noise]")
    return Experiment.from_config(composed(*small_run, *TWO_PROMPTS, *others))


def test_a_band_of_the_prompt_that_matters_gets_the_variance_and_another_does_not(prompted, monkeypatch):
    """What words are to the model depends on the prompt alone; responses follow layer 1 of one of them."""
    from brainexp import experiment as module

    def read(source, prompt, stimuli, cache):
        label = getattr(prompt, "before", "plain")
        features = {
            one.story: np.random.default_rng([len(label), number]).standard_normal((3, len(one.units), 4))
            for number, one in enumerate(stimuli)
        }
        return features, {"arithmetic": ""}

    def planted(values, at):
        signal = np.vstack([np.zeros((2, 4)), layer_1.runs[at][:-2]]) @ weights
        return signal / signal.std() + rng.standard_normal(values.shape)

    monkeypatch.setattr(module, "word_features", read)
    monkeypatch.setattr(module, "of_features", lambda _features: {})  # they lie in no files
    rng = np.random.default_rng(0)
    recordings = module.recorded(prompted.dataset)
    layers = module.prompted_layers(prompted, recordings)
    assert list(layers) == ["question", "noise"]
    layer_1 = layers["question"][1]()
    weights = rng.standard_normal((4, recordings.responses["p1"].shape[1]))

    result = run(changed(prompted, planted))

    found = {name: np.nanmean(values) for name, values in result.per_voxel.items() if "unique" in name or name == "r"}
    assert found["partition_unique_question"] > 0.2
    assert abs(found["partition_unique_noise"]) < 0.05
    assert abs(found["partition_unique_model"]) < 0.05
    assert found["r"] > 0.5
    alone = dataclasses.replace(prompted.encoder, beside=("noise",))
    without = dataclasses.replace(prompted, encoder=alone, also_prompts={"noise": prompted.also_prompts["noise"]})
    partition = dataclasses.replace(prompted.partition, spaces=())
    assert np.nanmean(run(changed(without, planted, partition=partition)).per_voxel["r"]) < 0.1


def test_other_prompts_are_read_by_the_model_at_its_own_layers_and_cached(prompted, monkeypatch):
    from brainexp import experiment as module

    recordings = module.recorded(prompted.dataset)
    plain, _ = module.features_of(prompted, prompted.model, recordings.stimuli)
    own = module.layer_designs(prompted.align, recordings, plain)
    layers = module.prompted_layers(prompted, recordings)

    result = run(prompted)

    monkeypatch.setattr(type(prompted.model), "load", lambda _: pytest.fail("it was read before"))
    assert run(prompted).metrics["alignment/LPTL/r"] == result.metrics["alignment/LPTL/r"]
    assert {len(one) for one in (own, *layers.values())} == {3}
    assert layers["question"][1]().name == "question layer 1"
    # The embedding of a word does not know what stands before it but by its position; a later layer does.
    last = [one[2]().runs[0] for one in (own, layers["question"], layers["noise"])]
    assert not np.allclose(last[0], last[1])
    assert not np.allclose(last[1], last[2])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("encoder.beside=[noise]", "partition.spaces=[]"),
            "also_prompts: 'question' is not used. Name it in encoder.beside",
        ),
        (("encoder.beside=[question,nose]",), "unknown feature space 'nose' in encoder.beside. Did you mean 'noise'"),
        (
            ("+prompt@also_prompts.word_rate=task", "encoder.beside=[question,noise]"),
            "also_prompts: 'word_rate' is a feature space already. Give the prompt another name",
        ),
    ],
)
def test_prompts_that_stand_nowhere_or_for_something_else_are_refused(composed, small_run, overrides, words):
    with pytest.raises(ConfigError, match=words):
        run(Experiment.from_config(composed(*small_run, *TWO_PROMPTS, *overrides)))


def test_all_layers_of_all_prompts_stand_together(prompted):
    from brainexp import experiment as module

    encoder = dataclasses.replace(prompted.encoder, layers="together", beside=("question",), n_shares=2)
    only = {"question": prompted.also_prompts["question"]}
    partition = dataclasses.replace(prompted.partition, spaces=())
    together = dataclasses.replace(prompted, encoder=encoder, also_prompts=only, partition=partition)
    recordings = module.recorded(together.dataset)
    target, _ = module.to_predict(together, recordings, folds := module.held_out(together, recordings.run_lengths))
    features, _ = module.features_of(together, together.model, recordings.stimuli)
    own = module.layer_designs(together.align, recordings, features)
    alike = list(module.prompted_layers(together, recordings).values())

    scored = module.evaluated(encoder, own, target, folds, "model", "layers", alike=alike)

    assert scored.penalty.shape[1] == 6


def test_an_unknown_nuisance_regressor_is_refused(experiment):
    with pytest.raises(ConfigError, match="unknown feature space 'motion' in encoder.nuisance"):
        run(dataclasses.replace(experiment, encoder=dataclasses.replace(experiment.encoder, nuisance=("motion",))))


def test_trimming_everything_is_refused(experiment):
    long = dataclasses.replace(experiment.dataset, trim_stop_s=500.0)

    with pytest.raises(ConfigError, match=r"trimming 15.0 s from the start and 500.0 s from the end leaves nothing"):
        run(dataclasses.replace(experiment, dataset=long))


@pytest.mark.parametrize("delays", [(), (1, 1), (-1, 2)])
def test_delays_must_be_distinct_and_not_negative(delays):
    with pytest.raises(ConfigError, match="align: delays must be distinct and not negative, in TRs, got"):
        Align(delays=delays)


def test_features_that_overflow_are_refused_and_not_cached(experiment, tmp_path, monkeypatch):
    from brainexp.errors import ModelError
    from brainexp.model.transformer import LoadedTransformer

    extract = LoadedTransformer.extract

    def overflowing(self, stimulus, prompt):
        for at, values in extract(self, stimulus, prompt):
            values[-1, 0, 0] = np.inf
            yield at, values

    monkeypatch.setattr(LoadedTransformer, "extract", overflowing)
    fresh = dataclasses.replace(experiment, cache_dir=tmp_path / "fresh")

    with pytest.raises(
        ModelError, match=r"features of story 'crow' have NaN or infinite values. Give model.dtype=float32"
    ):
        run(fresh)
    assert not list((tmp_path / "fresh").rglob("*.npy"))


def test_a_model_that_leaves_out_a_word_is_refused_and_nothing_is_cached(experiment, tmp_path, monkeypatch):
    from brainexp.errors import ModelError
    from brainexp.model.transformer import LoadedTransformer

    extract = LoadedTransformer.extract

    def forgetful(self, stimulus, prompt):
        for at, values in extract(self, stimulus, prompt):
            kept = at != 7
            yield at[kept], values[:, kept]

    monkeypatch.setattr(LoadedTransformer, "extract", forgetful)

    with pytest.raises(ModelError, match=r"no features of 1 words of story 'crow', the first of them word 7 \('"):
        run(dataclasses.replace(experiment, cache_dir=tmp_path / "fresh"))
    assert not list((tmp_path / "fresh").rglob("*.npy"))


def test_features_that_do_not_fit_on_the_disk_are_refused_before_the_model_is_loaded(experiment, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 5000, 5000))
    monkeypatch.setattr(type(experiment.model), "load", lambda _: pytest.fail("work had started"))
    n_words = sum(len(one.units) for one in experiment.dataset.stimuli())

    with pytest.raises(
        ConfigError,
        match=rf"features need {3 * n_words * 32 * 4 / 1000:.1f} kB \(3 layers × {n_words:,} words × 32 × 4 bytes\), "
        r"but .* has 5.0 kB free. Halve them with cache.dtype=float16",
    ):
        run(dataclasses.replace(experiment, cache_dir=tmp_path / "fresh"))


def test_half_precision_on_disk_changes_scores_by_its_rounding_only(composed, small_run, tmp_path):
    small_run = [*small_run, "encoder.alphas=[1000]"]  # a choice of penalties jumps
    full = run(Experiment.from_config(composed(*small_run)))
    half = run(Experiment.from_config(composed(*small_run, "cache.dtype=float16", f"cache.dir={tmp_path}")))

    difference = np.abs(full.per_voxel["r"] - half.per_voxel["r"])
    assert 0 < difference.max() < 2e-3
    assert {np.load(file).dtype for file in tmp_path.rglob("*.npy")} == {np.dtype(np.float16)}


def test_an_unknown_precision_is_refused(composed, small_run):
    with pytest.raises(ConfigError, match="cache: dtype: Input should be 'float32' or 'float16', got 'bfloat16'"):
        Experiment.from_config(composed(*small_run, "cache.dtype=bfloat16"))


def test_the_log_tells_how_far_reading_is_and_how_long_it_will_take(experiment, tmp_path, caplog):
    from brainexp import experiment as module

    stimuli = experiment.dataset.stimuli()
    n_words = sum(len(one.units) for one in stimuli)

    with caplog.at_level("INFO"):
        module.features_of(dataclasses.replace(experiment, cache_dir=tmp_path), experiment.model, stimuli)

    cost, *stories = [record.message for record in caplog.records if record.name == "brainexp.features"]
    assert f"(3 layers × {n_words:,} words × 32 × 4 bytes)" in cost
    assert len(stories) == len(stimuli)
    assert re.match(
        rf"story 'crow': {len(stimuli[0].units)} of {n_words:,} words, .* per second, about 0:00:\d\d left", stories[0]
    )
    assert stories[-1].endswith("about 0:00:00 left")


def test_what_reading_took_is_known_of_all_stories_together(experiment, tmp_path):
    from brainexp import experiment as module

    fresh = dataclasses.replace(experiment, cache_dir=tmp_path)
    stimuli = fresh.dataset.stimuli()

    _, facts = module.features_of(fresh, fresh.model, stimuli)

    assert facts["features/words"] == sum(len(one.units) for one in stimuli)
    assert 0 < facts["features/seconds"] < 600
    assert 1e7 < facts["features/peak_memory_bytes"] <= module.peak_memory_bytes()
    assert facts["features/peak_gpu_memory_bytes"] == peak_gpu_memory_bytes()
    assert facts["compression/parameters"] > 1000
    assert facts["compression/bits_per_weight"] == pytest.approx(32)
    assert facts["features/tokens"] > 10 * facts["features/words"]  # each word anew in its context of twenty
    assert facts["features/tokens_per_second"] == facts["features/tokens"] / facts["features/seconds"]


def test_damage_is_measured_where_the_config_says_so(experiment):
    from brainexp import experiment as module
    from brainexp.model.transformer import Transformer

    knowing = dataclasses.replace(experiment, model=Transformer(path="package:brainexp/model/tiny/xs"))
    silent = dataclasses.replace(knowing, damage=dataclasses.replace(knowing.damage, measure=False))

    assert 2 < module.damage_of(knowing, ()).metrics["compression/perplexity"] < 30
    assert module.damage_of(silent, ()) == module.Measured()
    unknown = dataclasses.replace(knowing.damage, text={"name": "gramar"})
    with pytest.raises(ConfigError, match="unknown calibration 'gramar'. Did you mean 'grammar'"):
        module.require_possible(dataclasses.replace(knowing, damage=unknown))


READING = """
import sys
from pathlib import Path
from brainexp.dataset.passage import Passage
from brainexp.experiment import Experiment, features_of
from brainexp.compression.none import NoCompression
from brainexp.encoder.ridge import Ridge
from brainexp.model.transformer import LoadedTransformer, Transformer
from brainexp.prompt.plain import Plain

path, cache_dir, log, story_to_hang_in = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
extract = LoadedTransformer.extract

def told(self, stimulus, prompt):
    with log.open("a") as file:
        file.write(stimulus.story + "\\n")
    if stimulus.story == story_to_hang_in:
        import time
        time.sleep(60)
    yield from extract(self, stimulus, prompt)

LoadedTransformer.extract = told
model, dataset = Transformer(path=path, device="cpu"), Passage()
experiment = Experiment(dataset, model, NoCompression(), Plain(), Ridge(), cache_dir=cache_dir)
features, facts = features_of(experiment, model, dataset.stimuli())
print(len(features), facts["features/words"])
"""


def test_stories_that_were_read_before_a_kill_are_not_read_again(checkpoints, experiment, tmp_path):
    stimuli = experiment.dataset.stimuli()
    names = [one.story for one in stimuli]
    log = tmp_path / "log"
    log.touch()

    def reading(hang_in):
        words = [sys.executable, "-c", READING, str(checkpoints["gpt2"]), str(tmp_path / "cache"), str(log), hang_in]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first = reading(names[3])
    while names[3] not in log.read_text():
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    first.kill()
    first.communicate()
    assert log.read_text().split() == names[:4]

    log.write_text("")
    second = reading("none")
    out, err = second.communicate()

    assert second.returncode == 0, err
    assert log.read_text().split() == names[3:]
    n_words = sum(len(one.units) for one in stimuli)
    assert out.split() == [str(len(names)), str(float(n_words))]
    assert not list((tmp_path / "cache").rglob(".unfinished-*"))


def test_a_text_is_read_once_whatever_it_is_called_and_whenever_it_was_heard(experiment, tmp_path, monkeypatch):
    from brainexp import experiment as module

    fresh = dataclasses.replace(experiment, cache_dir=tmp_path)
    first, second, *_ = fresh.dataset.stimuli()
    again = dataclasses.replace(first, story="the same", onset_s=first.onset_s + 9, offset_s=first.offset_s + 9)
    changed = dataclasses.replace(first, story="nearly", units=(*first.units[:-1], "other"))
    read = []
    extract = type(fresh.model.load()).extract
    monkeypatch.setattr(
        type(fresh.model.load()),
        "extract",
        lambda self, one, prompt: read.append(one.story) or extract(self, one, prompt),
    )

    found, _ = module.features_of(fresh, fresh.model, (first, again, second))
    module.features_of(fresh, fresh.model, (again, changed))

    assert read == [first.story, second.story, "nearly"]
    np.testing.assert_array_equal(found["the same"], found[first.story])


def test_subjects_on_different_clocks_are_refused(experiment):
    @dataclass(frozen=True)
    class Late(Passage):
        def responses(self, subject):
            late_s = 1.0 if subject == "p2" else 0.0
            return tuple(
                dataclasses.replace(one, clock=dataclasses.replace(one.clock, start_s=late_s))
                for one in super().responses(subject)
            )

    with pytest.raises(
        DataError, match="subjects 'p1' and 'p2' were recorded on different clocks.*dataset.subjects=p2"
    ):
        run(dataclasses.replace(experiment, dataset=Late(n_subjects=2)))


def test_a_surface_dataset_goes_the_same_way(experiment):
    """Fifty vertices stand for a mesh: experiment and scores know nothing of where columns lie."""

    @dataclass(frozen=True)
    class Vertices:
        trim_start_s: float = 0.0
        trim_stop_s: float = 0.0

        def facts(self):
            return Facts(("v1",), ("s",), {"s": 50}, {"v1": 50}, 2.0, licence="", doi="", citation="", language="en")

        def chosen_subjects(self):
            return ("v1",)

        def stimuli(self):
            onset_s = np.arange(200) * 0.5
            return (
                Stimulus(
                    story="s",
                    units=("tea", "crow", "drank", "a", "cold", "fox", "went") * 28 + ("tea",) * 4,
                    onset_s=onset_s,
                    offset_s=onset_s + 0.4,
                ),
            )

        def responses(self, subject):
            values = np.random.default_rng(0).standard_normal((50, 50))
            return (Responses(subject=subject, story="s", values=values, clock=Clock(0.0, 2.0, 50)),)

        def ceiling(self, subject):
            return np.full(50, np.nan)

        def space(self, subject):
            return Space(kind="surface", n_voxels=50, rois={"left": np.arange(25)}, mesh="fifty")

    result = run(dataclasses.replace(experiment, dataset=Vertices(), split=Split(folds=3)))

    assert list(dict.fromkeys(result.scores.roi)) == ["left", "all"]
    assert np.isnan(result.metrics["alignment/r_norm"])
    assert abs(result.metrics["alignment/r"]) < 0.2


@dataclass(frozen=True)
class Declared(Changed):
    """The passage with two test stories, the second and the last."""

    def facts(self):
        facts = super().facts()
        return dataclasses.replace(facts, test_stories=(facts.stories[1], facts.stories[-1]))


def as_recorded(values, at):
    return values


def declared(experiment, change=as_recorded, **options):
    own = {field.name: getattr(experiment.dataset, field.name) for field in dataclasses.fields(experiment.dataset)}
    return dataclasses.replace(experiment, dataset=Declared(**own, change=change), **options)


@pytest.mark.parametrize(("by", "n_folds"), [("auto", 1), ("declared", 1), ("run", 3)])
def test_declared_test_stories_are_taken_unless_another_split_is_asked_for(experiment, by, n_folds):
    split = dataclasses.replace(experiment.split, by=by)

    folds = held_out(declared(experiment, split=split), [10] * 8)

    assert len(folds) == n_folds
    if n_folds == 1:
        assert folds[0].test.tolist() == [*range(10, 20), *range(70, 80)]


def test_a_split_by_test_stories_of_a_dataset_without_is_refused(experiment):
    split = dataclasses.replace(experiment.split, by="declared")

    with pytest.raises(
        ConfigError, match="split.by=declared, but dataset 'passage' declares no test stories among those"
    ):
        held_out(dataclasses.replace(experiment, split=split), [10] * 8)


def test_test_stories_are_predicted_and_nothing_is_learned_from_them(experiment):
    """What is planted is found in them; other responses to them change no layer, penalty or validation score."""

    def noise_in_test_stories(values, at):
        return np.random.default_rng(at).standard_normal(values.shape) if at in {1, 7} else values

    scoring = dataclasses.replace(experiment.scoring, permutations=400)
    one, other = (run(declared(experiment, change, scoring=scoring)) for change in (as_recorded, noise_in_test_stories))

    assert one.metrics["alignment/LPTL/r"] > 0.2
    assert abs(other.metrics["alignment/LPTL/r"]) < 0.15
    for name in ("layer", "penalty"):
        np.testing.assert_array_equal(one.per_voxel[name], other.per_voxel[name])
    np.testing.assert_allclose(one.curves["layer/validation_r"], other.curves["layer/validation_r"], atol=1e-6)
    assert one.per_voxel["layer"].shape[1] == 1
    assert np.mean(one.per_voxel["p"] < 0.05) > 0.3
    # voxels of noise, one test fold: p is neither too small nor, as with a null for folds predicted from each other, too large
    assert 0.025 < np.mean(other.per_voxel["p"] < 0.05) < 0.085
