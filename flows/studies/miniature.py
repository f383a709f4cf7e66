"""The paper's effects, measured in the tiny world for one set of seeds (`almost results`).

Every step is one of the paper's own; what the flow adds is the arms: with and without the as-is veto, RM-guided and
plain self-play, the reward model with and without the likelihood feature, PPO's controls, and a second world in which
length carries no signal. All answers are to questions of the test split.
"""

from dataclasses import replace
from typing import Any

from prefect import flow
from pydantic import ValidationError

from data_contracts.config.policy.rewards import ScoreNormalization, ScoreSource
from data_contracts.config.profiles import load_profile
from data_contracts.config.responders import Responder
from data_contracts.config.reward import LikelihoodFeature
from data_contracts.config.run_config import RunConfig
from data_contracts.config.section import explain_invalid
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import PolicyCheckpoint, RewardCheckpoint
from data_contracts.rows.rows import Rows
from data_contracts.store.stored import Folder
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.effects import Effect
from data_contracts.tables.evaluations import LONGER_WINS
from flows.ingredients import Ingredients, prepare_ingredients
from flows.running.open_run import open_run
from flows.running.prompt_ending import ending_promptly
from flows.studies.study import Study, all_of
from flows.synthetic_feedback import SyntheticFeedback, learn_reward, synthetic_feedback
from flows.train_policy import fine_tune, optimize, play_with_reward_model
from tasks.reporting.summarise_metrics import effect_metrics
from tasks.runtime.loaded_models import as_model
from tasks.tiny_world.judge_by_gold import judge_demonstrations_by_gold, judge_responses_by_gold
from tasks.tiny_world.measure_effects import judge_comparisons_by_gold, measure_effects
from tasks.tiny_world.score_gold_pairs import CLEAR

VETO, NO_VETO = "as-is veto", "no as-is veto"
SECOND_WORLD = "length carries no signal"


@flow(name="miniature-study", flow_run_name="seed-{seed}")
def measure_seed(profile: str, seed: int, overrides: list[str], home: str | None = None) -> Rows[Effect]:
    """Measure all effects with every seed of the profile set to `seed`."""
    seeds = [f"seeds.{name}={seed}" for name in ("world", "ladder", "data", "train", "eval")]
    config = load_profile(profile, [*seeds, *overrides])
    _bounded(config)  # the last arms; a profile that they cannot run with is refused before anything is computed
    with ending_promptly(), open_run(config, home, None, None) as run:
        study = Study(config)
        given = prepare_ingredients(config)
        study_responders(study, given)
        feedback = study_feedback(study, given, "")
        study_policies(study, given, feedback)
        study_second_world(study)
        effects = measure_effects(questions=study.questions, tables=study.tables, seed=seed)
        run.record.add_metrics(effect_metrics(effects))
    return effects


def study_responders(study: Study, given: Ingredients) -> None:
    """The rule of thumb: size, demonstrations, shots."""
    best, *_, worst = study.config.responders
    study.answer_as(given, study.config.responders)
    known = {(r.model, r.prompt, r.shots): r.name for r in study.config.responders}

    def subject(model: str, prompt: str, shots: int) -> tuple[str, str]:
        name = known.get((model, prompt, shots))
        if name is None:
            name = known[model, prompt, shots] = f"{model}-{prompt}-{shots}"
            study.answer_as(given, [Responder(name=name, model=model, prompt=prompt, shots=shots)])
        return all_of(name)

    study.ask("best - worst responder", "", all_of(best.name), all_of(worst.name))
    for prompt, quality in (("faithful", "good"), ("hhh", "average")):
        sizes = {model: subject(model, prompt, 3) for model in ("large", "mid", "small")}
        study.ask("size: large - mid (3 shots)", f"{quality} demonstrations", sizes["large"], sizes["mid"])
        study.ask("size: mid - small (3 shots)", f"{quality} demonstrations", sizes["mid"], sizes["small"])
    good, average = (subject("large", prompt, 3) for prompt in ("faithful", "hhh"))
    study.ask("demonstrations: good - average (large, 3 shots)", "", good, average)
    shots = subject("large", "hhh", 5), subject("large", "hhh", 1)
    study.ask("shots: 5 - 1 (large, average)", "", *shots)
    study.ask("shots: 3 - 0 (small, average)", "", subject("small", "hhh", 3), subject("small", "hhh", 0))


