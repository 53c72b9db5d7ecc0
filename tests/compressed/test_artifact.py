"""A checkpoint is made once, its key tells all variants apart, and a kill leaves no half of one."""

import dataclasses
import itertools
import json
import logging
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from brainexp.cache import ArrayCache, disk_free
from brainexp.compressed import CompressedModel, base_bytes, calibration_digest, uncompressed
from brainexp.compressed.artifact import FOLDER, LIBRARIES, artifact_key
from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.none import NoCompression
from brainexp.compression.rtn import RoundToNearest
from brainexp.errors import ConfigError
from brainexp.features import word_features
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain
from brainexp.registry import CALIBRATIONS
from tests.compressed.members import Dropping, LowRank, Pruning, Rounding

NOTHING = np.empty((0, 0), np.intp)


@pytest.fixture
def model(checkpoints):
    return Transformer(path=str(checkpoints["llama"]), dtype="bfloat16", device="cpu")


@pytest.fixture
def source(model, members, tmp_path):
    return CompressedModel(model, Pruning(), (), tmp_path)


def entry(source):
    (found,) = (source.cache_dir / FOLDER).rglob("entry.json")
    return found


def refused(self, given):
    raise AssertionError("it was compressed again")


def test_it_is_made_once_and_found_by_the_next_run(source, monkeypatch):
    first = source.load()
    monkeypatch.setattr(Pruning, "compress", refused)

    again = CompressedModel(source.model, Pruning(), (), source.cache_dir)

    assert again.facts() == source.facts()
    for one, other in zip(first.network.parameters(), again.load().network.parameters(), strict=True):
        assert (one == other).all()
    weight = again.load().network.layers[0].self_attn.q_proj.weight
    assert int((weight == 0).sum()) == weight.numel() // 2


def test_the_entry_says_what_made_it(source):
    facts = source.facts()
    told = json.loads(entry(source).read_text())

    assert told["key"]["model"]["identity"] == source.model.identity()
    assert told["key"]["compression"] == {
        "name": "test_pruning", "sparsity": 0.5, "two_of_four": False, "keep": [], "told": 0.0,
    }  # fmt: skip
    assert told["key"]["libraries"].keys() == set(LIBRARIES)
    assert told["about"]["model"]["path"] == source.model.path
    assert {f"compression/{name}": value for name, value in {**told["facts"], "blocks_dropped": 0}.items()} == facts
    assert facts["compression/disk_bytes"] == sum(
        file.stat().st_size for file in entry(source).parent.glob("*.safetensors")
    )
    assert 0 < facts["compression/seconds"] < 60
    assert facts["compression/peak_memory_bytes"] > 1e7


@pytest.mark.parametrize("damage", ["weights", "config", "gone", "added"])
def test_a_broken_one_is_removed_with_a_warning_and_made_again(source, caplog, damage):
    source.load()
    folder = entry(source).parent
    if damage == "weights":
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (folder / "model.safetensors").write_bytes(content)
    elif damage == "config":
        (folder / "config.json").write_text("{}")
    elif damage == "gone":
        (folder / "tokenizer.json").unlink()
    else:
        (folder / "adapter.json").write_text("{}")

    again = CompressedModel(source.model, Pruning(), (), source.cache_dir)

    assert again.facts()["compression/reload_error"] == 0
    assert "is broken" in caplog.text
    assert "it is made again" in caplog.text


def test_without_a_compression_nothing_is_made_and_keys_are_what_they_were(model, tmp_path):
    source = CompressedModel(model, NoCompression(), (), tmp_path)

    assert source.key["compression"] == {"name": "none"}
    assert source.facts() == {}
    assert source.shape() == model.shape()
    assert source.load().n_layers == 3
    assert list(tmp_path.iterdir()) == []


def variants(rng):
    """Random options of the tests' members, and calibrations among them."""
    text = GrammarText(samples=int(rng.integers(1, 4)), tokens=8, seed=int(rng.integers(3)))
    yield Rounding(bits=int(rng.integers(2, 9)), group_size=int(rng.choice([8, 16, 32])))
    yield Rounding(bits=int(rng.integers(2, 9)), calibration=text)
    yield Pruning(sparsity=float(rng.choice([0.1, 0.25, 0.5, 0.1 + 1e-9])), two_of_four=bool(rng.integers(2)))
    yield Pruning(keep=tuple(str(name) for name in rng.permutation(["a", "b", "a,b"])[: rng.integers(4)]))
    yield LowRank(rank=int(rng.integers(1, 9)), told=int(rng.integers(1, 9)))
    yield Dropping(drop=int(rng.integers(1, 4)))


