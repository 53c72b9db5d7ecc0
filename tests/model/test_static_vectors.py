import dataclasses

import numpy as np
import pytest

from brainexp.cache import digest
from brainexp.compression.none import NoCompression
from brainexp.containers import Stimulus
from brainexp.errors import ConfigError, DataError, ModelError
from brainexp.experiment import Experiment, require_possible, run
from brainexp.model.static_vectors import StaticVectors
from brainexp.prompt.chat import Chat
from brainexp.prompt.plain import Plain
from brainexp.prompt.task import Task


def told(*words):
    onset_s = np.arange(float(len(words)))
    return Stimulus(story="tea", units=words, onset_s=onset_s, offset_s=onset_s + 0.5)


def features(model, stimulus):
    loaded = model.load()
    (at, values), *rest = loaded.extract(stimulus, Plain())
    assert not rest
    np.testing.assert_array_equal(at, np.arange(len(stimulus.units)))
    assert values.shape == (loaded.n_layers, len(stimulus.units), loaded.n_dims)
    assert values.dtype == np.float32
    return values[0]


@pytest.fixture
def file(tmp_path):
    """The vector of a word is the place of its line and twice that."""
    lines = ["The", "the", "tea", "TEA", "didn't", "o'clock", ",", "20", "naïve", "crow"]
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{word} {at} {2 * at}\n" for at, word in enumerate(lines, start=1)), encoding="utf-8")
    return path


def test_words_are_looked_up_as_written_then_bare_then_in_lower_case(file):
    found = features(
        StaticVectors(path=str(file)),
        told("The", "the", "THE", "tea,", "TEA", "“Tea!”", "didn’t", "o'clock.", ",", "20", "Naïve", "Crow"),
    )

    np.testing.assert_array_equal(found[:, 0], [1, 2, 2, 3, 4, 3, 5, 6, 7, 8, 9, 10])
    np.testing.assert_array_equal(found[:, 1], 2 * found[:, 0])


def test_without_lower_case_words_are_taken_as_written(file):
    loaded = StaticVectors(path=str(file), lower_case=False).load()
    story = told("Tea", "tea,", "The")

    assert loaded.facts(story) == {"unknown_words": 1.0}
    np.testing.assert_array_equal(features(loaded.model, story)[:, 0], [0, 3, 1])


def test_unknown_words_are_zero_and_counted_every_time_they_come(file):
    model = StaticVectors(path=str(file))
    story = told("tea", "zebra", "crow", "zebra", "…")

    np.testing.assert_array_equal(features(model, story)[:, 0], [3, 0, 10, 0, 0])
    assert model.load().facts(story) == {"unknown_words": 3.0}


def test_unknown_words_can_be_refused_with_their_names(file):
    with pytest.raises(
        DataError, match=r"no vector of 2 of 3 words: 'zebra', '…'. Correct the transcript, or give model.unk"
    ):
        features(StaticVectors(path=str(file), unknown="error"), told("tea", "zebra", "…"))


def test_a_story_in_another_language_is_refused(file):
    with pytest.raises(DataError, match="no vector of any of its 2 words"):
        features(StaticVectors(path=str(file)), told("der", "Rabe"))


def test_a_word_has_the_same_vector_wherever_it_stands(file, story):
    found = features(StaticVectors(path=str(file)), told("tea", "crow", "tea"))

    np.testing.assert_array_equal(found[0], found[2])


def test_the_file_is_gone_through_once_per_story(file, monkeypatch):
    from brainexp.model import static_vectors

    passes = []
    vectors = static_vectors.vectors
    monkeypatch.setattr(static_vectors, "vectors", lambda *given: passes.append(1) or vectors(*given))
    loaded = StaticVectors(path=str(file)).load()

    for story in (told("tea", "crow"), told("the")):
        list(loaded.extract(story, Plain()))
        loaded.facts(story)

    assert len(passes) == 2


def test_the_untrained_twin_has_a_vector_per_word_type_by_seed_and_the_same_gaps(file):
    twin = StaticVectors(path=str(file), weights="random", seed=1)
    story = told("tea", "Tea,", "zebra", "crow")

    one, same, other = (features(model, story) for model in (twin, twin, dataclasses.replace(twin, seed=2)))

    np.testing.assert_array_equal(one, same)
    np.testing.assert_array_equal(one[0], one[1])  # one type, found as "tea"
    np.testing.assert_array_equal(one[2], 0)
    np.testing.assert_array_equal(features(twin, told("crow", "tea"))[::-1], one[[0, 3]])  # wherever they stand
    for different in (one[3], other[0], features(StaticVectors(path=str(file)), story)[0]):
        assert np.abs(one[0] - different).max() > 1e-3


