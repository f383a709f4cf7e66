"""What the tiny world's models are tested on, as evaluation texts: mined queries must not overlap it."""

from data_contracts.config.world import WorldConfig
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.evaluation_texts import EvaluationText, TextKind
from data_contracts.tables.world_tables import WorldQuestion
from models.tiny_world.world import Split, build_world
from tasks.runtime.phases import Phase
from tasks.runtime.step import step


@step(version="1", phase=Phase.QUERIES)
def world_evaluation_texts(
    *, questions: Rows[WorldQuestion], world: WorldConfig, world_seed: int
) -> Rows[EvaluationText]:
    """The dev and test questions, and the names of people and tasks they are about."""
    texts = [
        _text(question.question_id, question.split, question.question, TextKind.TEMPLATED)
        for question in questions
        if question.split != Split.TRAIN
    ]
    facts = build_world(world, world_seed)
    for split in (Split.DEV, Split.TEST):
        terms = (*facts.names(split), *facts.task_names(split))
        texts += [_text(f"{split}:{term}", split, term, TextKind.TERM) for term in terms]
    return rows_of(EvaluationText, texts)


def _text(text_id: str, split: str, text: str, kind: TextKind) -> EvaluationText:
    return EvaluationText(text_id=text_id, source=f"tiny world {split}", kind=kind, text=text)
