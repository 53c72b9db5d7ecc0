"""How things are done: adverbs by class of verb, and the verbs that stand apart."""

#: Adverbs of manner that suit a class of verbs; verbs of other classes go without.
MANNERS: dict[str, tuple[str, ...]] = {
    "motion": (
        "quickly",
        "slowly",
        "quietly",
        "happily",
        "bravely",
        "eagerly",
        "calmly",
        "proudly",
        "merrily",
        "boldly",
        "silently",
        "briskly",
        "wearily",
        "gracefully",
        "anxiously",
        "clumsily",
        "lazily",
        "secretly",
    ),
    "activity": (
        "happily",
        "quietly",
        "patiently",
        "softly",
        "merrily",
        "calmly",
        "peacefully",
        "nervously",
        "cheerfully",
        "sadly",
        "silently",
        "proudly",
        "loudly",
    ),
    "clean": ("carefully", "quickly", "thoroughly", "gladly", "slowly", "properly"),
    "cut": ("carefully", "quickly", "neatly", "slowly", "skilfully"),
    "handle": ("carefully", "quickly", "gently", "slowly", "secretly"),
    "create": ("carefully", "patiently", "proudly", "skilfully", "slowly", "neatly"),
    "repair": ("carefully", "patiently", "skilfully", "quickly", "properly"),
    "care": ("gently", "kindly", "politely", "warmly", "gladly"),
    "noise": ("loudly", "softly", "suddenly", "angrily", "happily"),
}
#: Activities that no adverb of manner suits, and those that sound cut off without a place.
STILL = frozenset(
    {
        "sleep",
        "dream",
        "snore",
        "sneeze",
        "cough",
        "yawn",
        "sit",
        "stand",
        "kneel",
        "shiver",
        "tremble",
        "cry",
    }
    | {"sigh", "giggle", "smile", "rest"}
)
PLACED = frozenset({"sit", "stand", "kneel", "swim"})
#: Verbs that have no progressive: what they say is done at once.
INSTANT = frozenset({"see", "hear", "notice", "spot", "find", "recognise", "enjoy", "forget", "remember", "break"})
#: Forms of the verb that may take an adverb of manner: what is only wished or denied has none.
TELLING = frozenset({"past", "present", "gerund"})
