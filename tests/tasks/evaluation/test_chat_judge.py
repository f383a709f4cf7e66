"""A judge behind a chat server: every odd reply is an outcome that is counted, nothing is asked twice, cost is told."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import JudgeSettings
from data_contracts.config.profiles import load_profile
from data_contracts.errors import ConfigError, EngineError, TransientEngineError
from data_contracts.finish_reason import FinishReason
from data_contracts.handles import PromptHandle
from data_contracts.rows.rows import Rows
from data_contracts.store.artifact_store import Store
from data_contracts.tables.verdicts import JudgeVerdict, ModelAnswer, Order, Outcome
from models.evaluation.benchmarks.prompt_template import builtin_template
from models.evaluation.judging.judging_table import judging_table
from models.evaluation.judging.verdict_arithmetic import summarise_verdicts
from tasks.evaluation.evaluate_by_judge import judge_pairs
from tasks.inputs.resolve_judge import check_judge, resolve_judge_model
from tests.models.evaluation.judging.chat_server import chatting, says

PROMPT = PromptHandle.read("judge", builtin_template("judge"))
Compute, Stored = Callable[..., Any], Callable[..., Any]
ODD = {
    "prose": says("Both are fine answers, I would say."),
    "eleven": says("11/10 9/10\nSplendid."),
    "comma": says("8,7\nThe first is fuller."),
    "nothing": says(""),
    "refusal": says(None, refusal="I cannot judge people."),
    "filtered": says(None, "content_filter"),
    "forbidden": (400, {"error": {"message": "this prompt is not allowed"}}),
}
GOOD = {
    "parts": says([{"type": "text", "text": "8 7\n"}, {"type": "text", "text": "Fuller."}]),
    "cut": says("9 2", "length"),
}


def scripted(body: dict[str, Any]) -> tuple[int, Any]:
    """By the question's name; the judge likes the place it reads first."""
    found = re.search(r"\[Question\]\n(\w+)\?", body["messages"][0]["content"])
    assert found is not None
    return (ODD | GOOD)[found[1]]


def answers(stored: Stored, subject: str, names: list[str]) -> Rows[ModelAnswer]:
    return stored(
        ModelAnswer,
        [
            ModelAnswer(
                answer_id=f"{subject}:{name}", subject=subject, question_id=name, category=None, question=f"{name}?",
                answer=f"{subject} says", tokens=3, finish_reason=FinishReason.END, seed=1,
            )
            for name in names
        ],
    )  # fmt: skip


def settings(url: str, **more: Any) -> JudgeSettings:
    engine = {"kind": "openai", "base_url": url, "request_retries": 0, "concurrency": 3}
    return JudgeSettings.model_validate(
        {"kind": "model", "endpoint": "chat", "model": "critic-1", "engine": engine, "price_per_million_read": 2.0}
        | more
    )


def arguments(stored: Stored, names: list[str], judging: JudgeSettings) -> dict[str, Any]:
    first, second = (answers(stored, subject, names) for subject in ("ppo", "sft"))
    return {
        "subject_a": "ppo", "subject_b": "sft", "answers_a": first, "answers_b": second,
        "judge": resolve_judge_model(judging), "judging": judging, "prompt": PROMPT, "engine": EngineConfig(), "seed": 7,
    }  # fmt: skip


def judged(compute: Compute, stored: Stored, names: list[str], judging: JudgeSettings) -> Any:
    return compute(judge_pairs, **arguments(stored, names, judging))


def test_odd_replies_are_counted_and_never_ties(
    compute: Compute, stored: Stored, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "k-17")
    with chatting(scripted) as (url, requests):
        table = judged(compute, stored, [*ODD, *GOOD], settings(url))
    verdicts: list[JudgeVerdict] = list(table)
    by_name = {(one.question_id, one.order): one for one in verdicts}
    reasons = {name: str(by_name[name, Order.AB].unparsable_because) for name in ODD}
    assert {name for name in ODD if by_name[name, Order.BA].outcome is not Outcome.UNPARSABLE} == set()
    assert "not two scores" in reasons["prose"]
    assert "not from 1 to 10" in reasons["eleven"]
    assert "not two scores" in reasons["comma"]
    assert reasons["nothing"] == "empty reply"
    assert "not two scores" in reasons["refusal"]
    assert by_name["refusal", Order.AB].raw_reply == "I cannot judge people."
    assert "content filter" in reasons["filtered"]
    assert "not allowed" in reasons["forbidden"]
    assert (by_name["parts", Order.AB].score_a, by_name["parts", Order.BA].score_a) == (8, 7)
    found = summarise_verdicts(verdicts)
    assert (found.combined[Outcome.UNPARSABLE], found.combined[Outcome.TIE]) == (len(ODD), len(GOOD))
    assert found.flip_rate is not None
    assert found.flip_rate.value == 1
    assert sum(found.reasons.values()) == 2 * len(ODD)
    assert "7 (6 x the first line is not two scores; 2 x " in str(judging_table({"ppo against sft": found}).rows[0])
    cost = store.cost(table.artifact)
    assert cost is not None
    assert cost.counters["judge_unparsable"] == 2 * len(ODD)
    assert cost.counters["judge_cost"] == pytest.approx(2 * 8 * 900 * 2.0 / 1e6)  # one of nine was refused unread
    assert {request["model"] for request in requests} == {"critic-1"}
    assert {request["key"] for request in requests} == {"Bearer k-17"}
    assert "k-17" not in str(verdicts)


