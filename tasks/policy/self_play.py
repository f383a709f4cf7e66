"""RM-guided self-play (ALMoST section 2.2): the assistant samples N responses, the reward model keeps the best, the
user model follows up, for at most T turns.

All candidates are kept with their scores. `split` is set per query: half of them are seen in SFT, the rest serve PPO
as unseen prompts (section 2.3). With N = 1 this is plain self-play, the paper's ablation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data_contracts.config.engine import EngineConfig
from data_contracts.config.self_play import SelfPlay
from data_contracts.conversation import Conversation, Role, Turn
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.rows.rows import Rows, Sharded, shard_ranges
from data_contracts.store.stored import Folder
from data_contracts.tables.demonstrations import Candidate, Demonstration, QuerySplit
from data_contracts.tables.queries import Query
from models.engines.protocol import Completion, SamplingSettings, naming_rows
from models.prompts.few_shot_prompt import ASSISTANT_STOPS, USER_STOPS, assistant_suffix, parse_prompt_set, user_suffix
from models.reward.reward_model import RewardModel
from models.seeding import derive_seed
from tasks.runtime.context import ProgressReporter, count
from tasks.runtime.loaded_models import LazyEngine, open_reward_model
from tasks.runtime.phases import Phase
from tasks.runtime.shards import compute_shards
from tasks.runtime.step import step


@step(version="2", phase=Phase.DEMONSTRATIONS, heavy=True)
def self_play(
    *,
    queries: Rows[Query],
    reward_model: Folder[RewardCheckpoint],
    assistant: ModelHandle,
    assistant_prompts: PromptHandle,
    user: ModelHandle,
    user_prompts: PromptHandle,
    play: SelfPlay,
    engine: EngineConfig,
    seed: int,
) -> Sharded[Demonstration]:
    """Play `play.turns` turns from each query; one row per assistant turn."""
    asked = list(zip(queries.column("query_id"), queries.column("query"), strict=True))[: play.queries]
    split = split_queries([query_id for query_id, _ in asked], play.seen_share, seed)
    cast = Cast(
        play=play,
        reward_model=reward_model,
        assistant=assistant,
        assistant_prompts=assistant_prompts,
        user=user,
        user_prompts=user_prompts,
        engine=engine,
        seed=seed,
    )

    def play_shard(numbers: range) -> list[Demonstration]:
        shard = asked[numbers.start : numbers.stop]
        return cast.play_all([Dialogue(name, split[name], (Turn(Role.HUMAN, query),)) for name, query in shard])

    progress = ProgressReporter(len(asked), "queries")
    ranges = shard_ranges(len(asked), play.shard_queries)
    demonstrations = compute_shards(Demonstration, ranges, play_shard, progress.update)
    cast.count_tokens()
    return demonstrations


def split_queries(query_ids: Sequence[str], seen_share: float, seed: int) -> dict[str, QuerySplit]:
    """Whether each query is seen in SFT: the rounded share of them, drawn by seed, whatever their order."""
    ordered = sorted(query_ids)
    drawn = np.random.default_rng(derive_seed(seed, "split")).permutation(len(ordered))
    seen = {ordered[position] for position in drawn[: round(seen_share * len(ordered))]}
    return {query_id: QuerySplit.SEEN if query_id in seen else QuerySplit.UNSEEN for query_id in ordered}


@dataclass
class Dialogue:
    """One conversation in play; it ends when somebody has nothing to say, or the context is full."""

    query_id: str
    split: QuerySplit
    turns: Conversation
    alive: bool = True


class Cast:
    """Assistant, user and reward model, loaded when the first shard needs them."""

    def __init__(
        self,
        *,
        play: SelfPlay,
        reward_model: Folder[RewardCheckpoint],
        assistant: ModelHandle,
        assistant_prompts: PromptHandle,
        user: ModelHandle,
        user_prompts: PromptHandle,
        engine: EngineConfig,
        seed: int,
    ) -> None:
        self.play, self.seed, self.engine = play, seed, engine
        self.assistant = LazyEngine(assistant, engine)
        self.user = self.assistant if user == assistant else LazyEngine(user, engine)
        parsed = parse_prompt_set(assistant_prompts.name, assistant_prompts.text, assistant_prompts.source)
        self.assistant_prefix = parsed.prefix(play.assistant_shots)
        parsed = parse_prompt_set(user_prompts.name, user_prompts.text, user_prompts.source)
        self.user_prefix = parsed.prefix(play.user_shots)
        self._reward_checkpoint = reward_model
        self._reward_model: RewardModel | None = None

    def play_all(self, dialogues: Sequence[Dialogue]) -> list[Demonstration]:
        """Demonstrations of one shard's dialogues, by query and turn."""
        rows: list[Demonstration] = []
        for turn in range(1, self.play.turns + 1):
            if turn > 1:
                self._end_where_full(dialogues, self.assistant, self.assistant_prefix, assistant_suffix)
            rows += self._assistant_turn([dialogue for dialogue in dialogues if dialogue.alive], turn)
            if turn < self.play.turns:
                self._end_where_full(dialogues, self.user, self.user_prefix, user_suffix)
                self._user_turn([dialogue for dialogue in dialogues if dialogue.alive], turn)
        position = {dialogue.query_id: number for number, dialogue in enumerate(dialogues)}
        return sorted(rows, key=lambda row: (position[row.query_id], row.turn))

    def count_tokens(self) -> None:
        """Add the engines' counters to the step's."""
        self.assistant.count_tokens()
        if self.user is not self.assistant:
            self.user.count_tokens()

    def _assistant_turn(self, dialogues: Sequence[Dialogue], turn: int) -> list[Demonstration]:
        number = self.play.candidates
        suffixes = [assistant_suffix(d.turns) for d in dialogues for _ in range(number)]
        names = [f"self-play assistant, query {d.query_id}" for d in dialogues for _ in range(number)]
        seeds = [derive_seed(self.seed, "self-play", d.query_id, turn, n) for d in dialogues for n in range(number)]
        settings = SamplingSettings(self.play.max_new_tokens, self.play.temperature, self.play.top_p, ASSISTANT_STOPS)
        completions = self._generate(self.assistant, self.assistant_prefix, suffixes, seeds, settings, names)
        scores = self._scores(dialogues, completions)
        rows = []
        for place, dialogue in enumerate(dialogues):
            own = slice(place * number, (place + 1) * number)
            best = demonstration(dialogue, turn, completions[own], scores[own])
            rows.append(best)
            dialogue.alive = best.usable
            dialogue.turns = (*dialogue.turns, Turn(Role.ASSISTANT, best.response))
        return rows

    def _user_turn(self, dialogues: Sequence[Dialogue], turn: int) -> None:
        settings = SamplingSettings(self.play.user_max_new_tokens, self.play.temperature, self.play.top_p, USER_STOPS)
        suffixes = [user_suffix(dialogue.turns) for dialogue in dialogues]
        names = [f"self-play user, query {dialogue.query_id}" for dialogue in dialogues]
        seeds = [derive_seed(self.seed, "user", dialogue.query_id, turn) for dialogue in dialogues]
        completions = self._generate(self.user, self.user_prefix, suffixes, seeds, settings, names)
        for dialogue, completion in zip(dialogues, completions, strict=True):
            follow_up = completion.text.strip()
            dialogue.alive = bool(follow_up)
            dialogue.turns = (*dialogue.turns, Turn(Role.HUMAN, follow_up))

    def _end_where_full(
        self, dialogues: Sequence[Dialogue], lazy: LazyEngine, prefix: str, suffix: Callable[[Conversation], str]
    ) -> None:
        """End the dialogues that have outgrown the context, and count them; a first turn must fit."""
        new_tokens = self.play.user_max_new_tokens if suffix is user_suffix else self.play.max_new_tokens
        for dialogue in dialogues:
            if dialogue.alive:
                engine = lazy.open()
                tokens = engine.count_tokens(prefix + suffix(dialogue.turns))
                dialogue.alive = tokens + new_tokens <= engine.context_length
                count(dialogues_out_of_context=not dialogue.alive)

    def _generate(
        self,
        lazy: LazyEngine,
        prefix: str,
        suffixes: list[str],
        seeds: list[int],
        settings: SamplingSettings,
        names: list[str],
    ) -> list[Completion]:
        if not suffixes:
            return []
        engine = lazy.open()
        with naming_rows(names):
            return engine.try_generate(prefix, suffixes, seeds, settings)

    def _scores(self, dialogues: Sequence[Dialogue], completions: list[Completion]) -> list[float | None]:
        """Reward of each candidate, N per dialogue; None for an empty one, which is never chosen while another has text."""
        if self._reward_model is None:
            self._reward_model = open_reward_model(self._reward_checkpoint, self.engine)
        number = self.play.candidates
        groups = []
        for place, dialogue in enumerate(dialogues):
            texts = [completion.text.strip() for completion in completions[place * number : (place + 1) * number]]
            groups.append((dialogue.turns, [text for text in texts if text]))
        rewards = (reward for group in self._reward_model.score_groups(groups) for reward in group)
        return [next(rewards) if completion.text.strip() else None for completion in completions]


def demonstration(
    dialogue: Dialogue, turn: int, completions: Sequence[Completion], scores: Sequence[float | None]
) -> Demonstration:
    """The row of one assistant turn: all candidates, and the best of them as the response."""
    best = best_candidate(scores)
    response = completions[best].text.strip()
    return Demonstration(
        demonstration_id=f"{dialogue.query_id}-t{turn}",
        query_id=dialogue.query_id,
        turn=turn,
        split=dialogue.split,
        context=dialogue.turns,
        response=response,
        score=scores[best],
        candidates=tuple(
            Candidate(c.text, score, c.token_count, c.finish_reason, c.seed)
            for c, score in zip(completions, scores, strict=True)
        ),
        chosen_candidate=best,
        usable=bool(response),
    )


def best_candidate(scores: Sequence[float | None]) -> int:
    """Position of the highest score; the first of equals, 0 when no candidate has a score."""
    return max(range(len(scores)), key=lambda place: (-np.inf if scores[place] is None else scores[place], -place))
