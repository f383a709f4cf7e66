"""A/B tests end to end: questions, answers of models, and judges of three kinds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

import tasks.tiny_world  # noqa: F401 - its judge registers itself
from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import JudgeSettings
from data_contracts.config.run_config import RunConfig
from data_contracts.config.world import GoldJudgeSource, WorldConfig
from data_contracts.errors import ConfigError
from data_contracts.finish_reason import FinishReason
from data_contracts.handles import JudgeHandle, ModelHandle, PromptHandle
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.store.artifact_store import Store
from data_contracts.tables.verdicts import JudgeVerdict, ModelAnswer, Order, Outcome
from data_contracts.tables.world_tables import WorldQuestion
from models.evaluation.benchmarks.prompt_template import builtin_template
from models.evaluation.judging.judge_questions import questions_of
from models.evaluation.judging.judges import open_judge
from models.tiny_world.answers import Style, write_answer
from models.tiny_world.questions import Question, sample_questions
from models.tiny_world.world import Split, build_world
from tasks.evaluation.evaluate_by_judge import answer_questions, gather_questions, judge_pairs
from tasks.inputs.resolve_files import resolve_file
from tests.models.engines.completions_server import CompletionsServer, as_json, serving

WORLD = WorldConfig(names=20, single_turn_documents=10, conversation_documents=10)
PROMPT = PromptHandle.read("judge", builtin_template("judge"))
GOLD = GoldJudgeSource(world=WORLD, world_seed=1)
Compute = Callable[..., Any]


def answer(subject: str, name: str, question: str, text: str) -> ModelAnswer:
    return ModelAnswer(
        answer_id=f"{subject}:{name}", subject=subject, question_id=name, category="x", question=question, answer=text,
        tokens=3, finish_reason=FinishReason.END, seed=1,
    )  # fmt: skip


def answers(subject: str, texts: dict[str, str]) -> Rows[ModelAnswer]:
    return rows_of(ModelAnswer, [answer(subject, name, f"{name}?", text) for name, text in texts.items()])


def arguments(
    first: Rows[ModelAnswer], second: Rows[ModelAnswer], settings: JudgeSettings, judge: JudgeHandle
) -> dict[str, Any]:
    return {
        "subject_a": "ppo", "subject_b": "sft", "answers_a": first, "answers_b": second, "judge": judge,
        "judging": settings, "prompt": PROMPT, "engine": EngineConfig(), "seed": 7,
    }  # fmt: skip


def by_gold(first: Rows[ModelAnswer], second: Rows[ModelAnswer]) -> list[JudgeVerdict]:
    return list(judge_pairs.fn(**arguments(first, second, JudgeSettings(kind="gold"), GOLD)))


def test_the_gold_judge_prefers_the_truth_in_both_orders():
    import numpy as np

    world, rng = build_world(WORLD, 1), np.random.default_rng(1)
    questions: list[Question] = sample_questions(world, Split.TEST, 6, seed=1)
    texts = {q.text: {s: write_answer(world, q, s, rng) for s in (Style.HELPFUL, Style.WRONG)} for q in questions}
    first, second = (
        rows_of(
            ModelAnswer, [answer(name, str(n), asked, found[style]) for n, (asked, found) in enumerate(texts.items())]
        )
        for name, style in (("ppo", Style.HELPFUL), ("sft", Style.WRONG))
    )
    verdicts = by_gold(first, second)
    assert len(verdicts) == 2 * len(questions)
    assert JudgeVerdict.to_table(verdicts).num_rows == len(verdicts)
    assert {verdict.outcome for verdict in verdicts} <= {Outcome.WIN, Outcome.TIE}
    for one, other in zip(verdicts[::2], verdicts[1::2], strict=True):
        assert (one.order, other.order) == (Order.AB, Order.BA)
        assert (one.score_a, one.score_b) == (other.score_a, other.score_b)
        assert one.raw_reply.startswith(f"{one.score_a:.2f} {one.score_b:.2f}\n")


def test_a_question_of_no_world_is_unparsable():
    first, second = (answers(subject, {"q": "Yes."}) for subject in ("ppo", "sft"))
    verdicts = by_gold(first, second)
    assert {verdict.unparsable_because for verdict in verdicts} == {"the question is not about this world"}
    assert {verdict.outcome for verdict in verdicts} == {Outcome.UNPARSABLE}


def test_a_judge_travels_to_a_worker_as_what_it_is():
    model = ModelHandle(name="judge", digest="judge", folder="/judge")
    adapter = TypeAdapter(JudgeHandle)
    for judge in (model, GOLD):
        assert adapter.validate_python(adapter.dump_python(judge, mode="json")) == judge


def test_a_judge_that_nobody_registered_is_named():
    with pytest.raises(ConfigError, match="no judge is known for str"):
        open_judge("the cat", JudgeSettings(), EngineConfig())


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
    compute: Compute, stored: Callable[..., Any], judge_folder: Path, store: Store
):
    names = [*(f"q{n}" for n in range(5)), "q-refused"]
    first, second = (
        stored(ModelAnswer, answers(subject, dict.fromkeys(names, f"{subject} says"))) for subject in ("ppo", "sft")
    )
    with serving(judge_folder) as server:
        scripted(server)
        engine = EngineConfig.model_validate(
            {"kind": "openai", "base_url": server.url, "concurrency": 3, "request_retries": 0}
        )
        settings = JudgeSettings(kind="model", engine=engine, reply_tokens=64, price_per_million_read=2.0)
        model = ModelHandle(name="judge", digest="judge", folder=str(judge_folder))
        table = compute(judge_pairs, **arguments(first, second, settings, model))
        asked = [body["prompt"] for body in server.requests if "[Question]" in body["prompt"]]
        assert len([prompt for prompt in asked if "q-refused" not in prompt]) == 10
        again = compute(judge_pairs, **arguments(first, second, settings, model))
        assert again == table
        assert len([body for body in server.requests if "[Question]" in body["prompt"]]) == len(asked)
    by_name = {(verdict.question_id, verdict.order): verdict for verdict in table}
    assert (by_name["q0", Order.AB].score_a, by_name["q0", Order.AB].score_b) == (8, 7)
    assert (by_name["q0", Order.BA].score_a, by_name["q0", Order.BA].score_b) == (7, 8)  # it likes the first place
    assert by_name["q4", Order.AB].outcome is Outcome.TIE
    reasons = {name: str(by_name[name, Order.AB].unparsable_because) for name in ("q1", "q2", "q-refused")}
    assert "not two scores" in reasons["q1"]
    assert "not two scores" in reasons["q2"]
    assert "not allowed" in reasons["q-refused"]
    assert by_name["q2", Order.AB].raw_reply == "I will not judge."
    cost = store.cost(table.artifact)
    assert cost is not None
    assert cost.counters["judge_replies"] == 12
    assert cost.counters["generated_tokens"] > 0, "the judge's own tokens are counted when the step ends"


def test_a_local_model_judges_and_says_nonsense(judge_folder: Path):
    first, second = (answers(subject, {"q1": "Yes.", "q2": "No."}) for subject in ("ppo", "sft"))
    model = ModelHandle(name="judge", digest="judge", folder=str(judge_folder))
    settings = JudgeSettings(kind="model", reply_tokens=8)
    verdicts = list(judge_pairs.fn(**arguments(first, second, settings, model)))
    assert len(verdicts) == 4
    assert all((verdict.prompt_tokens or 0) > 0 for verdict in verdicts)
    long = answers("ppo", {"q1": "word " * 3000})
    (verdict, _) = judge_pairs.fn(**arguments(long, second, settings, model))
    assert "fit the judge's context" in str(verdict.unparsable_because)


def test_models_answer_questions_of_a_file(tiny_model: ModelHandle, tmp_path: Path):
    path = tmp_path / "questions.jsonl"
    lines = [{"question_id": n, "text": f"What is {n}?", "category": "generic"} for n in range(3)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    questions = gather_questions.fn(file=resolve_file("f", str(path)), world_questions=None, questions=2)
    assert [(one.question_id, one.category) for one in questions] == [("0", "generic"), ("1", "generic")]
    given = answer_questions.fn(
        subject="sft",
        model=tiny_model,
        questions=questions,
        judging=JudgeSettings(answer_tokens=5),
        engine=EngineConfig(),
        seed=3,
    )
    assert [(one.answer_id, one.question) for one in given] == [("sft:0", "What is 0?"), ("sft:1", "What is 1?")]


def test_questions_of_the_world_are_its_test_split():
    world = [
        WorldQuestion(question_id=f"q{n}", split=split, kind="fact", question=f"What {n}?")
        for n, split in enumerate(("train", "test", "test", "dev"))
    ]
    found = gather_questions.fn(file=None, world_questions=rows_of(WorldQuestion, world), questions=9)
    assert [one.question_id for one in found] == ["q1", "q2"]
    with pytest.raises(ConfigError, match="questions_file is empty"):
        gather_questions.fn(file=None, world_questions=None, questions=9)


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
