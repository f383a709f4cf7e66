"""A small finished run in a store, made by hand: two queries, two responders, a demonstration, rollouts, a log."""

from dataclasses import dataclass
from typing import Any

from data_contracts.conversation import Role, Turn
from data_contracts.finish_reason import FinishReason
from data_contracts.rows.row import Row
from data_contracts.rows.rows import rows_of
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.manifest import Parent, Provenance
from data_contracts.tables.comparisons import Comparison, DropReason, FilterVerdict
from data_contracts.tables.demonstrations import Candidate, Demonstration, QuerySplit
from data_contracts.tables.queries import Query, RejectedQuery
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from data_contracts.tables.rollouts import Rollout
from data_contracts.tables.training_log import TrainingLogEntry, training_log_entries
from tasks.reporting.run_summary import RUNS, RunSummary
from tasks.runtime.run_record import StepRecord

RUN_ID = "20260101-000000-test-abcd"
HOSTILE = "A\x1b[31mred\x07 [bold]x[/bold] \u202eevil\n\nsecond"


def query(query_id: str, text: str) -> Query:
    return Query(
        query_id=query_id, query=text, attempt=0, seed=1, nearest_query_id=None, nearest_rouge_l=None,
        decontamination_checked=True, evaluation_overlap=None,
    )  # fmt: skip


def response(query_id: str, rank: int, text: str) -> Response:
    return Response(
        response_id=f"{query_id}-{'AB'[rank - 1]}", query_id=query_id, query=f"question {query_id}",
        responder="AB"[rank - 1], responder_rank=rank, model="tiny:large", prompt_set="hhh", shots=3, response=text,
        prompt_tokens=5, tokens=3, finish_reason=FinishReason.STOP, logprob=-1.0, seed=1,
    )  # fmt: skip


def comparison(query_id: str, kept: bool) -> Comparison:
    return Comparison(
        comparison_id=f"{query_id}-A-B", query_id=query_id, query=f"question {query_id}",
        chosen_response_id=f"{query_id}-A", rejected_response_id=f"{query_id}-B", chosen="good", rejected="bad",
        chosen_responder="A", rejected_responder="B", chosen_rank=1, rejected_rank=2,
        verdict_words=FilterVerdict.KEEP, verdict_length=FilterVerdict.KEEP if kept else FilterVerdict.DROP,
        verdict_pairing=FilterVerdict.KEEP, dropped_because=None if kept else DropReason.SHORT_CHOSEN,
        evidence=None if kept else "3 <= 9.5",
    )  # fmt: skip


def demonstration() -> Demonstration:
    more: dict[str, Any] = {"tokens": 2, "finish_reason": FinishReason.STOP, "seed": 1}
    return Demonstration(
        demonstration_id="q1-t1", query_id="q1", turn=1, split=QuerySplit.SEEN,
        context=(Turn(Role.HUMAN, "Who is Mira?"),), response="A smith.", score=0.5,
        candidates=(Candidate(text="", score=None, **more), Candidate(text="A smith.", score=0.5, **more)),
        chosen_candidate=1, usable=True,
    )  # fmt: skip


def rollout(number: int, prompt_id: str, text: str, step: int = 1) -> Rollout:
    return Rollout(
        rollout_id=f"{step}-{number}", step=step, prompt_id=prompt_id, query_id=prompt_id.split("-")[0],
        split=QuerySplit.SEEN, prompt="Human: Who is Mira?", response=text, tokens=3, finish_reason=FinishReason.END,
        score=0.25, kl=0.5, reward=0.2, logprob=-1.0,
    )  # fmt: skip


def score(pair_id: str) -> RewardScore:
    return RewardScore(
        pair_id=pair_id, query_id=pair_id[:2], split=PairSplit.HELDOUT, chosen_score=0.5, rejected_score=-0.25,
        chosen_chars=4, rejected_chars=3,
    )  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A table of the run: its rows, its key, and the keys of its inputs."""

    row: type[Row]
    key: str
    rows: list[Any]
    inputs: str = ""


LOG = [(1, {"loss": 0.7, "accuracy": 0.5}), (2, {"loss": 0.5, "accuracy": 0.75})]
FEEDBACK = [
    Made(Query, "k", [query("q1", HOSTILE), query("q2", "Plain?")]),
    Made(RejectedQuery, "k", []),
    Made(Response, "r", [response(q, rank, f"answer {q}{rank}") for q in ("q1", "q2") for rank in (1, 2)], "k"),
    Made(Comparison, "c", [comparison("q1", kept=False), comparison("q2", kept=True)], "r"),
    Made(Demonstration, "d", [demonstration()], "k"),
]
POLICY = [
    Made(Response, "x", [response("q1", 1, "of another variant")], "k"),
    Made(RewardScore, "s", [score("q2-A-B")], "c"),
    Made(TrainingLogEntry, "s", training_log_entries(LOG), "c"),
    Made(Rollout, "p", [rollout(0, "q1-t1", "A smith."), rollout(1, "q2-t1", "No.")], "dc"),
]


def parent(made: Artifact, moved: bool) -> Parent:
    """An input; `moved`: it was in another folder when the manifest was written, with the same content."""
    path = f"{made.contract}/{'o' * 32}" if moved else made.path
    return Parent(argument=made.contract.split("@")[0], identity=str(made.key_identity()), path=path)


def make_run(home: str, policy: bool = False) -> Store:
    """Store a run; with `policy` also another variant's responses, a reward model's scores and log, and rollouts."""
    store, steps, made = Store(home), [], dict[str, Artifact]()
    for table in FEEDBACK + (POLICY if policy else []):
        parents = tuple(parent(made[key], moved=table.row is Demonstration) for key in table.inputs)
        provenance = Provenance(step="test", step_version="1", code="none", parents=parents)
        artifact = store.commit_rows(table.key * 32, rows_of(table.row, table.rows), provenance).artifact
        made.setdefault(table.key, artifact)
        steps.append(
            StepRecord(
                label=table.row.table,
                step=table.row.table,
                rows=artifact.rows,
                artifact=artifact.path,
                artifacts={artifact.path: artifact.rows},
                seconds=1.5,
                startup_s=0.5,
                working_s=1.0,
                wall_s=2.0,
                cached=table.row is Response,
            )
        )
    summary = RunSummary(
        run_id=RUN_ID,
        status="finished",
        profile="test",
        home=home,
        flow_run_id=None,
        started_at="2026-01-01T00:00:00+00:00",
        wall_s=10.0,
        process_startup_s=None,
        startup_s=1.0,
        working_s=2.0,
        orchestration_s=0.1,
        seed=7,
        seeds={"data": 7},
        steps=steps,
        metrics={"reward.heldout_accuracy": 0.75},
        config={"mining": {"queries": 2}},
    )
    store.backend.put_bytes(f"{RUNS}/{RUN_ID}/summary.json", summary.model_dump_json().encode())
    return store
