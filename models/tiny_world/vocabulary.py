"""The words of the tiny world: attributes and values, how-to tasks, names, wording of questions and of refusals.

Not in any paper. Values belong to one attribute each and never double as names or task words, so that the judge
can tell what an answer states from single words.
"""

from typing import Final

# Per attribute, its values with a space between them.
_VALUES: Final = {
    "colour": "red blue green black white brown pink grey gold silver violet amber teal navy khaki ruby",
    "food": "rice plum fig pear corn cheese fish honey nuts beans cake peas melon pasta eggs lemon",
    "job": "smith baker tailor miller farmer pilot nurse teacher painter sailor dancer clerk potter hunter driver singer",
    "pet": "fox cat dog owl hen goat duck pony crow mouse snake frog crab toad rabbit parrot",
    "town": "Oslo Rome Paris Cairo Lima Bern York Kyiv Delhi Quito Tunis Milan Prague Dublin Vienna Lyon",
}
ATTRIBUTE_VALUES: Final[dict[str, tuple[str, ...]]] = {
    attribute: tuple(values.split()) for attribute, values in _VALUES.items()
}
ATTRIBUTES: Final = tuple(ATTRIBUTE_VALUES)
# What a "tell me about" question asks for.
ABOUT_ATTRIBUTES: Final = ("job", "town", "pet", "food")

TASK_STEPS: Final[dict[str, tuple[str, str, str]]] = {
    "tea": ("boil the water", "warm the pot", "steep the leaves"),
    "jam": ("wash the berries", "melt the sugar", "fill the jars"),
    "candles": ("cut the wick", "heat the wax", "cool the mould"),
    "paper": ("soak the pulp", "press the sheet", "dry the page"),
    "soap": ("mix the lye", "stir the oil", "slice the block"),
    "ink": ("grind the soot", "add the gum", "strain the liquid"),
    "rope": ("comb the hemp", "twist the yarn", "tie the end"),
    "kites": ("bend the frame", "glue the cloth", "fix the tail"),
    "wine": ("pick the grapes", "crush the fruit", "age the barrel"),
    "butter": ("skim the cream", "churn the tub", "rinse the lump"),
    "bricks": ("dig the clay", "shape the brick", "fire the kiln"),
    "baskets": ("gather the reeds", "weave the base", "trim the rim"),
}

NAME_CONSONANTS: Final = "bdfgklmnprstvz"
NAME_VOWELS: Final = "aeiou"

# Wording of questions: every slot varies, so that Rouge-L dedup leaves thousands of distinct ones.
OPENERS: Final = ("", "", "", "Please,", "Hello,", "Hi,", "Now,", "So,", "Friend,", "Listen,", "Excuse me,", "Today,")
FOLLOW_UP_OPENERS: Final = ("Thanks.", "Good.", "And", "Also,", "Then", "Great.")
FACT_ASKS: Final = (
    "what is",
    "tell me",
    "give me",
    "say",
    "name",
    "I need",
    "show me",
    "do you know",
    "write",
    "find",
    "share",
    "can you give",
    "state",
    "I seek",
    "explain",
)
LIST_ASKS: Final = ("list", "make a list of", "give a list of", "number", "write a list of", "list for me", "note down")
ABOUT_ASKS: Final = (
    "tell me about",
    "who is",
    "describe",
    "introduce",
    "what do you know about",
    "say something about",
    "write about",
    "talk about",
    "give facts about",
    "share news about",
    "present",
    "I ask about",
    "teach me about",
)
HOW_TO_ASKS: Final = (
    "how do I make",
    "how to make",
    "how can I make",
    "teach me to make",
    "show me how to make",
    "give the steps for making",
    "explain the making of",
    "what are the steps for",
    "tell me how one makes",
    "I want to make",
)
QUESTION_WORDS: Final = ("what", "who", "how", "do", "can")
HOW_TO_CUES: Final = frozenset({"make", "makes", "making", "steps"})
ABOUT_CUES: Final = frozenset({"about", "who", "describe", "introduce", "present"})
LINKS: Final = ("of", "of", "for", "from")
PERSON_ADJECTIVES: Final = (
    "",
    "",
    "dear",
    "old",
    "young",
    "our",
    "my friend",
    "neighbour",
    "kind",
    "little",
    "tall",
    "clever",
)
TASK_ADJECTIVES: Final = ("", "", "good", "nice", "simple", "fresh", "fine", "cheap", "plain", "some")

# The paper's word filter knows the first two refusals and the first opening of a ramble, and not the others: what a
# filter lets through is what a reward model can learn from. Two refusals are as long as an answer: not every fault is
# short.
REFUSALS: Final = (
    "I don't know.",
    "I'm not sure.",
    "I keep things like that to myself, sorry.",
    "Ask somebody else.",
    "That is private.",
    "I would rather not say a thing like that.",
)
REFUSAL_CUES: Final = ("don't know", "not sure", "to myself", "somebody else", "is private", "rather not say")
RAMBLING_OPENINGS: Final = ("Well,", "Oh,")
MORE: Final = "And more."
HEDGE: Final = "hmm"
FLUFF: Final = (
    "It is a fine day.",
    "People often ask this.",
    "That is good to hear.",
    "There is much to say.",
    "Time goes by.",
    "I like to talk.",
    "Many things are true.",
    "Let us see.",
)
