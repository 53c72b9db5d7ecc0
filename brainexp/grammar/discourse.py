"""The course of a story: chapters with a cast, scenes with a topic, passages within a scene."""

from collections.abc import Callable, Iterator

from brainexp.grammar import action, asides, conclusions, needs, reasoning, setting, speech
from brainexp.grammar.cast import World
from brainexp.grammar.draws import Draws
from brainexp.grammar.lexicon import lexicon
from brainexp.grammar.telling import Passage, Plan

#: Passages with how often each is tried; one whose conditions fail says nothing.
PASSAGES: tuple[tuple[Callable[[World], Passage], int], ...] = (
    (action.action, 40),
    (action.everyday, 5),
    (setting.surroundings, 6),
    (setting.joining, 8),
    (setting.weather, 1),
    (needs.need, 8),
    (needs.wish, 8),
    (needs.fortune, 5),
    (needs.in_spite, 4),
    (needs.reaction, 5),
    (speech.report, 10),
    (speech.question, 5),
    (speech.mistaken, 4),
    (speech.portrait, 8),
    (reasoning.handing_over, 6),
    (reasoning.still_there, 5),
    (reasoning.storing, 4),
    (reasoning.comparison, 7),
    (reasoning.taxonomy, 4),
    (reasoning.counting, 4),
    (reasoning.quality_of, 20),
    (asides.side_by_side, 16),
    (asides.musing, 20),
    (asides.in_passing, 10),
    (asides.on_oneself, 8),
    (asides.lore, 3),
    (conclusions.taking_over, 4),
    (conclusions.moved_boxes, 3),
    (conclusions.ranking, 3),
    (conclusions.denied, 4),
)
_DEALT = tuple(passage for passage, times in PASSAGES for _ in range(times))
SCENES_PER_CHAPTER = 4
PASSAGES_PER_SCENE = (10, 20)


def plans(draws: Draws) -> Iterator[tuple[Plan, World]]:
    """Sentences of a story without end, each with the world it was said in."""
    words = lexicon()
    topics = tuple(words.topics.values())
    world = World(draws, words, draws.chance(0.6), draws.pick(topics))
    world.place = world.referent(draws.zipf(world.topic.places))
    while True:
        for passage in _chapter(world):
            for plan in passage:
                yield plan, world
                world.before, world.now = world.now, []


def _chapter(world: World) -> Iterator[Passage]:
    draws = world.draws
    # One of the old cast stays on, so that a long story does not fall apart into short ones.
    if world.cast:
        world.cast = [draws.pick([one for one in world.cast if one.noun.animacy == "human"])]
    world.props = []
    world.groups = []
    world.taught = []
    join = setting.encounter
    if world.cast:
        yield setting.arrival(world)
    else:
        yield setting.hero(world)
        world.cast[0].place = world.place
        join = setting.companion
    yield join(world)
    if draws.chance(0.6):
        yield join(world)
    for _ in range(SCENES_PER_CHAPTER):
        yield setting.arrival(world)
        low, high = PASSAGES_PER_SCENE
        for _ in range(low + int(draws.uniform() * (high - low + 1))):
            yield draws.pick(_DEALT)(world)
        world.topic = world.words.topics[draws.pick(world.topic.neighbours)]