def test_two_variants_never_share_a_key(model, members, rng, monkeypatch):
    monkeypatch.setattr(Transformer, "identity", lambda _: "weights")
    models = [model, dataclasses.replace(model, dtype="float32")]
    given = uncompressed(model, NoCompression(), ())
    known = {}
    for _ in range(20):
        for method in variants(rng):
            text = getattr(method, "calibration", None)
            samples = NOTHING if text is None else np.arange(text.samples * 8).reshape(-1, 8) + 100 * text.seed
            one = models[int(rng.integers(2))]
            name = json.dumps(artifact_key(one, method, samples), sort_keys=True)
            source = CompressedModel(one, method, (), model.path)
            source.__dict__["given"] = dataclasses.replace(given, samples=samples)
            for made in (name, json.dumps(source.key, sort_keys=True)):
                assert known.setdefault(made, (method, one.dtype)) == (method, one.dtype)
    assert len({*known.values()}) > 40
    assert len(known) == 2 * len({*known.values()})


def test_the_key_holds_weights_precision_libraries_and_the_tokens_of_the_calibration(model, members, monkeypatch):
    from brainexp.compressed import artifact

    def keys():
        tokens = np.arange(16).reshape(2, 8)
        yield artifact_key(model, Pruning(), NOTHING)
        yield artifact_key(dataclasses.replace(model, dtype="float32"), Pruning(), NOTHING)
        yield artifact_key(dataclasses.replace(model, path=model.path.replace("llama", "qwen2")), Pruning(), NOTHING)
        yield artifact_key(model, Pruning(), tokens)
        yield artifact_key(model, Pruning(), tokens + 1)
        yield artifact_key(model, Pruning(), tokens.reshape(4, 4))
        monkeypatch.setattr(artifact, "version", lambda package: "99" if package == "torch" else "1")
        yield artifact_key(model, Pruning(), NOTHING)
        monkeypatch.setattr(artifact, "ARTIFACT_VERSION", 99)
        yield artifact_key(model, Pruning(), NOTHING)

    found = list(keys())

    assert all(one != other for one, other in itertools.combinations(found, 2))
    assert (
        artifact_key(dataclasses.replace(model, context_words=3, tokens_per_batch=9), Pruning(), NOTHING) == found[-1]
    )


def test_the_digest_of_a_calibration_is_that_of_the_tokens_drawn(model, members):
    text = GrammarText(samples=3, tokens=16)
    given = uncompressed(model, Rounding(calibration=text), ())

    assert given.samples.shape == (3, 16)
    assert calibration_digest(given.samples) == calibration_digest(
        uncompressed(model, Rounding(calibration=text), ()).samples
    )
    assert calibration_digest(NOTHING) is None


@dataclasses.dataclass(frozen=True)
class StudyText:
    """Reads the study's stories."""

    samples: int = 2
    tokens: int = 4
    seed: int = 0

    def stories(self):
        return ("tea",)

    def texts(self, stimuli):
        return tuple(" ".join(one.units) for one in stimuli)


def test_other_words_in_the_studys_story_are_another_key(model, members, story, tmp_path, monkeypatch):
    monkeypatch.setitem(CALIBRATIONS._members, "test_study", StudyText)
    changed = dataclasses.replace(story, units=("A", *story.units[1:]))
    method = Rounding(calibration=StudyText())
    one, other = (CompressedModel(model, method, (text,), tmp_path) for text in (story, changed))

    assert one.key["compression"]["calibration"] == other.key["compression"]["calibration"]
    assert one.key["compression"]["artifact"] != other.key["compression"]["artifact"]


def test_features_in_the_cache_need_neither_weights_nor_checkpoint(source, story, monkeypatch):
    from brainexp.cache.lock import remove

    cache = ArrayCache(source.cache_dir / "features")
    features, facts = word_features(source, Plain(), (story,), cache)
    remove(entry(source).parent)
    fresh = CompressedModel(source.model, Pruning(), (), source.cache_dir)
    with monkeypatch.context() as patched:
        patched.setattr(Transformer, "load", lambda _: pytest.fail("weights were read"))
        patched.setattr(Pruning, "compress", refused)
        again, told = word_features(fresh, Plain(), (story,), cache)

    np.testing.assert_array_equal(np.asarray(features["tea"]), np.asarray(again["tea"]))
    assert told == facts
    assert facts["compression/weight_change"] > 0.1
    assert facts["arithmetic"] == "dense matrix products in bfloat16 on cpu"

    other = dataclasses.replace(story, story="more", units=(*story.units[:-1], "pots."))
    word_features(fresh, Plain(), (other,), cache)
    assert entry(source).is_file()  # made anew, since features were missing