def study_feedback(study: Study, given: Ingredients, world: str) -> dict[str, SyntheticFeedback]:
    """The filter and the reward model, with and without the veto; `world` is empty for the first one."""
    assert study.config.world is not None
    feedback = {}
    for arm in (VETO, NO_VETO):
        config, start = study.config, given
        if arm is NO_VETO:
            config = config.model_copy(update={"as_is": config.as_is.model_copy(update={"enabled": False})})
            start = replace(given, community_answers=None)
        made = feedback[arm] = synthetic_feedback(config, start)
        gold = judge_responses_by_gold(
            responses=made.responses, world=study.config.world, world_seed=study.config.seeds.world
        )
        name = f"{world}{', ' if world else ''}{arm}"
        agreement = f"agreement ({name})"
        study.tables[agreement] = judge_comparisons_by_gold(comparisons=made.comparisons, gold=gold)
        study.ask("filter: agreement with gold, kept - all", name, (agreement, "kept"), (agreement, "all"))
        tables = study.pair_accuracy(given, name, made.reward.checkpoint)
        as_is = study.pair_accuracy(given, f"as-is, {name}", made.as_is.checkpoint) if made.as_is else {}
        for where, table in tables.items():
            arm = f"{where}; {name}"
            own, longer = (table, "reward"), (table, LONGER_WINS)
            study.ask("reward model - longer wins (pair accuracy)", arm, own, longer)
            study.ask("reward model - longer wins (pairs with gold .05 apart or more)", arm, own, longer, CLEAR)
            if as_is:
                other = (as_is[where], "reward")
                study.ask("reward model - as-is reward model (pair accuracy)", arm, own, other)
    return feedback


def study_policies(study: Study, given: Ingredients, feedback: dict[str, SyntheticFeedback]) -> None:
    """Self-play, SFT and PPO."""
    queries, config = feedback[VETO].mined.queries, study.config
    plain_play = config.model_copy(update={"self_play": config.self_play.model_copy(update={"candidates": 1})})
    self_play = play_with_reward_model(plain_play, given, queries, feedback[VETO].reward.checkpoint)
    demonstrate(study, "self-play", self_play)
    study.answer(given, "SFT on self-play", as_model("sft", fine_tune(config, given, self_play).checkpoint))
    study.answer(given, "policy base", given.models["policy"])
    for arm, made in feedback.items():
        data, sft = guided(study, given, f"RMSP ({arm})", made, made.reward.checkpoint)
        study.ask("data: RMSP - self-play", arm, (f"RMSP ({arm})", "chosen"), ("self-play", "chosen"))
        study.ask("data: chosen - its candidates", arm, (f"RMSP ({arm})", "chosen"), (f"RMSP ({arm})", "candidates"))
        tuned = f"SFT on RMSP ({arm})"
        study.ask("SFT: on RMSP - on self-play", arm, all_of(tuned), all_of("SFT on self-play"))
        study.ask("SFT on RMSP - its base", arm, all_of(tuned), all_of("policy base"))
        if arm is VETO:
            ppo = optimize(config, data, sft, made.reward.checkpoint).checkpoint
            study.answer(given, "PPO, plain", as_model("ppo", ppo))
            study.ask("PPO - its SFT start", "plain reward model, as published", all_of("PPO, plain"), all_of(tuned))
    study_likelihood(study, given, feedback[VETO])