def test_what_came_before_the_server_went_is_not_asked_again(compute: Compute, stored: Stored):
    names, down = [f"q{n}" for n in range(6)], [True]

    def until_the_eighth(body: dict[str, Any]) -> tuple[int, Any]:
        if down[0] and len(asked) >= 8:
            return 503, "overloaded"
        return says("8 7\nFuller.")

    with chatting(until_the_eighth) as (url, requests):
        asked = requests
        judging = settings(url).model_copy(update={"pairs": ("ppo:sft",)})
        given = arguments(stored, names, judging)
        with pytest.raises(TransientEngineError, match="answers 503"):
            compute(judge_pairs, **given)
        came = len(requests)
        down[0] = False
        verdicts = list(compute(judge_pairs, **given))
    messages = [request["messages"][0]["content"] for request in requests]
    assert len(verdicts) == 12
    assert len(set(messages)) == 12
    assert 12 <= len(messages) <= 12 + (came - 7)  # only those that were answered 503 came twice


def test_the_newer_name_of_the_token_limit_is_found_out(compute: Compute, stored: Stored):
    def strict(body: dict[str, Any]) -> tuple[int, Any]:
        if "max_tokens" in body:
            return 400, {"error": {"message": "Unsupported parameter: use 'max_completion_tokens' instead."}}
        return says("8 7\nFuller.")

    with chatting(strict) as (url, requests):
        verdicts = list(judged(compute, stored, ["a", "b"], settings(url)))
    assert {one.outcome for one in verdicts} == {Outcome.WIN, Outcome.LOSS}
    assert {request.get("max_completion_tokens") for request in requests} == {None, 1024}


def test_a_wrong_key_ends_the_step_and_settings_are_checked(compute: Compute, stored: Stored):
    with chatting(lambda body: (401, "who are you?")) as (url, _), pytest.raises(EngineError, match="answers 401"):
        judged(compute, stored, ["a"], settings(url))
    chat = ["evaluation.judge.kind=model", "evaluation.judge.endpoint=chat"]
    with pytest.raises(ConfigError, match="needs the model's name at the server"):
        check_judge(load_profile("smoke", chat))
    with pytest.raises(ConfigError, match=r"'chat' needs evaluation\.judge\.engine"):
        check_judge(load_profile("smoke", [*chat, "evaluation.judge.model=critic-1"]))


@pytest.mark.slow
def test_transformers_serve_judges(compute: Compute, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A real server, from a local folder: a random model, so its replies are nonsense, and are counted as that."""
    from transformers.utils.import_utils import is_serve_available

    from models.engines.serve_engine import free_port, serve_engine
    from tests.models.engines.model_folders import make_model, make_tokenizer, save_folder

    if not is_serve_available():
        pytest.skip("`transformers serve` needs the extra 'serving'")
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    folder = save_folder(tmp_path / "judge", make_model(num_key_value_heads=2, max_position_embeddings=2048), tokenizer)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    url = f"http://127.0.0.1:{free_port()}/v1"
    program = str(Path(sys.executable).with_name("transformers"))
    command = [
        program,
        "serve",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        url[:-3].rsplit(":", 1)[1],
        "--device",
        "cpu",
    ]
    with serve_engine(command, url, tmp_path / "log", start_timeout_s=120):
        verdicts = list(judged(compute, stored, ["a", "b"], settings(url, model=str(folder), reply_tokens=6)))
    assert [one.outcome for one in verdicts] == [Outcome.UNPARSABLE] * 4
    assert all(one.unparsable_because in ("the first line is not two scores", "empty reply") for one in verdicts)
    assert all((one.prompt_tokens or 0) > 50 and 0 < (one.reply_tokens or 0) <= 7 for one in verdicts)
