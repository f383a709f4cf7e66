"""What a run will cost, from its configuration alone: upper bounds of tokens and FLOPs per step.

Tokens are counted as if every text had its full length, every comparison survived its filters and nothing were in the
store, so a bill is an upper bound. FLOPs: 2 per parameter and token read or generated, 6 where gradients flow (Kaplan et
al., 2020); attention over the context is not counted. A prompt's shared prefix is read once per batch and left out.

Sizes come from weight files, also from those an earlier run fetched, or the Hub is asked; a model whose size nobody tells
leaves its steps without FLOPs.
"""

import json
import struct
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from data_contracts.config.policy.pairs import LearningFromPairs
from data_contracts.config.pretraining import LadderSize
from data_contracts.config.run_config import TINY_PREFIX, RunConfig
from models.hub import cached_folder, hub_parameters
from models.text.given_queries import read_given_queries

READ, TRAIN = 2, 6  # FLOPs per parameter and token
OWN_PROMPT_TOKENS = 96  # of a request, apart from the shared prefix: a query and what frames it


@dataclass(frozen=True)
class Work:
    """One call of a step: tokens at most, and FLOPs; None when a model's size is unknown."""

    step: str  # the call's label, e.g. sample_responses-A
    tokens: int
    flops: float | None

    @property
    def step_name(self) -> str:
        """The step's name, without which of several calls it is."""
        return self.step.partition("-")[0]

    def hours(self, flops_per_s: float) -> float | None:
        """Hours at a given speed, None when the FLOPs are unknown."""
        return None if self.flops is None else self.flops / flops_per_s / 3600


def bill(config: RunConfig) -> list[Work]:
    """The calls of steps that compute, in order."""
    sources = config.models.model_dump(exclude_none=True)
    size = {role: parameters(config, source) for role, source in sources.items()}
    return [*_ladder(config), *_generation(config, size), *_training(config, size)]


def parameters(config: RunConfig, source: str) -> int | None:
    """Parameters of a model source, None when they cannot be told."""
    if source.startswith(TINY_PREFIX):
        assert config.pretraining is not None
        assert config.world is not None
        return _llama(config.pretraining.sizes[source.removeprefix(TINY_PREFIX)], config.world.vocabulary_size)
    folder = Path(source).expanduser()
    if folder.is_dir() or source.startswith((".", "/", "~")):
        return folder_parameters(folder)
    fetched = cached_folder(source)
    return folder_parameters(fetched) if fetched else hub_parameters(source)


def folder_parameters(folder: Path) -> int | None:
    """Parameters of a model folder, from the headers of its weight files; None when it has none."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    return sum(_elements(file) for file in files) or None


def _llama(size: LadderSize, vocabulary: int) -> int:
    """Attention 4 h^2 and a gated MLP of about 8 h^2 per layer, and tied embeddings."""
    return 12 * size.layers * size.hidden**2 + vocabulary * size.hidden


def _elements(file: Path) -> int:
    """Numbers in a safetensors file, from its header."""
    with file.open("rb") as source:
        (length,) = struct.unpack("<Q", source.read(8))
        header = json.loads(source.read(length))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            elements = 1
            for side in tensor["shape"]:
                elements *= side
            total += elements
    return total


def _ladder(config: RunConfig) -> list[Work]:
    if config.pretraining is None or config.world is None:
        return []
    work = []
    for name, size in config.pretraining.sizes.items():
        tokens = size.tokens or config.pretraining.tokens
        work.append(_work(f"pretrain_model-{name}", [(tokens, _llama(size, config.world.vocabulary_size), TRAIN)]))
    return work


def _queries(config: RunConfig) -> int:
    """How many there will be: those of one's own file are counted, unless it is not here yet."""
    path = Path(config.use.queries or "").expanduser()
    return sum(1 for _ in read_given_queries(path)) if config.use.queries and path.is_file() else config.mining.queries


def _generation(config: RunConfig, size: dict[str, int | None]) -> list[Work]:
    mining, play, number = config.mining, config.self_play, _queries(config)
    attempts = ceil(mining.queries * mining.max_attempts_per_query)
    mined = (attempts * (OWN_PROMPT_TOKENS + mining.max_new_tokens), size[mining.model], READ)
    work = [] if config.use.queries else [_work("mine_queries", [mined])]
    each = number * (OWN_PROMPT_TOKENS + config.sampling.max_new_tokens)
    for responder in config.responders:
        work.append(_work(f"sample_responses-{responder.name}", [(each, size[responder.model], READ)]))
    queries = play.queries or number
    answers = queries * play.turns * play.candidates * (OWN_PROMPT_TOKENS + play.max_new_tokens)
    asked = queries * (play.turns - 1) * (OWN_PROMPT_TOKENS + play.user_max_new_tokens)
    parts = [(answers, size[play.assistant_model], READ), (asked, size[play.user_model], READ)]
    return [*work, _work("self_play", [*parts, (answers * config.reward.ensemble, size["reward"], READ)])]


def _training(config: RunConfig, size: dict[str, int | None]) -> list[Work]:
    reward, sft, policy, queries = config.reward, config.sft, config.policy, _queries(config)
    pairs = queries * len(config.responders) * (len(config.responders) - 1) // 2
    longest = OWN_PROMPT_TOKENS + config.sampling.max_new_tokens
    pair_tokens = 2 * min(reward.max_length, longest)
    work = []
    if config.as_is.enabled:
        as_is = ceil(reward.epochs * config.as_is.pairs * 2 * reward.max_length)
        work.append(_work("train_as_is_reward_model", [(as_is, size["reward"], TRAIN)]))
        work.append(_work("judge_by_as_is", [(pairs * pair_tokens, size["reward"], READ)]))
    learnt = [(ceil(reward.epochs * pairs * pair_tokens) * reward.ensemble, size["reward"], TRAIN)]
    if reward.ensemble > 1:  # its members are then levelled and compared
        learnt.append((pairs * pair_tokens * reward.ensemble, size["reward"], READ))
    work.append(_work("train_reward_model", learnt))
    seen = ceil((config.self_play.queries or queries) * config.self_play.seen_share)
    work.append(_work("finetune_policy", [(ceil(sft.epochs * seen * sft.max_length), size["policy"], TRAIN)]))
    if isinstance(policy, LearningFromPairs):
        read_pairs = ceil(policy.epochs * pairs * 2 * min(policy.max_length, longest))
        parts = [
            (read_pairs, size["policy"], TRAIN),
            (read_pairs, size["policy"], READ),
        ]  # the policy and its reference
        return [*work, _work("optimize_by_preferences", parts)]
    rollouts = policy.steps * policy.rollouts * (policy.max_prompt_tokens + policy.max_new_tokens)
    sampled = [
        (rollouts, size["policy"], 2 * READ),
        (rollouts * reward.ensemble, size["reward"], READ),
    ]  # policy and reference
    work.append(_work("optimize_policy", [*sampled, (rollouts * policy.epochs, size["policy"], TRAIN)]))
    return work


def _work(step: str, parts: list[tuple[int, int | None, int]]) -> Work:
    """`parts`: tokens, the model's parameters, FLOPs per parameter and token."""
    flops = 0.0
    known = True
    for tokens, model, each in parts:
        known = known and model is not None
        flops += tokens * (model or 0) * each
    return Work(step, sum(tokens for tokens, _, _ in parts), flops if known else None)