def study_likelihood(study: Study, given: Ingredients, feedback: SyntheticFeedback) -> None:
    """The likelihood feature and the bounded advantage, with their controls; all from the same SFT model."""
    rewards = {
        kind: learn_reward(_with(study.config, "reward", likelihood=kind), given, feedback.comparisons).checkpoint
        for kind in (LikelihoodFeature.ADDED, LikelihoodFeature.ALONE)
    }
    plain = study.pair_accuracy(given, VETO, feedback.reward.checkpoint)
    for kind, checkpoint in rewards.items():
        for where, table in study.pair_accuracy(given, f"likelihood {kind}", checkpoint).items():
            first, second = (table, "reward"), (plain[where], "reward")
            study.ask("reward model with likelihood - plain (pair accuracy)", f"{where}; {kind}", first, second)
    start = "RMSP (likelihood)"
    data, sft = guided(study, given, start, feedback, rewards[LikelihoodFeature.ADDED])
    study.ask("data: RMSP - self-play", "likelihood added", (start, "chosen"), ("self-play", "chosen"))
    bounded = _bounded(study.config)
    judged = _with(bounded, "policy", score_source=ScoreSource.GOLD_JUDGE)
    arms = {
        "likelihood added, bounded advantage": (bounded, rewards[LikelihoodFeature.ADDED]),
        "control: plain reward model, bounded advantage": (bounded, feedback.reward.checkpoint),
        "control: likelihood alone, bounded advantage": (bounded, rewards[LikelihoodFeature.ALONE]),
        "ceiling: the judge as reward, bounded advantage": (judged, feedback.reward.checkpoint),
    }
    for arm, (config, reward) in arms.items():
        subject = f"PPO, {arm}"
        study.answer(given, subject, as_model("ppo", optimize(config, data, sft, reward).checkpoint))
        study.ask("PPO - its SFT start", arm, all_of(subject), all_of(f"SFT on {start}"))


def study_second_world(study: Study) -> None:
    """Responders, filter and reward model again where length carries no signal."""
    config = _with(study.config, "world", length_carries_signal=False)
    other = Study(config)
    given = prepare_ingredients(config)
    other.answer_as(given, config.responders)
    study_feedback(other, given, SECOND_WORLD)
    best, *_, worst = config.responders
    other.ask("best - worst responder", SECOND_WORLD, all_of(best.name), all_of(worst.name))
    study.tables |= {f"{SECOND_WORLD}: {name}": table for name, table in other.tables.items()}
    study.questions += [
        question.model_copy(
            update={
                "first": f"{SECOND_WORLD}: {question.first}",
                "second": f"{SECOND_WORLD}: {question.second}",
            }
        )
        for question in other.questions
    ]


def guided(
    study: Study, given: Ingredients, name: str, feedback: SyntheticFeedback, reward: Folder[RewardCheckpoint]
) -> tuple[Rows[Demonstration], Folder[PolicyCheckpoint]]:
    """RM-guided self-play with a reward model, its gold, and SFT on it, judged."""
    data = play_with_reward_model(study.config, given, feedback.mined.queries, reward)
    demonstrate(study, name, data)
    sft = fine_tune(study.config, given, data).checkpoint
    study.answer(given, f"SFT on {name}", as_model("sft", sft))
    return data, sft


def demonstrate(study: Study, name: str, data: Rows[Demonstration]) -> None:
    """Judge demonstrations by gold."""
    assert study.config.world is not None
    study.tables[name] = judge_demonstrations_by_gold(
        demonstrations=data, world=study.config.world, world_seed=study.config.seeds.world
    )


def _bounded(config: RunConfig) -> RunConfig:
    """The configuration with the bounded advantage."""
    return _with(config, "policy", score_normalization=ScoreNormalization.PAIRWISE)


def _with(config: RunConfig, section: str, **changes: Any) -> RunConfig:
    """The configuration with some fields of one section changed."""
    before = getattr(config, section)
    try:
        after = type(before).model_validate(before.model_dump() | changes)
    except ValidationError as error:
        changed = ", ".join(f"{section}.{field}={value}" for field, value in changes.items())
        raise ConfigError(f"almost results sets {changed}, with which {explain_invalid(error)}") from error
    return config.model_copy(update={section: after})
