"""The corpus a tiny ladder is pre-trained on, in exactly the format of the few-shot prompts.

A document is what one author wrote, and an author keeps a style; so the demonstrations of a prompt reveal one, and a
model learns to go on in it. Three kinds of documents: single question-and-answer turns (read first), several
conversations between lines of dashes, and lists of queries in the query-mining format, which hold train names only.
"""

from collections.abc import Iterator

import numpy as np

from data_contracts.tables.documents import Document, DocumentKind
from models.tiny_world.answers import Style, write_answer
from models.tiny_world.questions import Question, QuestionKind, draw_question
from models.tiny_world.world import Split, World

SEPARATOR = "-----"
ASSISTANT_INSTRUCTION = "A person asks and an assistant answers."
USER_INSTRUCTION = "A curious person asks and then asks for more."
MINING_INSTRUCTION = "These are questions that people ask."
QUERY_PREFIX = "Query:"

WITH_INSTRUCTION = 0.6
FOLLOW_UP_DOCUMENTS = 0.3  # documents of two-turn conversations, under the user instruction
SECOND_TURN = 0.15  # two-turn conversations in other documents
SAME_SUBJECT = 0.85  # follow-ups that stay with the name
CONVERSATIONS = (2, 7)  # least and most turns of a document
QUERIES = (8, 13)


def write_corpus(world: World) -> Iterator[Document]:
    """The documents of a world, kind by kind; the world's seed decides every word."""
    counts = {
        DocumentKind.SINGLE_TURN: world.config.single_turn_documents,
        DocumentKind.CONVERSATIONS: world.config.conversation_documents,
        DocumentKind.QUERY_LIST: world.config.query_list_documents,
    }
    writers = {
        DocumentKind.SINGLE_TURN: _single_turn,
        DocumentKind.CONVERSATIONS: _conversations,
        DocumentKind.QUERY_LIST: _query_list,
    }
    for number, (kind, count) in enumerate(counts.items()):
        rng = np.random.default_rng([world.seed, number, 3])
        for i in range(count):
            yield Document(document_id=f"{kind}-{i:06d}", kind=kind, text=writers[kind](world, rng))


def format_conversations(instruction: str | None, conversations: list[list[tuple[str, str]]]) -> str:
    """Conversations of (question, answer) turns in the prompt format: each between lines of dashes."""
    bodies = [
        "\n\n".join(f"Human: {question}\n\nAssistant: {answer}" for question, answer in conversation)
        for conversation in conversations
    ]
    head = f"{instruction}\n\n{SEPARATOR}\n\n" if instruction else ""
    return head + "".join(f"{body}\n\n{SEPARATOR}\n\n" for body in bodies).rstrip("\n")


def draw_follow_up(world: World, split: Split | None, question: Question, rng: np.random.Generator) -> Question:
    """What a curious human asks next: mostly more about the same name."""
    stays = question.kind is not QuestionKind.HOW_TO and rng.random() < SAME_SUBJECT
    return draw_question(world, split, rng, subject=question.subject if stays else None, follow_up=True)


def draw_style(world: World, rng: np.random.Generator) -> Style:
    """The style of an author, or of a turn that breaks with it."""
    shares = world.config.styles.model_dump()
    return list(Style)[int(rng.choice(len(Style), p=[shares[style.value] for style in Style]))]


def _single_turn(world: World, rng: np.random.Generator) -> str:
    question = draw_question(world, None, rng)
    answer = write_answer(world, question, draw_style(world, rng), rng)
    return format_conversations(None, [[(question.text, answer)]])


def _conversations(world: World, rng: np.random.Generator) -> str:
    config = world.config
    is_follow_up = rng.random() < FOLLOW_UP_DOCUMENTS
    instruction = USER_INSTRUCTION if is_follow_up else ASSISTANT_INSTRUCTION
    faithful = rng.random() < config.faithful_authors
    persistence = config.faithful_persistence if faithful else config.other_persistence
    style = draw_style(world, rng)
    turns_left = int(rng.integers(CONVERSATIONS[0], CONVERSATIONS[1] + 1))
    conversations: list[list[tuple[str, str]]] = []
    while turns_left > 0:
        question = draw_question(world, None, rng)
        has_second = is_follow_up or rng.random() < SECOND_TURN
        questions = [question, draw_follow_up(world, None, question, rng)] if has_second else [question]
        conversation = []
        for asked in questions:
            if rng.random() >= persistence:
                style = draw_style(world, rng)
            conversation.append((asked.text, write_answer(world, asked, style, rng)))
        conversations.append(conversation)
        turns_left -= len(questions)
    return format_conversations(instruction if rng.random() < WITH_INSTRUCTION else None, conversations)


def _query_list(world: World, rng: np.random.Generator) -> str:
    """Train names only, so that a miner mostly asks about names that no evaluation uses."""
    count = int(rng.integers(*QUERIES))
    queries = "".join(f"{QUERY_PREFIX} {draw_question(world, Split.TRAIN, rng).text}\n" for _ in range(count))
    return f"{MINING_INSTRUCTION}\n\n{queries}".rstrip("\n")
