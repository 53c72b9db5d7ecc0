"""Which files are chosen."""

import pytest

from brainexp.errors import DataError
from brainexp.fetch import __main__ as command
from brainexp.fetch.sources import BY_HAND, SOURCES, chosen_subjects, listed, patterns
from brainexp.fetch.stores import S3, Files
from tests.fetch.server import WEB

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def paths(files):
    return [file.path for file in files]


def test_subjects_and_stories_are_chosen(toy):
    files, empty = listed(toy, ("responses", "transcripts"), ("S02",), ("fox",), WEB)

    assert paths(files) == ["derivatives/resp/S02/fox.hf5", "derivatives/grids/fox.TextGrid"]
    assert empty == ()


def test_only_what_is_needed_is_listed(store, toy):
    listed(toy, ("responses",), ("S01", "S02"), ("*",), WEB)

    assert len(store.asked) == 2  # a request per subject


def test_older_releases_with_another_folder_are_found(store, toy):
    store.files = {name.replace("derivatives", "derivative"): data for name, data in store.files.items()}

    files, _ = listed(toy, ("transcripts",), ("*",), ("*",), WEB)

    assert paths(files) == ["derivative/grids/crow.TextGrid", "derivative/grids/fox.TextGrid"]


def test_what_the_store_does_not_have_is_told(toy):
    assert listed(toy, ("transcripts", "extra"), ("*",), ("*",), WEB)[1] == ("extra",)
    with pytest.raises(DataError, match="the store has no file of story hen. Leave it out"):
        listed(toy, ("responses",), ("S01",), ("crow", "hen"), WEB)
    with pytest.raises(DataError, match="the store has no file of subject S03"):
        listed(toy, ("responses",), ("S01", "S03"), ("*",), WEB)
    with pytest.raises(DataError, match=r"holds nothing of what was asked for, such as extra/\*. Check subjects"):
        listed(toy, ("extra",), ("*",), ("*",), WEB)


@pytest.mark.parametrize(
    ("asked", "name", "chosen"),
    [
        ([1, 2, 3], "lebel2023", ("UTS01", "UTS02", "UTS03")),
        ("UTS08", "lebel2023", ("UTS08",)),
        (7, "deniz2019", ("07",)),
        ("sub-254", "narratives", ("254",)),
        (["EN057", "sub-CN001"], "little_prince", ("EN057", "CN001")),
        ("all", "lebel2023", ("*",)),
        ("all", "tuckute2024", ("*",)),
    ],
)
def test_subjects_may_be_given_by_number_or_name(asked, name, chosen):
    assert chosen_subjects(asked, name, SOURCES[name]) == chosen


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["dataset=harry_potter"],
            "harry_potter is nothing to fetch. A link to the folder fMRI stands in https://github.com",
        ),
        (["dataset=alice"], "alice is nothing to fetch. Its six regions' time courses are on the authors' page"),
        (["dataset=alice_ds002322", "subjects=[40]"], "unknown subject '40' of alice_ds002322."),
        (["dataset=blank2014", "subjects=[61]"], "blank2014 has no files by subject. Leave out subjects="),
        (["dataset=lebel"], "no source of dataset 'lebel' is known. Did you mean 'lebel2023'?"),
        (["dataset=lebel2023", "what=[response]"], "lebel2023 has no part 'response'. Did you mean 'responses'?"),
        (["dataset=lebel2023", "subjects=[9]"], "unknown subject '9' of lebel2023. Known: UTS01, UTS02"),
        (["dataset=lebel2023", "workers=100"], "workers must lie in 1..16: stores serve everyone; got 100"),
        (["dataset=tuckute2024", "subjects=[1]"], "tuckute2024 has no files by subject. Leave out subjects="),
        (["dataset=tuckute2024", "stories=[a]"], "tuckute2024 has no files by story. Leave out stories="),
        (["subjects=[1]"], "fetch: dataset is missing. Give it, such as dataset=..."),
        (["dataset=lebel2023", "subject=[1]"], "unknown option of fetch: 'subject'. Did you mean 'subjects'?"),
        (["lebel2023"], "'lebel2023' is no option. Give options as name=value, such as dataset=lebel2023"),
    ],
)
def test_requests_that_cannot_be_are_refused_in_words(words, message, capsys):
    assert command.main(words, WEB) == 1
    assert f"brainexp.fetch: {message}" in capsys.readouterr().out


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_declares_whose_it_is_and_what_it_takes(name):
    source = SOURCES[name]

    assert source.licence
    assert source.takes.startswith("about")
    assert set(source.usual) <= source.parts.keys()
    for part in source.parts.values():
        assert part.store.address.startswith("https://")
        for pattern in patterns(part, part.folders[0], ("S",), ("s",)):
            assert "{" not in pattern
            assert not isinstance(part.store, S3) or pattern.split("*")[0]  # no listing of a whole dataset


def test_every_dataset_can_be_fetched_or_is_said_where_to_get():
    import brainexp.experiment  # noqa: F401  registers all members
    from brainexp.registry import DATASETS

    own = {name for name in DATASETS.names() if DATASETS.member(name).__module__.startswith("brainexp.")}
    assert own == SOURCES.keys() | BY_HAND.keys()
    assert not SOURCES.keys() & BY_HAND.keys()


def test_volumes_words_and_the_sound_of_whole_brains_are_what_an_analysis_needs():
    source = SOURCES["alice_ds002322"]
    asked = [one for part in source.usual for one in patterns(source.parts[part], "", ("18",), ("*",))]

    assert "derivatives/sub-18/sub-18_task-alice_bold_preprocessed.nii.gz" in asked
    assert {"code/annotations.tsv", "sub-18/*events.tsv"} <= set(asked)
    assert not [one for one in asked if "func" in one or one == "sub-18/*"]


def test_declared_files_match_their_patterns():
    for name, source in SOURCES.items():
        for part_name, part in source.parts.items():
            if isinstance(part.store, Files):
                files, _ = listed(source, (part_name,), ("*",), ("*",), WEB)
                assert paths(files) == paths(part.store.held), (name, part_name)
