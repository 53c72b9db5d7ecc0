import conllu
import numpy as np
import pytest

from brainexp.errors import DataError
from brainexp.probe.ud import UniversalDependencies, written
from tests.conftest import DATA

DONT = """# text = I don't "know" .
1	I	I	PRON	PRP	Number=Sing|Person=1	5	nsubj	_	_
2-3	don't	_	_	_	_	_	_	_	_
2	do	do	AUX	VBP	Tense=Pres|VerbForm=Fin	5	aux	_	_
3	n't	not	PART	RB	_	5	advmod	_	_
4	"	"	PUNCT	``	_	5	punct	_	SpaceAfter=No
5	know	know	VERB	VB	VerbForm=Inf	0	root	_	SpaceAfter=No
5.1	it	it	PRON	_	_	_	_	_	_
6	"	"	PUNCT	''	_	5	punct	_	_
7	.	.	PUNCT	.	_	6	punct	_	_

"""


def treebank(tmp_path, n=40):
    for name, count in (("train", n), ("test", n // 4)):
        (tmp_path / f"{name}.conllu").write_text(DONT * count, encoding="utf-8")
    return UniversalDependencies(train=str(tmp_path / "train.conllu"), test=str(tmp_path / "test.conllu"))


def test_words_are_found_in_the_text_and_contractions_share_theirs():
    text, words = written(conllu.parse(DONT)[0])

    assert text == 'I don\'t "know" .'
    assert [(word["form"], text[slice(*place)]) for word, place in words] == [
        ("I", "I"), ("do", "don't"), ("n't", "don't"), ('"', '"'), ("know", "know"), ('"', '"'), (".", "."),
    ]  # fmt: skip


def test_tasks_ask_for_what_is_annotated(tmp_path):
    tasks = {name: load() for name, load in treebank(tmp_path).offered().items() if name in ("pos", "arc_relation")}

    pos, arc = tasks["pos"], tasks["arc_relation"]
    assert pos.n_labels == 5
    assert {split: len(pos.rows(split)) for split in ("train", "dev", "test")} == {"train": 245, "dev": 35, "test": 70}
    assert arc.n_labels == 3  # punctuation and the root have no arc to tell
    parts = [(passage.text[a:b]) for passage in arc.passages for a, b in passage.parts]
    assert {tuple(parts[one[0]] for one in slots) for slots in arc.slots} == {("I", "know"), ("don't", "know")}


def test_tree_depth_is_a_number(tmp_path):
    task = treebank(tmp_path)

    sentences = (tmp_path / "train.conllu").read_text() + DONT.replace("6	punct", "5	punct") * 8
    (tmp_path / "train.conllu").write_text(sentences)
    depths = task.offered()["tree_depth"]()

    assert depths.is_regression
    assert set(depths.labels) == {2.0, 3.0}


def test_rare_labels_are_left_out(tmp_path):
    probe = treebank(tmp_path)
    with (tmp_path / "train.conllu").open("a") as file:
        file.write(DONT.replace("	VERB	", "	ADJ	") * 3)

    assert probe.offered()["pos"]().n_labels == 5


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="train='' is no file"):
        UniversalDependencies().offered()
    (tmp_path / "train.conllu").write_text("1	I	I\n2	do\n\n")
    (tmp_path / "test.conllu").write_text(DONT)
    probe = UniversalDependencies(train=str(tmp_path / "train.conllu"), test=str(tmp_path / "test.conllu"))
    with pytest.raises(DataError, match="train.conllu: a sentence has words with fewer than 10 columns"):
        probe.offered()["pos"]()


@pytest.mark.data
def test_english_ewt_is_read_whole():
    folder = DATA / "ud_english_ewt"
    files = {name: str(folder / f"en_ewt-ud-{name}.conllu") for name in ("dev", "test")}
    probe = UniversalDependencies(train=files["dev"], test=files["test"], most_samples=None)

    depths = probe.offered()["tree_depth"]()
    tags = probe.offered()["pos"]()

    assert len(depths.rows("test")) == 2077
    assert len(depths.rows("train")) + len(depths.rows("dev")) == 2001
    assert tags.n_labels == 17
    sentences = {passage.text for passage in depths.passages}
    declared = {
        s.metadata["text"].rstrip()
        for name in files
        for s in conllu.parse((folder / f"en_ewt-ud-{name}.conllu").read_text())
    }
    assert len(sentences - declared) / len(sentences) < 0.01  # a space more or less
    assert np.isfinite(depths.labels).all()
