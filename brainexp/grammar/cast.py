"""Who and what a story is about: referents with lasting properties, and the world they live in."""

from dataclasses import dataclass, field

from brainexp.grammar.draws import Draws, Ranked
from brainexp.grammar.lexicon import Adjective, Lexicon, Noun, Topic, Verb

PRONOUNS: dict[str, tuple[str, str, str, str]] = {
    "male": ("he", "him", "his", "himself"),
    "female": ("she", "her", "her", "herself"),
    "neuter": ("it", "it", "its", "itself"),
    "plural": ("they", "them", "their", "themselves"),
}
#: Properties that fix how a referent looks; a later mention repeats one instead of inventing another.
LASTING = frozenset(
    {
        "size",
        "weight",
        "length",
        "width",
        "clarity",
        "colour",
        "fur",
        "age",
        "wear",
        "material",
        "cloth_material",
        "precious",
        "look",
        "character",
        "age_person",
        "beast",
        "fate",
        "depth",
        "plantish",
        "sound",
        "difficulty",
        "taste",
        "fashion",
        "height",
        "plumage",
        "condition",
        "sturdiness",
    }
)


#: What everybody knows: *the wind*, never *a wind*; and nouns too empty to introduce anything.
UNIQUE = frozenset({"weather", "sky"})
EMPTY = frozenset({"person", "animal", "creature", "thing", "place", "plant", "food", "friend", "helper"})


@dataclass(slots=True, eq=False)
class Referent:
    """Someone or something that later sentences may mention again.

    Attributes
    ----------
    number : int
        The entity id of its mentions.
    gender : str
        Row of `PRONOUNS`; ``plural`` for groups.
    name : str
        Empty for what is only described.
    trait : Adjective or None
        A property that later mentions repeat.
    owner : Referent or None
        Who has it now.
    place : Referent or None
        Where it lies: a container, a piece of furniture, or a place.
    stated : bool
        Whether its trait was said in this scene, and would be idle to repeat.
    deeds : list of (Verb, Referent, bool)
        Things that happened to it, as (verb, other party, whether it was the agent).
    """

    number: int
    noun: Noun
    gender: str
    name: str = ""
    trait: Adjective | None = None
    owner: "Referent | None" = None
    place: "Referent | None" = None
    home: "Referent | None" = None
    plural: bool = False
    mentioned: bool = False
    stated: bool = False
    mood: Adjective | None = None
    members: "tuple[Referent, ...]" = ()
    deeds: "list[tuple[Verb, Referent, bool]]" = field(default_factory=list)

    @property
    def animate(self) -> bool:
        """Whether it is a person or an animal."""
        return self.noun.animacy in ("human", "animal")