def test_random_vectors_are_normal(tmp_path):
    path = tmp_path / "wide.txt"
    path.write_text("".join(f"w{at} {'0 ' * 400}\n" for at in range(50)))

    found = features(StaticVectors(path=str(path), weights="random"), told(*[f"w{at}" for at in range(50)]))

    assert abs(found.mean()) < 0.03
    assert found.std() == pytest.approx(1, abs=0.02)
    assert np.abs(np.corrcoef(found) - np.eye(50)).max() < 0.25


def test_identity_follows_the_content_and_not_the_place(file, tmp_path):
    model = StaticVectors(path=str(file))
    moved = tmp_path / "moved"
    moved.write_bytes(file.read_bytes())
    changed = tmp_path / "changed"
    changed.write_bytes(file.read_bytes().replace(b"crow 10 20", b"crow 10 21"))
    twin = dataclasses.replace(model, weights="random")

    assert StaticVectors(path=str(moved)).identity() == model.identity()
    assert StaticVectors(path=str(changed)).identity() != model.identity()
    assert dataclasses.replace(model, seed=9).identity() == model.identity()
    assert len({digest(one.identity()) for one in (model, twin, dataclasses.replace(twin, seed=9))}) == 3


def test_shape_is_known_before_loading(file):
    assert StaticVectors(path=str(file)).shape() == (1, 2)


def test_a_file_that_is_not_there_is_refused_before_work_starts(tmp_path):
    with pytest.raises(ModelError, match="there is no such file"):
        StaticVectors(path=str(tmp_path / "nothing.txt")).require_ready()


def test_there_is_nothing_to_compress(file):
    from brainexp.registry import COMPRESSIONS

    @COMPRESSIONS.register("half")
    @dataclasses.dataclass(frozen=True)
    class Half(NoCompression):
        pass

    try:
        objection = StaticVectors(path=str(file)).objection(Half(), Plain())
    finally:
        del COMPRESSIONS._members["half"]

    assert objection.startswith("compression 'half' works on the weights of a network, but model 'static_vectors' is a")
    assert objection.endswith("with nothing to compress. Give compression=none, or another model.")
    assert StaticVectors(path=str(file)).objection(NoCompression(), Plain()) is None


@pytest.mark.parametrize("prompt", [Task(), Chat()])
def test_there_is_nobody_to_ask(file, composed, small_run, prompt):
    model = StaticVectors(path=str(file))
    experiment = dataclasses.replace(Experiment.from_config(composed(*small_run)), model=model, prompt=prompt)

    with pytest.raises(
        ConfigError, match="puts text around the words, but model 'static_vectors' looks up each word alone"
    ):
        require_possible(experiment)


def test_the_whole_way_with_one_layer(composed, small_run, tmp_path, rng):
    """Voxels that answer to vectors of the words and to noise alike: found from them, not from the twin's."""
    from brainexp import experiment as module
    from tests.test_experiment import changed

    others = [word for word in small_run if not word.startswith("model")]
    file = tmp_path / "vectors.txt"
    stimuli = Experiment.from_config(composed(*small_run)).dataset.stimuli()
    vocabulary = sorted({unit.lower() for one in stimuli for unit in one.units} - {"fox"})
    file.write_text("".join(f"{word} {' '.join(map(str, rng.standard_normal(4)))}\n" for word in vocabulary))
    config = composed(*others, "model=static_vectors", f"model.path={file}", "baselines=[untrained]")
    config["encoder"]["alphas"] = [1, 100]
    experiment = Experiment.from_config(config)
    recordings = module.recorded(experiment.dataset)
    layers, facts = module.features_of(experiment, experiment.model, recordings.stimuli)
    (design,) = module.layer_designs(experiment.align, recordings, layers)
    rows = np.split(design().matrix(), np.cumsum(recordings.run_lengths)[:-1])
    weights = rng.standard_normal((design().n_features, 20))

    def planted(values, at):
        new, kept = np.zeros((len(values), 20)), recordings.rows[at]
        signal = (rows[at] @ weights) / np.std(design().matrix() @ weights, axis=0)
        new[kept] = signal + rng.standard_normal(signal.shape)
        return np.hstack([new, values])[:, : values.shape[1]]

    result = run(changed(experiment, planted))

    assert facts["features/unknown_words"] == sum(
        unit.lower().strip(',.?!;:"') == "fox" for one in stimuli for unit in one.units
    )
    assert result.metrics["layer/chosen"] == 0
    found = result.per_voxel["r"][:20].mean()
    assert 0.5 < found < np.sqrt(0.5) + 0.02
    assert result.per_voxel["baseline_untrained_r"][:20].mean() < 0.6 * found
    assert not any(name.startswith("compression/") for name in result.metrics)
