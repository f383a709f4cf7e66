"""Every metric has a title in words: those of a whole run, those of evaluations, and those of a study."""

import re

import pytest

from models.evaluation.benchmarks.catalogue import BENCHMARKS
from tasks.reporting.metric_rows import metric_rows
from tasks.reporting.metric_titles import METRICS, metric_of, shown_metric

# What a run of tests/flows/mini.yaml, one of profile smoke, and `almost evaluate` record, without .low, .high and .n.
JUDGED = ("win", "tie", "loss", "unparsable", "win_rate", "length_controlled_win_rate", "flip_rate")
CARD = (
    "flag.collapsed", "flag.length_bias", "accuracy", "longer_wins", "matched", "matched_longer_wins", "chooses_longer",
    "axis.several", "axis.shots", "axis.size", "axis.demonstrations", "ece", "brier", "temperature",
)  # fmt: skip
RECORDED = [
    "queries.kept", "queries.acceptance", "queries.rejected.too_long", "queries.rejected.evaluation_overlap",
    "queries.rejected.duplicate", "contamination.texts", "contamination.queries_checked", "contamination.overlapping",
    "contamination.in_use", "comparisons.all", "comparisons.kept", "comparisons.gold_agreement.all",
    "comparisons.gold_agreement.heuristic", "comparisons.gold_agreement.kept",
    *(f"{model}.{name}" for model in ("as_is", "reward") for name in ("heldout_pairs", "heldout_accuracy", "longer_wins_accuracy")),
    "demonstrations.usable",
    *(f"{name}.{end}" for name in ("ppo", "rloo", "grpo") for end in ("score.first", "score.last", "kl.last")),
    *(f"reward_card.{name}{subject}" for name in CARD for subject in ("", ".my-rm-1.1")),
    "reward_card.ensemble_members", "reward_card.ensemble_spread", "reward_card.ensemble_split_pairs",
    "reward_card.ensemble_accuracy_2", "reward_card.ensemble_likelihood_weight_2",
    *(f"judge.ppo_against_{other}.{name}" for other in ("sft", "base") for name in JUDGED),
    *(f"failures.{name}.{who}" for name in ("empty", "repetitive", "unfinished", "off_topic") for who in ("ppo", "base")),
    "gold_responses.A", "gold_questions.base", "gold_questions.ppo", "gold_demonstrations.chosen",
    "gold_demonstrations.candidates",
    *(f"reward_gold_pairs{group}.reward" for group in ("", ".clear", ".slight")),
    *(f"longer_gold_pairs{group}.longer_wins" for group in ("", ".clear", ".slight")),
    "static_hhh.helpful.reward", "static_hhh.llama-3.1", "mmlu.social_sciences.sft", "mmlu_5shot.STEM.my.model",
    "mmlu_5shot.sft", "lambada.sft", "lambada.sft.skipped", "tax.mmlu.sft", "tax.mmlu_5shot.sft", "tax.lambada.ppo",
    "preferences:test.jsonl.gz.longer_wins", "preferences:test.jsonl.gz.multi-turn.my-rm-1.1",
]  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
def test_every_metric_has_a_title_of_words(name: str):
    metric = metric_of(name)
    assert metric is not None, f"declare {name} in tasks/reporting/metric_titles.py"
    words = re.sub(r"llama-3\.1|my-rm-1\.1|my\.model|test\.jsonl\.gz|A/B|\.05", "", metric.title)
    assert "_" not in words, metric.title
    assert not re.search(r"\w\.\w", words), f"a dotted name: {metric.title}"
    assert "{" not in metric.title
    assert not metric.title[0].islower() or metric.title.startswith("my")


def test_titles_tell_the_metrics_apart():
    titles = [metric_of(name) for name in RECORDED]
    assert len({metric.title for metric in titles if metric}) == len(RECORDED)


def test_every_benchmark_has_figures_with_titles():
    for name, benchmark in BENCHMARKS.items():
        for group in {group for _, group in benchmark.paper.columns} - {"all"}:
            metric = metric_of(f"{name}.{group.replace(' ', '_')}.sft")
            assert metric is not None
            assert metric.title == f"{benchmark.title}, {group}: accuracy of the SFT model"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("reward_gold_pairs.clear.reward", "The reward model agrees with the tiny world's judge, answers at least .05 apart"),
        ("judge.ppo_against_sft.win_rate", "Win rate of the PPO model against the SFT model, a tie counts half (A/B test)"),
        ("mmlu_5shot.social_sciences.my.model", "5-shot MMLU, social sciences: accuracy of my.model"),
        ("mmlu.sft.skipped", "MMLU: accuracy of the SFT model (items that could not be asked)"),
        ("queries.rejected.bad_word", "Generated queries turned away: with a forbidden word"),
        ("reward_card.flag.length_bias.my-rm-1.1", "my-rm-1.1 is flagged for length bias: it prefers longer answers"),
        ("size: large - mid (3 shots)|", "Difference, size: large - mid (3 shots)"),
        ("data: RMSP - self-play|as-is veto", "Difference, data: RMSP - self-play; as-is veto"),
        ("sigmoid_norm.kl.last", "KL divergence of the policy from its start in length-normalised DPO training, last tenth of the steps"),
    ],
)  # fmt: skip
def test_titles_by_hand(name: str, title: str):
    assert shown_metric(name).title == title


def test_a_metric_that_nobody_declared_is_shown_in_the_words_of_its_name():
    assert metric_of("my_plugin.odd_rate") is None
    (row,) = metric_rows({"my_plugin.odd_rate": 1.5})
    assert row.sentence() == "My plugin, odd rate: 1.500"


def test_patterns_are_declared_once():
    patterns = [metric.pattern for metric in METRICS]
    assert len(set(patterns)) == len(patterns)