def test_layers_that_are_not_left_are_refused_and_the_others_keep_their_numbers(model, members, tmp_path):
    source = CompressedModel(model, Dropping(), (), tmp_path)
    few = CompressedModel(dataclasses.replace(model, layers=(0, 1)), Dropping(), (), tmp_path)
    many = CompressedModel(dataclasses.replace(model, layers=(0, 2)), Dropping(), (), tmp_path)

    assert source.layer_numbers() == few.layer_numbers() == (0, 1)
    assert source.shape() == (2, 32)
    assert source.load().n_layers == few.load().n_layers == 2
    with pytest.raises(
        ConfigError, match=r"model.layers=\[0, 2\], but compression 'test_dropping' leaves 1 blocks.*model.layers=all"
    ):
        many.layer_numbers()


def test_too_little_room_is_refused_before_weights_are_read(source, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    monkeypatch.setattr(Pruning, "compress", refused)

    assert disk_free(source.cache_dir) == 1000
    with pytest.raises(ConfigError, match=r"compressed checkpoint needs [\d.]+ kB .*1.0 kB free. Give cache.dir="):
        source.load()


def test_the_base_has_as_many_bytes_as_its_weights_and_head(tmp_path):
    model = Transformer(path="package:brainexp/model/tiny/xs", dtype="bfloat16")
    network = model.network_with_head()
    tied = network.get_input_embeddings().weight is network.get_output_embeddings().weight
    stored = sum(one.numel() * one.element_size() for one in network.parameters())

    head = network.get_output_embeddings().weight
    assert base_bytes(model) == stored + tied * head.numel() * head.element_size()


def test_the_log_tells_what_it_took(source, caplog):
    with caplog.at_level(logging.INFO):
        source.load()

    assert "compression 'test_pruning': up to" in caplog.text
    assert "weights changed by" in caplog.text
    assert "read again with features that differ by 0 %" in caplog.text


MAKING = """
import sys, time
from pathlib import Path
from brainexp.compressed import CompressedModel
from brainexp.model.transformer import Transformer
from brainexp.registry import COMPRESSIONS
from brainexp.compression.rtn import RoundToNearest
from tests.compressed.members import Pruning

path, cache_dir, name, memory = sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])
COMPRESSIONS.register("test_pruning")(Pruning)
method = Pruning() if name == "pruning" else RoundToNearest(4, 32)
compress = type(method).compress

def slow(self, given):
    network = compress(self, given)
    save = network.save_pretrained
    def saved(folder, **options):
        save(folder, **options)
        print("saved", flush=True)
        time.sleep(60)
    network.save_pretrained = saved
    return network

type(method).compress = slow
CompressedModel(Transformer(path=path, dtype="bfloat16", device="cpu"), method, (), cache_dir, memory).load()
"""


@pytest.mark.parametrize(
    ("name", "method", "memory"),
    [("pruning", Pruning(), 1e12), ("rtn", RoundToNearest(4, 32), 5e4)],
    ids=["at once", "layer by layer"],
)
def test_a_kill_leaves_no_half_checkpoint_and_the_next_job_makes_a_whole_one(
    model, members, tmp_path, name, method, memory
):
    words = [sys.executable, "-c", MAKING, model.path, str(tmp_path / "cache"), name, str(memory)]
    killed = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert killed.stdout.readline() == "saved\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert len(list((tmp_path / "cache").rglob(".unfinished-*"))) == 1
    assert not list((tmp_path / "cache").rglob("entry.json"))
    assert len(list((tmp_path / "cache").rglob(".parts-*"))) == (name == "rtn")

    assert CompressedModel(model, method, (), tmp_path / "cache", memory).load().n_layers == 3

    assert not list((tmp_path / "cache").rglob(".unfinished-*"))
    assert not list((tmp_path / "cache").rglob(".parts-*"))
    assert len(list((tmp_path / "cache").rglob("entry.json"))) == 1
