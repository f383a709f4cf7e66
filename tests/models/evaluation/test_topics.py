"""Off-topic answers: by hand, and with a small model that was taught what belongs together."""

from pathlib import Path

import pytest
import torch

from data_contracts.finish_reason import FinishReason
from data_contracts.tables.topic_scores import TopicScore
from data_contracts.tables.verdicts import ModelAnswer
from models.engines.transformers_engine import TransformersEngine
from models.evaluation.topics import is_off_topic, other_questions, topic_rows
from models.prompts.few_shot_prompt import assistant_suffix
from tests.models.engines.model_folders import make_model, make_tokenizer, save_folder

FACTS = {"sky": "blue and wide", "grass": "green and wet", "coal": "black and dry", "snow": "white and cold"}


def question(name: str) -> str:
    return f"How is the {name}?"


def answer(subject: str, name: str, text: str) -> ModelAnswer:
    return ModelAnswer(
        answer_id=f"{subject}:{name}", subject=subject, question_id=name, category=None, question=question(name),
        answer=text, tokens=3, finish_reason=FinishReason.END, seed=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama that learnt four answers by heart."""
    from data_contracts.conversation import Role, Turn

    torch.manual_seed(0)
    tokenizer, model = make_tokenizer(), make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    texts = [f"{assistant_suffix([Turn(Role.HUMAN, question(name))])} {text}" for name, text in FACTS.items()]
    for _ in range(40):
        loss = torch.stack(
            [model(input_ids=ids, labels=ids).loss for ids in (_ids(tokenizer, t) for t in texts)]
        ).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return save_folder(tmp_path_factory.mktemp("taught"), model, tokenizer)


def _ids(tokenizer, text: str) -> torch.Tensor:
    return torch.tensor([tokenizer(text)["input_ids"]])


def test_a_question_must_make_its_answer_likelier_than_every_other_does():
    assert not is_off_topic(-3.0, [-4.0, -3.5])
    assert is_off_topic(-3.0, [-4.0, -3.0])


def test_others_are_drawn_by_question_and_seed_alone():
    ids = ["a", "b", "c", "d"]
    assert other_questions("a", ids, 2, 7) == other_questions("a", ids, 2, 7)
    assert "a" not in other_questions("a", ids, 9, 7)
    assert sorted(other_questions("a", ids, 9, 7)) == ["b", "c", "d"]
    assert other_questions("a", ["a"], 2, 7) == []


def test_answers_to_another_question_are_found(taught: Path):
    names = list(FACTS)
    right = [answer("sft", name, FACTS[name]) for name in names]
    wrong = [answer("ppo", name, FACTS[names[place - 1]]) for place, name in enumerate(names)]
    odd = [answer("base", "sky", " "), answer("base", "grass", "word " * 3000)]
    rows = topic_rows(TransformersEngine(taught), [*right, *wrong, *odd], 3, seed=1)
    assert [row.off_topic for row in rows] == [False] * 4 + [True] * 4 + [None] * 2
    assert rows[8].skipped_because == "the answer is empty"
    assert "the base model's context holds" in str(rows[9].skipped_because)
    assert all(len(row.other_logprobs or ()) == 3 and (row.own_logprob or 0) < 0 for row in rows[:8])
    assert TopicScore.to_table(rows).num_rows == len(rows)
    (alone,) = topic_rows(TransformersEngine(taught), right[:1], 3, seed=1)
    assert alone.skipped_because == "there is no other question"
