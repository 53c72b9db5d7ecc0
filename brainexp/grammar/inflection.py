"""Regular inflection of English, from spelling alone; irregular forms stand in the word lists."""

VOWELS = "aeiou"
# Verbs of two syllables whose last one is unstressed keep a single consonant before an ending.
UNDOUBLED = frozenset(
    {
        "open",
        "water",
        "wander",
        "hurry",
        "gather",
        "offer",
        "scamper",
        "flutter",
        "travel",
        "remember",
        "visit",
        "frighten",
        "sharpen",
        "slither",
        "prefer",
        "listen",
        "whisper",
        "shiver",
        "gallop",
    }
)
DOUBLED_AGAIN = frozenset({"travel", "prefer"})


def plural(noun: str) -> str:
    """Regular plural of a noun.

    >>> [plural(noun) for noun in ("fox", "berry", "toy", "potato", "piano", "brush")]
    ['foxes', 'berries', 'toys', 'potatoes', 'pianos', 'brushes']
    """
    if noun in {"potato", "tomato"}:
        return noun + "es"
    return _with_s(noun)


def third_person(verb: str) -> str:
    """Third person singular of the present of a verb other than *be* and *have*.

    >>> [third_person(verb) for verb in ("go", "carry", "watch", "play", "eat")]
    ['goes', 'carries', 'watches', 'plays', 'eats']
    """
    return verb + "es" if verb in {"go", "do"} else _with_s(verb)


def _with_s(word: str) -> str:
    if word.endswith("y") and word[-2] not in VOWELS:
        return word[:-1] + "ies"
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    return word + "s"


def past(verb: str) -> str:
    """Regular past of a verb, also its participle.

    >>> [past(verb) for verb in ("chase", "carry", "stop", "play", "open", "travel")]
    ['chased', 'carried', 'stopped', 'played', 'opened', 'travelled']
    """
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ied"
    return _doubled(verb) + "ed"


def gerund(verb: str) -> str:
    """The form in *-ing*.

    >>> [gerund(verb) for verb in ("chase", "lie", "sit", "sing", "see")]
    ['chasing', 'lying', 'sitting', 'singing', 'seeing']
    """
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe")) and verb != "be":
        return verb[:-1] + "ing"
    return _doubled(verb) + "ing"


def _doubled(verb: str) -> str:
    short = len(verb) > 2 and verb[-1] not in VOWELS + "wxyh" and verb[-2] in VOWELS and verb[-3] not in VOWELS
    if verb in DOUBLED_AGAIN or (short and verb not in UNDOUBLED):
        return verb + verb[-1]
    return verb


def comparative(adjective: str) -> str:
    """Comparative of an adjective of one syllable, or of two that end in *y* or *e*.

    >>> [comparative(adjective) for adjective in ("tall", "big", "heavy", "large", "strong")]
    ['taller', 'bigger', 'heavier', 'larger', 'stronger']
    """
    if adjective.endswith("y"):
        return adjective[:-1] + "ier"
    if adjective.endswith("e"):
        return adjective + "r"
    if adjective[-1] not in VOWELS + "wxy" and adjective[-2] in VOWELS and adjective[-3] not in VOWELS:
        return adjective + adjective[-1] + "er"
    return adjective + "er"


def article(word: str) -> str:
    """The indefinite article before a word: by sound, which spelling gives but for a few words.

    >>> [article(word) for word in ("apple", "honest", "unicorn", "onion", "useful", "key")]
    ['an', 'an', 'a', 'an', 'a', 'a']
    """
    if word.startswith(("honest", "hour", "heir")):
        return "an"
    if word.startswith(("uni", "use", "one", "eu")):
        return "a"
    return "an" if word[0] in VOWELS else "a"
