"""What every story must satisfy, checked from its words alone."""

import hashlib
import itertools
import re
import subprocess
import sys
import time
from collections import Counter

import pytest

from brainexp.grammar import Story, Word, annotations, story, text
from brainexp.grammar.lexicon import lexicon

GENDERS = {"he": "male", "him": "male", "his": "male", "she": "female", "her": "female"}


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    return [story(seed, 4000) for seed in range(8)]


def bare(word: Word) -> str:
    return word.text.rstrip(".,?").lower()


def test_a_seed_gives_the_recorded_story_and_annotations() -> None:
    told = story(7, 200)

    numbers = b"".join(values.tobytes() for _, values in sorted(annotations(told).items()))
    assert hashlib.sha256(told.text.encode()).hexdigest() == TEXT_SHA256
    assert hashlib.sha256(numbers).hexdigest() == NUMBERS_SHA256


def test_text_is_exactly_the_words_of_the_story() -> None:
    assert all(text(seed, 700) == story(seed, 700).text for seed in range(5))


def test_a_shorter_story_is_the_beginning_of_a_longer_one() -> None:
    assert text(3, 2000).startswith(text(3, 500))


def test_different_seeds_tell_different_stories() -> None:
    beginnings = {text(seed, 60) for seed in range(200)}

    assert len(beginnings) == 200


def test_a_story_ends_with_the_sentence_that_reaches_the_length(stories: list[Story]) -> None:
    for told in stories:
        n_words = len(told.words)

        assert n_words >= 4000
        assert n_words - len(told.sentences[-1].words) < 4000


@pytest.mark.parametrize(("seed", "n_words"), [(-1, 10), (0, 0)])
def test_an_impossible_request_is_refused_with_its_values(seed: int, n_words: int) -> None:
    with pytest.raises(ValueError, match=f"seed={seed} and n_words={n_words}"):
        story(seed, n_words)


def test_finite_verbs_agree_with_the_head_of_their_subject(stories: list[Story]) -> None:
    checked = Counter[str]()
    for told in stories:
        for sentence in told.sentences:
            for at, word in enumerate(sentence.words):
                if word.subject_distance and word.tense in ("past", "present"):
                    subject = sentence.words[at - word.subject_distance]
                    check_agreement(sentence.words, at, subject, checked)

    assert checked["singular"] > 500
    assert checked["plural"] > 100
    assert checked["across a distractor"] > 30


def check_agreement(words: tuple[Word, ...], at: int, subject: Word, checked: Counter[str]) -> None:
    """Re-derive number from word lists: the subject's from its noun, the verb's from its form."""
    verb = words[at]
    if subject.text.lower() in ("who", "that", "there") or subject.construction == "cleft":
        return
    nouns = lexicon().nouns
    if subject.pos == "NOUN" and nouns[subject.lemma].plural == subject.lemma:
        return
    subject_at = at - verb.subject_distance
    following = words[subject_at + 1] if subject_at + 1 < len(words) else None
    plural = bare(subject) == "they" or (subject.pos == "NOUN" and bare(subject) == nouns[subject.lemma].plural)
    if subject.pos == "PROPN" and following is not None and bare(following) == "and" and following.entity >= 0:
        plural = True
    singular_forms = {"is", "was", "has", "does"} | {one.third for one in lexicon().verbs.values()}
    plural_forms = {"are", "were", "have", "do"} | {one.lemma for one in lexicon().verbs.values()}
    if (verb.tense == "past" and verb.lemma != "be") or verb.lemma == "can":
        return
    assert bare(verb) in (plural_forms if plural else singular_forms), words
    checked["plural" if plural else "singular"] += 1
    checked["across a distractor"] += verb.distractors > 0


def test_every_pronoun_has_an_earlier_antecedent_of_its_gender_and_number(stories: list[Story]) -> None:
    names = {name: gender.split("_")[-1] for gender, ranked in lexicon().names.items() for name in ranked}
    n_checked = 0
    for told in stories:
        seen: dict[int, set[str]] = {}
        for word in told.words:
            if word.entity < 0:
                continue
            form = bare(word)
            if word.givenness == "pronoun" and form not in ("who", "that"):
                assert word.entity in seen, word
                assert word.mention_distance > 0 or word.entity in seen
                known = seen[word.entity]
                if form in GENDERS:
                    assert known <= {GENDERS[form], "singular"}, (word, known)
                elif form in ("they", "them", "their"):
                    assert "plural" in known
                else:
                    assert known == {"singular"}, (word, known)
                n_checked += 1
            elif word.pos == "PROPN":
                seen.setdefault(word.entity, set()).add(names[word.lemma])
            elif word.pos in ("NOUN", "CCONJ"):
                seen.setdefault(word.entity, set()).add(word.number)

    assert n_checked > 1000


