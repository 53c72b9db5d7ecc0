"""Stories in a small English, with gold annotations for every word.

`story` tells one from a seed; `text` gives only its words, in a fraction of the time; `annotations` turns
the words into numbers; `write_holmes` makes probing sets from the same grammar.

>>> from brainexp.grammar import story
>>> told = story(seed=1, n_words=5)
>>> told.sentences[0].words[-1].pos
'PROPN'

How a story comes about
-----------------------
*World.* A story has one tense and a `World`: a cast of named persons and animals, each with a kind, a gender
and a lasting trait; things that are owned, carried, put into boxes and handed on; a place; a topic.
*Chapters and scenes.* A hero is introduced, then companions. A scene opens with part of the cast going
somewhere; others may join. Four scenes make a chapter; the topic drifts to a neighbouring one after each. A
new chapter keeps one of the cast and brings in others.
*Passages.* A scene is a few passages, drawn with fixed weights (`discourse.PASSAGES`): events, needs and
whether they are met, wishes and obstacles, losses, reports and mistaken beliefs, portraits, transfers,
comparisons, hypernym statements, counting, reflexive deeds, asides. A passage reads the world, says one to
four sentences and changes the world, so that later sentences agree with earlier ones.
*Sentences.* A passage builds a tree. Verbs select their subjects, objects and instruments by noun class.
A referent is named, described or reduced to a pronoun by what was mentioned in this sentence and the last;
a pronoun is used only where nothing else mentioned there has its gender and number. A subject may carry a
relative clause about a past event, or a place, which puts nouns of another number before the verb.
*Connectives* follow from the relation: *so* before what a state leads to, *but* before what fails, *then*
between events, *because* before what explains.
*Words.* The vocabulary is in the text files beside the code: nouns by hypernym, verbs by frame, adjectives
by what may bear them. Within a class, rank r is drawn with weight (r + 3) to the power of -0.5, flatter
than in real text, so that rare words occur in every few stories; asides draw them evenly.

Guarantees
----------
The same seed gives the same story, annotations and times on every platform; stories of different seeds use
independent streams. `text` gives exactly the words of `story`. A story ends with the sentence that reaches
``n_words``; a shorter story is a prefix of a longer one of the same seed, but for its times.
"""

# Cheap to import eagerly: the vocabulary is read on first use. A function that shares its module's name is
# bound after it, and stays bound.
from brainexp.grammar.annotations import ANNOTATION_COLUMNS, annotations
from brainexp.grammar.gold import GOLD_VERSION, PROBES, write_holmes
from brainexp.grammar.narration import story, text
from brainexp.grammar.words import Sentence, Story, Word

__all__ = [
    "ANNOTATION_COLUMNS",
    "GOLD_VERSION",
    "PROBES",
    "Sentence",
    "Story",
    "Word",
    "annotations",
    "story",
    "text",
    "write_holmes",
]
