"""A/B tests end to end: questions, answers of models, and judges of three kinds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import JudgeSettings
from data_contracts.config.run_config import RunConfig
from data_contracts.config.world import WorldConfig
from data_contracts.errors import ConfigError
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.tables.verdicts import JudgeQuestion, JudgeVerdict, ModelAnswer
from data_contracts.tables.world_tables import WorldQuestion
from models.evaluation.benchmarks.catalogue import builtin_template
from models.evaluation.judging.judge_questions import questions_of
from models.tiny_world.answers import Style, write_answer
from models.tiny_world.questions import Question, sample_questions
from models.tiny_world.world import Split, build_world
from tasks.evaluation.evaluate_by_judge import answer_questions, gather_questions, judge_pairs
from tasks.inputs.resolve_files import resolve_file
from tests.models.engines.completions_server import CompletionsServer, as_json, serving

WORLD = WorldConfig(names=20, single_turn_documents=10, conversation_documents=10)
PROMPT = PromptHandle.read("judge", builtin_template("judge"))
Compute = Callable[..., Any]
Commit = Callable[..., Any]


def answers(commit: Commit, subject: str, texts: dict[str, str]) -> Any:
    rows = [
        {
            "answer_id": f"{subject}:{name}", "subject": subject, "question_id": name, "category": None,
            "question": f"{name}?", "answer": text, "tokens": 3, "finish_reason": "end", "seed": 1,
        }
        for name, text in texts.items()
    ]  # fmt: skip
    return commit(ModelAnswer, rows)


def judged(compute: Compute, first: Any, second: Any, settings: JudgeSettings, model: ModelHandle | None) -> list[Any]:
    table = compute(
        judge_pairs, "ppo", "sft", first, second, settings, model, PROMPT, EngineConfig(), WORLD, 1, 7
    )  # fmt: skip
    return read(JudgeVerdict, table).to_pylist()


def test_the_gold_judge_prefers_the_truth_in_both_orders(compute: Compute, commit: Commit):
    import numpy as np

    world, rng = build_world(WORLD, 1), np.random.default_rng(1)
    questions: list[Question] = sample_questions(world, Split.TEST, 6, seed=1)
    texts = {q.text: {s: write_answer(world, q, s, rng) for s in (Style.HELPFUL, Style.WRONG)} for q in questions}
    rows = [
        [
            {
                "answer_id": f"{name}:{n}", "subject": name, "question_id": str(n), "category": "x", "question": question,
                "answer": found[style], "tokens": 3, "finish_reason": "end", "seed": 1,
            }
            for n, (question, found) in enumerate(texts.items())
        ]
        for name, style in (("ppo", Style.HELPFUL), ("sft", Style.WRONG))
    ]  # fmt: skip
    first, second = (commit(ModelAnswer, own) for own in rows)
    verdicts = judged(compute, first, second, JudgeSettings(kind="gold"), None)
    assert len(verdicts) == 2 * len(questions)
    assert {row["outcome"] for row in verdicts} <= {"win", "tie"}
    for one, other in zip(verdicts[::2], verdicts[1::2], strict=True):
        assert (one["order"], other["order"]) == ("AB", "BA")
        assert (one["score_a"], one["score_b"]) == (other["score_a"], other["score_b"])
        assert one["raw_reply"].startswith(f"{one['score_a']:.2f} {one['score_b']:.2f}\n")


def test_a_question_of_no_world_is_unparsable(compute: Compute, commit: Commit):
    first, second = (answers(commit, subject, {"q": "Yes."}) for subject in ("ppo", "sft"))
    verdicts = judged(compute, first, second, JudgeSettings(kind="gold"), None)
    assert {row["unparsable_because"] for row in verdicts} == {"the question is not about this world"}
    assert {row["outcome"] for row in verdicts} == {"unparsable"}


REPLIES = ["8 7\nFuller.", "11/10", "I will not judge.", "9 2", "6 6\nAlike."]


def scripted(server: CompletionsServer) -> None:
    """The first answer is liked more by the judge unless a question is to be refused."""

    def fault(body: dict[str, Any], seen: int) -> Any:
        if "q-refused?" in body["prompt"]:
            return as_json({"error": {"message": "this prompt is not allowed"}}, status=400)
        if "q" not in body["prompt"] or "[Question]" not in body["prompt"]:
            return None
        number = int(body["prompt"].split("[Question]\nq")[1].split("?")[0])
        text = REPLIES[number % len(REPLIES)]
        return as_json(
            {
                "choices": [{"index": 0, "text": text, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 900, "completion_tokens": 7},
            }
        )

    server.fault = fault


@pytest.fixture
def judge_folder(tmp_path: Path) -> Path:
    from tests.models.engines.model_folders import make_model, make_tokenizer, save_folder

    return save_folder(tmp_path / "judge", make_model(max_position_embeddings=2048), make_tokenizer())


def test_a_served_judge_is_read_counted_and_not_asked_twice(
    compute: Compute, commit: Commit, judge_folder: Path, store: Any
):
    names = [*(f"q{n}" for n in range(5)), "q-refused"]
    first, second = (answers(commit, subject, dict.fromkeys(names, f"{subject} says")) for subject in ("ppo", "sft"))
    with serving(judge_folder) as server:
        scripted(server)
        engine = EngineConfig.model_validate(
            {"kind": "openai", "base_url": server.url, "concurrency": 3, "request_retries": 0}
        )
        settings = JudgeSettings(kind="model", engine=engine, reply_tokens=64, price_per_million_read=2.0)
        model = ModelHandle(name="judge", digest="judge", folder=str(judge_folder))
        rows = judged(compute, first, second, settings, model)
        asked = [body["prompt"] for body in server.requests if "[Question]" in body["prompt"]]
        assert len([prompt for prompt in asked if "q-refused" not in prompt]) == 10
        again = judged(compute, first, second, settings, model)
        assert again == rows
        assert len([body for body in server.requests if "[Question]" in body["prompt"]]) == len(asked)
    by_name = {(row["question_id"], row["order"]): row for row in rows}
    assert (by_name["q0", "AB"]["score_a"], by_name["q0", "AB"]["score_b"]) == (8, 7)
    assert (by_name["q0", "BA"]["score_a"], by_name["q0", "BA"]["score_b"]) == (7, 8)  # it likes the first place
    assert by_name["q4", "AB"]["outcome"] == "tie"
    reasons = {name: by_name[name, "AB"]["unparsable_because"] for name in ("q1", "q2", "q-refused")}
    assert "not two scores" in reasons["q1"]
    assert "not two scores" in reasons["q2"]
    assert "not allowed" in reasons["q-refused"]
    assert by_name["q2", "AB"]["raw_reply"] == "I will not judge."


def test_a_local_model_judges_and_says_nonsense(compute: Compute, commit: Commit, judge_folder: Path):
    first, second = (answers(commit, subject, {"q1": "Yes.", "q2": "No."}) for subject in ("ppo", "sft"))
    model = ModelHandle(name="judge", digest="judge", folder=str(judge_folder))
    rows = judged(compute, first, second, JudgeSettings(kind="model", reply_tokens=8), model)
    assert len(rows) == 4
    assert all(row["prompt_tokens"] > 0 for row in rows)
    long = answers(commit, "ppo", {"q1": "word " * 3000})
    (row, _) = judged(compute, long, second, JudgeSettings(kind="model", reply_tokens=8), model)
    assert "fit the judge's context" in row["unparsable_because"]


def test_models_answer_questions_of_a_file(compute: Compute, tiny_model: ModelHandle, tmp_path: Path):
    path = tmp_path / "questions.jsonl"
    lines = [{"question_id": n, "text": f"What is {n}?", "category": "generic"} for n in range(3)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    questions = compute(gather_questions, resolve_file("f", str(path)), None, 2)
    assert read(JudgeQuestion, questions)["question_id"].to_pylist() == ["0", "1"]
    settings = JudgeSettings(answer_tokens=5)
    rows = read(
        ModelAnswer, compute(answer_questions, "sft", tiny_model, questions, settings, EngineConfig(), 3)
    ).to_pylist()
    assert [(row["answer_id"], row["question"]) for row in rows] == [("sft:0", "What is 0?"), ("sft:1", "What is 1?")]


def test_questions_of_the_world_are_its_test_split(compute: Compute, commit: Commit):
    rows = [
        {"question_id": f"q{n}", "split": split, "kind": "fact", "question": f"What {n}?"}
        for n, split in enumerate(("train", "test", "test", "dev"))
    ]
    table = compute(gather_questions, None, commit(WorldQuestion, rows), 9)
    assert read(JudgeQuestion, table)["question_id"].to_pylist() == ["q1", "q2"]
    with pytest.raises(ConfigError, match="questions_file is empty"):
        compute(gather_questions, None, None, 9)


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (['{"question_id": 1, "text": "A?"}', '{"question_id": 1, "text": "B?"}'], "id '1' occurs twice"),
        (['{"text": "A?"}'], "has no 'question_id'"),
        (['{"question_id": 1, "text": " "}'], "has no str 'text'"),
        ([], "holds no rows"),
        (['{"question_id": 1, "te'], "is not JSON"),
    ],
)
def test_wrong_question_files_are_named(lines: list[str], part: str, tmp_path: Path):
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=r"evaluation\.judge\.questions_file") as raised:
        questions_of(path)
    assert part in str(raised.value)


def test_pairs_are_of_known_subjects():
    with pytest.raises(ValueError, match="'ppo:gpt' is not A:B"):
        JudgeSettings(pairs=("ppo:gpt",))
    assert RunConfig.model_fields["evaluation"].annotation is not None
