"""Build the tiny world: corpus, tokenizer, questions, prompts, community answers, follow-ups, critiques.

Not in the paper: it stands in for vanilla LLaMA models and human data on a machine that has neither.
"""

from itertools import islice
from pathlib import Path

from data_contracts.config.world import WorldConfig
from data_contracts.folder_contracts import PromptFiles, TokenizerFiles
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.store.stored import Folder, LocalFolder
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.documents import Document
from data_contracts.tables.world_tables import Critique, FollowUp, WorldQuestion
from models.tiny_world.corpus import write_corpus
from models.tiny_world.seeds_and_prompts import (
    community_rows,
    critique_rows,
    follow_up_rows,
    prompt_files,
    question_rows,
    seed_query_file,
)
from models.tiny_world.tokenizer import save_tokenizer, train_tokenizer
from models.tiny_world.world import Split, build_world
from tasks.runtime.context import job_folder
from tasks.runtime.outputs import Outputs
from tasks.runtime.phases import Phase
from tasks.runtime.step import step

TOKENIZER_DOCUMENTS = 6_000


class TinyWorld(Outputs):
    """Everything the tiny world hands out."""

    documents: Rows[Document]
    tokenizer: Folder[TokenizerFiles]
    questions: Rows[WorldQuestion]
    prompts: Folder[PromptFiles]
    community_answers: Rows[CommunityAnswer]
    follow_ups: Rows[FollowUp]
    critiques: Rows[Critique]


@step(version="11", phase=Phase.WORLD)
def build_tiny_world(*, world: WorldConfig, seed: int) -> TinyWorld:
    """Draw the facts and write what models, steps and judges need of them."""
    facts = build_world(world, seed)
    documents = list(write_corpus(facts))
    questions = [row for split in Split for row in question_rows(facts, split, world.questions_per_split, seed)]
    folder = job_folder("files")
    spread = islice(documents, 0, None, max(1, len(documents) // TOKENIZER_DOCUMENTS))
    save_tokenizer(train_tokenizer((row.text for row in spread), world.vocabulary_size), folder / "tokenizer")
    _write_prompts(prompt_files(facts, seed), seed_query_file(facts, seed), folder / "prompts")
    return TinyWorld(
        documents=rows_of(Document, documents),
        tokenizer=LocalFolder(TokenizerFiles, folder / "tokenizer"),
        questions=rows_of(WorldQuestion, questions),
        prompts=LocalFolder(PromptFiles, folder / "prompts"),
        community_answers=rows_of(CommunityAnswer, community_rows(facts, world.community.pairs, seed)),
        follow_ups=rows_of(FollowUp, follow_up_rows(facts, world.follow_ups, seed)),
        critiques=rows_of(Critique, critique_rows(facts, world.critiques, seed)),
    )


def _write_prompts(prompts: dict[str, str], seeds: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**prompts, "seed_queries": seeds}.items():
        (folder / f"{name}.txt").write_text(content, encoding="utf-8")