def test_verbs_select_the_classes_that_they_are_listed_with(stories: list[Story]) -> None:
    words = lexicon()
    n_checked = 0
    for told in stories:
        for sentence in told.sentences:
            for at, word in enumerate(sentence.words):
                verb = words.verbs.get((word.kind, word.lemma))
                if verb is None or not verb.objects or verb.frame != "transitive":
                    continue
                found = object_of(sentence.words, at)
                if found is None:
                    continue
                assert words.admits(words.nouns[found.lemma], verb.objects), sentence.text
                n_checked += 1

    assert n_checked > 500


def object_of(words: tuple[Word, ...], verb_at: int) -> Word | None:
    """The common noun in the patient phrase right behind a verb."""
    for word in words[verb_at + 1 :]:
        if word.role != "patient" or word.pos in ("PRON", "PROPN"):
            return None
        if word.pos == "NOUN":
            return word
    return None


def test_brackets_close_and_agree_with_depth_and_closing(stories: list[Story]) -> None:
    for sentence in stories[0].sentences:
        tokens = re.findall(r"\(|\)|[^\s()]+", sentence.tree)
        depth, at = 0, -1
        rederived: list[list[int]] = []
        for before, now in zip(["", *tokens], tokens, strict=False):
            if now == "(":
                depth += 1
            elif now == ")":
                depth -= 1
                if before == ")":
                    rederived[at][1] += 1
            elif before != "(":
                at += 1
                # The part of speech has a bracket of its own, which is no constituent.
                rederived.append([depth - 1, 0])

        assert depth == 0
        assert rederived == [[word.depth, word.closing] for word in sentence.words]
        assert " ".join(re.findall(r"\([A-Z]+ ([^\s()]+)\)", sentence.tree)) == sentence.text


def test_every_sentence_has_one_root_and_heads_inside(stories: list[Story]) -> None:
    for sentence in stories[1].sentences:
        heads = [at + word.head_distance for at, word in enumerate(sentence.words)]

        assert sum(word.head_distance == 0 for word in sentence.words) == 1
        assert all(0 <= head < len(sentence.words) for head in heads)


def test_times_go_on_without_overlap_and_pause_at_marks(stories: list[Story]) -> None:
    for told in stories:
        words = told.words
        for word, following in itertools.pairwise(words):
            pause_s = following.onset_s - word.offset_s

            assert word.onset_s < word.offset_s <= following.onset_s + 1e-9
            if word.text.endswith((".", "?")):
                assert 0.399 <= pause_s <= 0.901
            elif word.text.endswith(","):
                assert 0.199 <= pause_s <= 0.401

        assert 2.3 < len(words) / words[-1].offset_s < 3.2


def test_sentences_are_written_as_english_is(stories: list[Story]) -> None:
    for told in stories:
        for sentence in told.sentences:
            assert sentence.text[0].isupper()
            assert sentence.text[-1] in ".?"
            assert not re.search(r"[.,?][.,?]|\ba [aeio]|\ban [^aeiouh]|\b(\w+) \1\b", sentence.text.lower()), (
                sentence.text
            )


def test_two_hundred_thousand_words_use_a_thousand_different_ones() -> None:
    counts: Counter[str] = Counter()
    for seed in range(10):
        counts.update(re.findall(r"[a-z']+", text(seed, 20_000).lower()))

    assert len(counts) >= 1000
    assert sum(count >= 5 for count in counts.values()) >= 1000


def test_speed_is_printed_for_the_reader(capsys: pytest.CaptureFixture[str]) -> None:
    began_s = time.perf_counter()
    told = story(1, 20_000)
    annotated_s = time.perf_counter() - began_s
    text(1, 20_000)
    plain_s = time.perf_counter() - began_s - annotated_s

    with capsys.disabled():
        print(f"\nstory: {len(told.words) / annotated_s:.0f} words/s")
        print(f"text: {len(told.words) / plain_s:.0f} words/s")
    assert len(told.words) >= 20_000


def test_import_reads_no_word_list() -> None:
    code = "import brainexp.grammar.lexicon as l, brainexp.grammar; print(l.lexicon.cache_info().currsize)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "0"


TEXT_SHA256 = "38b3b4f4b51270a30b494493b76a8e1bb3f114f0069d144c6506c83e25750f37"
NUMBERS_SHA256 = "1db8fc05c1e9d6f70cfbdd31bfe6283d1f064adbcee0939371b495d4c519732a"
