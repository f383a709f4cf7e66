"""DPO as a job: TRL's loss on our own tokens against the formula worked out from two models' log-probabilities."""

import math
from pathlib import Path

import pytest
import torch

from data_contracts.config.dpo import PreferenceLoss
from data_contracts.errors import EmptyResultError
from data_contracts.specs.job_spec import MANIFEST_NAME, JobManifest
from data_contracts.tables.preference_pairs import PreferencePair
from data_contracts.tables.reward_scores import PairSplit
from data_contracts.tables.training_log import TrainingLogEntry
from models.jobs.optimize_by_preferences import JOB, columns, evaluated_rows, heldout_metrics
from models.lm.chat_template import prepare_tokenizer, response_turn
from models.reward.preference_pairs import pairs_of
from models.training.tokenized_pairs import tokenize_pairs
from tests.models.jobs.forked_jobs import ForkedJobs
from tests.models.jobs.training_inputs import preference_spec


def log_ratios(policy: Path, reference: Path, pairs: list[PreferencePair], chosen: bool) -> list[tuple[float, int]]:
    """log pi(y|x) - log rho(y|x) and the number of the answer's tokens, from plain forward passes of one row each."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(policy)
    prepare_tokenizer(tokenizer)
    models = [AutoModelForCausalLM.from_pretrained(folder) for folder in (policy, reference)]
    found = []
    for pair in pairs:
        turn = response_turn(tokenizer, pair.context, pair.chosen if chosen else pair.rejected)
        sums = []
        for model in models:
            with torch.no_grad():
                scores = torch.log_softmax(model(input_ids=torch.tensor([turn.ids])).logits[0], dim=-1)
            first = len(turn.prompt_ids) - 1
            sums.append(sum(float(scores[first + t, token]) for t, token in enumerate(turn.response_ids)))
        found.append((sums[0] - sums[1], len(turn.response_ids)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("loss", PreferenceLoss)
def test_run_moves_the_margin_and_heldout_loss_is_the_formulas(
    loss: PreferenceLoss, forked_jobs: ForkedJobs, tiny_llama_dir: Path, tmp_path: Path
) -> None:
    beta = 0.5 if loss is PreferenceLoss.SIGMOID else 5.0
    spec = preference_spec(tmp_path, tiny_llama_dir, loss, beta=beta)
    forked_jobs.run(JOB, spec)
    manifest = JobManifest.model_validate_json((spec.output_dir / MANIFEST_NAME).read_bytes())
    assert manifest.metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-5), "policy and reference are the same"
    log = TrainingLogEntry.read_files([spec.output_dir / "training_log.parquet"])
    margins = {entry.step: entry.value for entry in log if entry.metric == "rewards/margins"}
    assert margins[1] == pytest.approx(0.0, abs=1e-5)
    assert margins[6] > 0.5

    pairs = list(pairs_of(PairSplit.HELDOUT, spec.pairs))
    sides = [log_ratios(spec.output_dir / "model", tiny_llama_dir, pairs, chosen) for chosen in (True, False)]
    losses, differences = [], []
    for (up, up_tokens), (down, down_tokens) in zip(*sides, strict=True):
        differences.append(up - down)
        if loss is PreferenceLoss.SIGMOID_NORM:
            up, down = up / up_tokens, down / down_tokens
        losses.append(math.log1p(math.exp(-beta * (up - down))))
    assert manifest.metrics["heldout_pairs"] == 6
    assert manifest.metrics["heldout_loss"] == pytest.approx(sum(losses) / 6, rel=1e-4)
    assert manifest.metrics["heldout_margin"] == pytest.approx(beta * sum(differences) / 6, rel=1e-4)
    assert manifest.metrics["heldout_accuracy"] == pytest.approx(sum(d > 0 for d in differences) / 6)
    assert manifest.metrics["heldout_margin"] > 0.5, "what it learnt holds for queries it has not seen"


def test_pairs_are_cut_where_the_answers_begin(tiny_llama_dir: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama_dir)
    prepare_tokenizer(tokenizer)
    spec = preference_spec(tmp_path, tiny_llama_dir, PreferenceLoss.SIGMOID)
    pairs = tokenize_pairs(pairs_of(PairSplit.TRAIN, spec.pairs), tokenizer, spec.max_length)
    assert (pairs.count.rows, len(pairs.pair_ids)) == (21, 21)
    read = columns(pairs)
    assert tokenizer.decode(read["prompt_ids"][1]) == "<s>Human: What pet does Tovik have? 1\n\nAssistant:"
    assert tokenizer.decode(read["chosen_ids"][1]) == " Tovik has pet owl, and more .</s>"
    assert tokenizer.decode(read["rejected_ids"][1]) == " I do not know.</s>"
    longer = max(len(read["chosen_ids"][1]), len(read["rejected_ids"][1]))
    assert pairs.lengths()[1] == len(read["prompt_ids"][1]) + longer


def test_heldout_rows_fill_equal_batches() -> None:
    assert [evaluated_rows(rows, 2) for rows in (0, 1, 2, 7)] == [0, 0, 2, 6]
    assert heldout_metrics({}, 0) == {"heldout_pairs": 0.0}
    found = {"eval_loss": 0.5, "eval_rewards/accuracies": 1.0, "eval_rewards/margins": 2.0, "eval_runtime": 9.0}
    assert heldout_metrics(found, 4) == {
        "heldout_pairs": 4.0, "heldout_loss": 0.5, "heldout_accuracy": 1.0, "heldout_margin": 2.0,
    }  # fmt: skip


def test_no_pair_that_fits_is_an_empty_result(tiny_llama_dir: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama_dir)
    prepare_tokenizer(tokenizer)
    spec = preference_spec(tmp_path, tiny_llama_dir, PreferenceLoss.SIGMOID, max_length=8)
    pairs = tokenize_pairs(pairs_of(PairSplit.TRAIN, spec.pairs), tokenizer, spec.max_length)
    with pytest.raises(EmptyResultError, match="21 of split 'train' read, 21 longer than max_length 8"):
        pairs.require_pairs(JOB, spec.max_length)
