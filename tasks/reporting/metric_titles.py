"""Every metric of a run or an evaluation, declared once: what a person reads instead of its dotted name.

summary.json keeps the names. The first pattern that matches a name counts; placeholders: `metric.py`.
"""

from functools import cache

from tasks.reporting.metric import Metric, Shown
from tasks.reporting.words import code_in_words

FEEDBACK = (
    Metric("queries.kept", "Mined queries that were kept", Shown.COUNT),
    Metric("queries.acceptance", "Share of the generated queries that were kept", Shown.SHARE),
    Metric("queries.rejected.{rejection}", "Generated queries turned away: {rejection}", Shown.COUNT),
    Metric("contamination.texts", "Evaluation texts that the queries were compared with", Shown.COUNT),
    Metric("contamination.queries_checked", "Queries that were compared with the evaluation texts", Shown.COUNT),
    Metric("contamination.overlapping", "Queries that overlap an evaluation text", Shown.COUNT),
    Metric("contamination.in_use", "Queries in use although they overlap an evaluation text", Shown.COUNT),
    Metric("comparisons.all", "Comparisons before any filter", Shown.COUNT),
    Metric("comparisons.kept", "Comparisons that every filter kept", Shown.COUNT),
    Metric(
        "comparisons.gold_agreement.{filtered}",
        "The tiny world's judge agrees with the assumed order of the answers, {filtered}",
        Shown.SHARE,
    ),
    Metric("as_is.heldout_pairs", "Community answer pairs held out of the as-is reward model's training", Shown.COUNT),
    Metric(
        "as_is.heldout_accuracy",
        "The as-is reward model prefers the answer that the community preferred, held-out pairs",
        Shown.SHARE,
    ),
    Metric(
        "as_is.longer_wins_accuracy",
        "The answer that the community preferred is the longer one, held-out pairs",
        Shown.SHARE,
    ),
    Metric("reward.heldout_pairs", "Comparisons held out of the reward model's training", Shown.COUNT),
    Metric(
        "reward.heldout_accuracy",
        "The reward model prefers the answer that is assumed better, held-out comparisons",
        Shown.SHARE,
    ),
    Metric(
        "reward.longer_wins_accuracy",
        "The answer that is assumed better is the longer one, held-out comparisons",
        Shown.SHARE,
    ),
)
POLICY = (
    Metric("demonstrations.usable", "Demonstrations whose answer has any text", Shown.COUNT),
    Metric(
        "{algorithm}.score.first",
        "Mean reward-model score (log-odds) of the answers in {algorithm} training, first tenth of the steps",
        Shown.NUMBER,
    ),
    Metric(
        "{algorithm}.score.last",
        "Mean reward-model score (log-odds) of the answers in {algorithm} training, last tenth of the steps",
        Shown.NUMBER,
    ),
    Metric(
        "{algorithm}.kl.last",
        "KL divergence of the policy from its start in {algorithm} training, last tenth of the steps",
        Shown.NUMBER,
        "nats per answer",
    ),
)
_CARD = (  # {model}, {pairs} and {scored} are filled in by _card
    ("accuracy", "{model} prefers the better answer, {pairs}, mean over queries", Shown.SHARE),
    ("longer_wins", "The better answer is the longer one, {pairs}{scored}, mean over queries", Shown.SHARE),
    ("matched", "{model} prefers the better answer, {pairs} of like length", Shown.SHARE),
    ("matched_longer_wins", "The better answer is the longer one, {pairs}{scored} of like length", Shown.SHARE),
    ("chooses_longer", "{model} prefers the longer answer, {pairs}", Shown.SHARE),
    ("axis.{axis}", "{model} prefers the better answer, {pairs} of {axis}", Shown.SHARE),
    ("ece", "Calibration error of the win probabilities that {model} gives, {pairs}", Shown.POINTS),
    ("brier", "Brier score (0 is best) of the win probabilities that {model} gives, {pairs}", Shown.NUMBER),
    ("temperature", "Temperature that would calibrate {model} (1: it is calibrated), {pairs}", Shown.NUMBER),
    ("flag.collapsed", "{model} is flagged as collapsed: it scores nearly all answers alike", Shown.FLAG),
    ("flag.length_bias", "{model} is flagged for length bias: it prefers longer answers", Shown.FLAG),
)


def _card(ending: str, model: str, pairs: str, scored: str = "") -> tuple[Metric, ...]:
    words = {"{model}": model, "{pairs}": pairs, "{scored}": scored}
    metrics = []
    for name, title, shown in _CARD:
        for placeholder, text in words.items():
            title = title.replace(placeholder, text)
        metrics.append(Metric(f"reward_card.{name}{ending}", title, shown))
    return tuple(metrics)


