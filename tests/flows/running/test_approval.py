"""What a person is shown before a run spends. Waiting, resuming and cancelling are in test_serve.py."""

from pathlib import Path

from data_contracts.config.profiles import load_profile
from data_contracts.store.home import PROJECT_ROOT
from flows.running.approval import POLICY_TRAINING, SYNTHETIC_FEEDBACK, describe
from models.run_bill import bill
from tasks.runtime.context import within
from tasks.runtime.phases import Phase, PhaseRange
from tests.flows.command import MINI

CONFIG = load_profile(str(MINI))
BILL = {work.step: work for work in bill(CONFIG)}


def cells(text: str) -> dict[str, list[str]]:
    """The rows of the text's tables, by their first cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows}


def test_the_two_questions_cover_the_bill_once():
    shown = [cells(describe(CONFIG, what, set(), {})) for what in (SYNTHETIC_FEEDBACK, POLICY_TRAINING)]
    assert sorted(name for table in shown for name in table if name in BILL) == sorted(BILL)
    assert set(shown[1]) & set(BILL) == {"self_play", "finetune_policy", "optimize_policy"}


def test_another_algorithm_is_billed_as_policy_training():
    config = load_profile(str(MINI), ["policy.algorithm=dpo"])
    assert "optimize_by_preferences" in cells(describe(config, POLICY_TRAINING, set(), {}))
    assert "optimize_by_preferences" not in cells(describe(config, SYNTHETIC_FEEDBACK, set(), {}))


def test_what_the_store_holds_is_not_in_the_sum():
    found = {"mine_queries", "sample_responses-A"}
    shown = cells(describe(CONFIG, SYNTHETIC_FEEDBACK, found, {}))
    assert all(shown[step] == ["in the store", "", ""] for step in found)
    left = [work for name, work in BILL.items() if name in shown and name not in found]
    tokens, flops, hours = shown["**together**"]
    assert tokens == f"{sum(work.tokens for work in left):,}"
    assert flops == f"{sum(work.flops or 0 for work in left):.1e}"
    assert float(hours) > 0


def test_steps_behind_the_last_one_asked_for_are_not_billed():
    with within(phases=PhaseRange(until=Phase.SFT)):
        shown = cells(describe(CONFIG, POLICY_TRAINING, set(), {"reward.heldout_accuracy": 0.75}))
    assert "finetune_policy" in shown
    assert "optimize_policy" not in shown
    assert shown["The reward model prefers the answer that is assumed better, held-out comparisons"] == ["75.0%"]


def test_a_model_that_is_only_a_name_is_said_to_have_no_size():
    profile = Path(PROJECT_ROOT, "tests/real_weights/profile.yaml")
    config = load_profile(str(profile), [f"models.{role}=someone/some-model" for role in ("large", "policy")])
    text = describe(config, POLICY_TRAINING, set(), {})
    assert cells(text)["finetune_policy"][1:] == ["unknown", ""]
    assert "only names on the Hub" in text
