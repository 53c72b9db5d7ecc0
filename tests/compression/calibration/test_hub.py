import json

import pytest

from brainexp.compression.calibration.hub import CHARACTERS_PER_TOKEN, HubText
from brainexp.errors import ConfigError

datasets = pytest.importorskip("datasets", reason="comes with the compress extra")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A dataset as it lies on the hub: a folder with a split of two hundred documents."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    made = tmp_path / "fables"
    made.mkdir()
    lines = [json.dumps({"text": f"document {at} " + "tells of a fox " * 4, "id": at}) for at in range(200)]
    (made / "train.jsonl").write_text("\n".join([json.dumps({"text": " ", "id": -1}), *lines]))
    return made


def numbers(texts):
    return [int(text.split()[1]) for text in texts]


def test_documents_come_until_there_is_enough_in_an_order_of_the_seed(folder):
    text = HubText(dataset=str(folder), samples=5, tokens=20)

    found = text.texts([])

    assert sum(map(len, found[:-1])) < CHARACTERS_PER_TOKEN * 100 <= sum(map(len, found))
    assert len(set(numbers(found))) == len(found) < 200
    assert found == HubText(dataset=str(folder), samples=5, tokens=20).texts([])
    assert found != HubText(dataset=str(folder), samples=5, tokens=20, seed=1).texts([])
    assert text.stories() == ()


def test_a_small_dataset_is_read_as_a_whole(folder):
    assert sorted(numbers(HubText(dataset=str(folder), samples=1000, tokens=1000).texts([]))) == list(range(200))


def test_without_a_network_the_cache_is_read(folder, monkeypatch):
    asked = {}

    def load(name, config, **options):
        asked.update(options, name=name)
        return datasets.Dataset.from_dict({"text": ["a fox", "a crow"]})

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    found = HubText(dataset="someone/fables", revision="abc").texts([])

    assert sorted(found) == ["a crow", "a fox"]
    assert asked == {"name": "someone/fables", "split": "train", "revision": "abc", "streaming": False}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"field": "texts"}, r"no column 'texts'. Did you mean 'text'\?"),
        ({"field": "id"}, "column 'id' holds no text but int"),
        ({"split": "test"}, r"split test\) could not be read.*Correct the names"),
    ],
)
def test_a_wrong_name_is_refused_in_words(folder, options, words):
    with pytest.raises(ConfigError, match=words):
        HubText(dataset=str(folder), **options).texts([])


def test_what_is_neither_on_the_hub_nor_in_the_cache_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    with pytest.raises(
        ConfigError, match=r"dataset 'nobody/nothing' .*could not be read.*HF_HOME.*text_file or grammar"
    ):
        HubText(dataset="nobody/nothing").texts([])


def test_the_package_it_needs_is_named_where_it_is_missing(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(ConfigError, match=r"pip install brainexp\[compress\]"):
        HubText(dataset="nobody/nothing").texts([])