class World:
    """The state that sentences read and change.

    Attributes
    ----------
    past : bool
        Whether the story is told in the past tense.
    cast : list of Referent
        Persons and animals who stay for a chapter.
    props : list of Referent
        Things and animals of the present scene.
    before, now : list of Referent
        What the last sentence and the present one mention, for pronouns.
    hushed : Referent or None
        Whose trait must not be said, because the sentence is about to state it.
    taught : list of Noun
        Nouns whose class was explained already.
    hour : str
        Time of day of the scene, such as ``night``.
    recent_verbs : list of Verb
        The last few events, which are not told twice.
    """

    def __init__(self, draws: Draws, words: Lexicon, past: bool, topic: Topic) -> None:
        self.draws = draws
        self.words = words
        self.past = past
        self.topic = topic
        self.place: Referent
        self.cast: list[Referent] = []
        self.props: list[Referent] = []
        self.before: list[Referent] = []
        self.now: list[Referent] = []
        self.groups: list[Referent] = []
        self.taught: list[Noun] = []
        self.hushed: Referent | None = None
        self.hour = "day"
        self.recent_verbs: list[Verb] = []
        self.count = 0

    def referent(self, noun: Noun, plural: bool = False, gender: str = "", name: str = "") -> Referent:
        """A new referent with a trait of its own."""
        gender = gender or ("plural" if plural else noun.tag if noun.tag in ("male", "female") else "neuter")
        made = Referent(self.count, noun, gender, name, plural=plural)
        self.count += 1
        lasting = self.traits(noun)
        if lasting:
            made.trait = self.draws.pick(lasting)
        made.mentioned = noun.kind in UNIQUE
        return made

    def traits(self, noun: Noun) -> tuple[Adjective, ...]:
        """Adjectives of lasting properties that a noun may bear."""
        return tuple(one for one in self.words.adjectives_of(noun) if one.group in LASTING)

    def person(self, noun: Noun | None = None) -> Referent:
        """A new named person, with a name that nobody present has."""
        draws = self.draws
        while noun is None or noun.lemma in EMPTY or self.known(noun):
            noun = draws.zipf(self.words.fillers(("person",)))
        gender = noun.tag or draws.pick(("male", "female"))
        return self.referent(noun, gender=gender, name=self.fresh_name(gender))

    def animal(self) -> Referent:
        """A new animal who is a character, with a name."""
        noun = self.fresh(("pet", "wild_animal", "bird"))
        gender = self.draws.pick(("male", "female"))
        return self.referent(noun, gender=gender, name=self.fresh_name("animal_" + gender))

    def fresh_name(self, gender: str) -> str:
        """A name that nobody in the cast has."""
        taken = {one.name for one in self.cast}
        while (name := self.draws.zipf(self.words.names[gender])) in taken:
            pass
        return name

    def fresh(self, selection: tuple[str, ...]) -> Noun:
        """A noun of the selection that names nothing present, so that *the* stays unambiguous."""
        fillers = self.words.fillers(selection)
        for _ in range(20):
            noun = self.draws.zipf(fillers)
            if noun.lemma not in EMPTY and not self.known(noun):
                return noun
        return self.draws.zipf(fillers)

    def even(self, selection: tuple[str, ...], plural: bool) -> Referent:
        """Something new, drawn without regard to frequency, in a number that shows."""
        fillers = self.words.fillers(selection)
        for _ in range(20):
            noun = self.draws.pick(fillers)
            if noun.lemma not in EMPTY and not self.known(noun) and noun.plural != noun.lemma:
                break
        return self.referent(noun, plural=plural)

    def known(self, noun: Noun) -> bool:
        """Whether something present is called by this noun."""
        return any(one.noun is noun for one in self.cast) or any(one.noun is noun for one in self.props)

    def prop(self, selection: tuple[str, ...], plural: bool | None = None) -> Referent:
        """Something of the scene that fits, or a new thing."""
        draws = self.draws
        present = [one for one in self.props if self.words.admits(one.noun, selection)]
        if present and draws.chance(0.6):
            return draws.pick(present)
        return self.new_prop(selection, plural)

    def new_prop(self, selection: tuple[str, ...], plural: bool | None = None) -> Referent:
        """A new thing or animal of the scene, rather one of the topic."""
        draws = self.draws
        noun = self.fresh(selection)
        if draws.chance(0.8):
            typical = self.typical(selection)
            if typical is not None:
                noun = typical
        many = plural if plural is not None else draws.chance(0.3)
        made = self.referent(noun, plural=many and not noun.mass)
        self.props.append(made)
        return made

    def typical(self, selection: tuple[str, ...]) -> Noun | None:
        """A noun of the topic that fits the selection and names nothing present."""
        nouns = self.words.fillers(self.topic.props)
        for _ in range(8):
            noun = self.draws.zipf(nouns)
            if noun.lemma not in EMPTY and self.words.admits(noun, selection) and not self.known(noun):
                return noun
        return None

    def others(self, *excluded: Referent) -> list[Referent]:
        """The company without some of it."""
        return [one for one in self.company if one not in excluded]

    @property
    def company(self) -> list[Referent]:
        """The cast present in the scene."""
        return [one for one in self.cast if one.place is self.place]

    def move_to(self, place: Referent, goers: "tuple[Referent, ...]") -> None:
        """Begin a scene elsewhere: what nobody takes along stays behind."""
        self.place = place
        self.props = [one for one in self.props if one.owner is not None and one.owner in goers][-4:]
        for one in self.props:
            one.place = None
        for one in self.cast:
            one.place = place if one in goers else None
            one.stated = False


def scene_place(world: World) -> Referent:
    """A new place of the present topic."""
    places: Ranked[Noun] = world.topic.places
    return world.referent(world.draws.zipf(places))