REWARD_CARD = (
    *_card("", "the reward model", "held-out comparisons"),
    Metric("reward_card.ensemble_members", "Reward models in the ensemble", Shown.COUNT),
    Metric("reward_card.ensemble_spread", "Spread of the scores that the ensemble's members give", Shown.NUMBER),
    Metric("reward_card.ensemble_split_pairs", "Held-out comparisons that split the ensemble's members", Shown.SHARE),
    Metric(
        "reward_card.ensemble_accuracy_{member}",
        "Ensemble member {member} prefers the answer that is assumed better, held-out comparisons",
        Shown.SHARE,
    ),
    Metric(
        "reward_card.ensemble_likelihood_weight_{member}",
        "Weight of the likelihood feature in ensemble member {member}",
        Shown.NUMBER,
    ),
    *_card(".{subject}", "{subject}", "preference pairs", " of {subject}"),
)
JUDGING = tuple(
    Metric(f"judge.{{first}}_against_{{second}}.{name}", f"{title} (A/B test)", shown)
    for name, title, shown in (
        ("win", "Questions that {first} wins against {second}", Shown.COUNT),
        ("tie", "Questions with a tie of {first} and {second}", Shown.COUNT),
        ("loss", "Questions that {first} loses against {second}", Shown.COUNT),
        ("unparsable", "Questions without a readable verdict on {first} against {second}", Shown.COUNT),
        ("win_rate", "Win rate of {first} against {second}, a tie counts half", Shown.SHARE),
        ("length_controlled_win_rate", "Win rate of {first} against {second} at equal answer length", Shown.SHARE),
        (
            "flip_rate",
            "Questions on which the winner between {first} and {second} changes with the reading order",
            Shown.SHARE,
        ),
    )
)
TINY_WORLD = (
    Metric(
        "gold_responses.{subject}", "Mean score by the tiny world's judge, answers of responder {subject}", Shown.SHARE
    ),
    Metric(
        "gold_questions.{subject}",
        "Mean score by the tiny world's judge, answers of {subject} to test questions",
        Shown.SHARE,
    ),
    Metric("gold_demonstrations.chosen", "Mean score by the tiny world's judge, chosen self-play answers", Shown.SHARE),
    Metric(
        "gold_demonstrations.candidates",
        "Mean score by the tiny world's judge, all candidates of self-play",
        Shown.SHARE,
    ),
    Metric("reward_gold_pairs.{apart}.{subject}", "{subject} agrees with the tiny world's judge, {apart}", Shown.SHARE),
    Metric(
        "reward_gold_pairs.{subject}", "{subject} agrees with the tiny world's judge, all answer pairs", Shown.SHARE
    ),
    Metric(
        "longer_gold_pairs.{apart}.longer_wins",
        "The tiny world's judge prefers the longer answer, {apart}",
        Shown.SHARE,
    ),
    Metric(
        "longer_gold_pairs.longer_wins",
        "The tiny world's judge prefers the longer answer, all answer pairs",
        Shown.SHARE,
    ),
)
_PAIRS = "Preference pairs of {file}"
BENCHMARKS = (
    Metric("tax.{benchmark}.{subject}", "Accuracy that {subject} lost against its base, {benchmark}", Shown.POINTS),
    Metric(
        "tax.{benchmark}_{shots}shot.{subject}",
        "Accuracy that {subject} lost against its base, {shots}-shot {benchmark}",
        Shown.POINTS,
    ),
    *(
        Metric(f"{name}.{ending}", f"{title}: accuracy of {{subject}}", Shown.SHARE)
        for name, kind in (("{benchmark}", "{benchmark}"), ("{benchmark}_{shots}shot", "{shots}-shot {benchmark}"))
        for ending, title in (("{group}.{subject}", f"{kind}, {{group}}"), ("{subject}", kind))
    ),
    Metric(
        "preferences:{file}.{turns}.longer_wins",
        f"{_PAIRS}, {{turns}}: the better answer is the longer one",
        Shown.SHARE,
    ),
    Metric("preferences:{file}.longer_wins", f"{_PAIRS}: the better answer is the longer one", Shown.SHARE),
    Metric(
        "preferences:{file}.{turns}.{subject}",
        f"{_PAIRS}, {{turns}}: {{subject}} prefers the better answer",
        Shown.SHARE,
    ),
    Metric("preferences:{file}.{subject}", f"{_PAIRS}: {{subject}} prefers the better answer", Shown.SHARE),
)
METRICS = (
    *FEEDBACK,
    *POLICY,
    *REWARD_CARD,
    *JUDGING,
    Metric("failures.{failure}.{subject}", "{failure} answers of {subject}", Shown.SHARE),
    *TINY_WORLD,
    *BENCHMARKS,
)
SKIPPED = ".skipped"  # of an evaluation's name: items that could not be asked


@cache
def metric_of(name: str) -> Metric | None:
    """The metric behind a dotted name, its title filled in; None when no pattern declares it."""
    if name.endswith(SKIPPED):
        whole = metric_of(name.removesuffix(SKIPPED))
        return whole and Metric(name, f"{whole.title} (items that could not be asked)", Shown.COUNT)
    if "|" in name:  # an effect of a study, by its question and arm
        effect, _, arm = name.partition("|")
        return Metric(name, f"Difference, {effect}" + (f"; {arm}" if arm else ""), Shown.NUMBER)
    return next((named for metric in METRICS if (named := metric.named(name))), None)


def shown_metric(name: str) -> Metric:
    """As `metric_of`; a metric that nobody declared is shown by the words of its name."""
    words = code_in_words(name.replace(".", ", "))
    return metric_of(name) or Metric(name, words[:1].upper() + words[1:], Shown.NUMBER)
