"""Do the prompts a profile asks for exist, and do they fit their models? Asked before any weights are loaded.

The length check reads the tokenizer and the configuration of a local folder. It counts a prompt without the query and
the conversation it will carry, so it never refuses one that would fit; the step that builds the rows checks each.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from data_contracts.config.run_config import RunConfig
from data_contracts.errors import ConfigError
from data_contracts.handles import PromptHandle
from models.engines.protocol import require_fit
from models.prompts.few_shot_prompt import mining_prefix, parse_prompt_set, parse_seed_queries

CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_seq_len")


@dataclass(frozen=True)
class PromptUse:
    """Which model is to read which shots, and how much it is to write."""

    who: str
    model: str
    prompts: str
    shots: int
    max_new_tokens: int


def prompt_uses(config: RunConfig) -> list[PromptUse]:
    """Every few-shot prompt of a run except the miner's."""
    play = config.self_play
    responders = [
        PromptUse(f"responder {r.name}", r.model, r.prompt, r.shots, config.sampling.max_new_tokens)
        for r in config.responders
    ]
    return [
        *responders,
        PromptUse(
            "self-play assistant",
            play.assistant_model,
            play.assistant_prompt,
            play.assistant_shots,
            play.max_new_tokens,
        ),
        PromptUse("self-play user", play.user_model, "user", play.user_shots, play.user_max_new_tokens),
    ]


def check_prompts(config: RunConfig, prompts: Mapping[str, PromptHandle], folders: Mapping[str, Path]) -> None:
    """Check the prompts that are known so far, against the models that are local folders.

    Raises:
        ConfigError: too few shots or seed queries, or a prompt that is longer than its model's context.
    """
    sets = {n: parse_prompt_set(n, handle.text, handle.source) for n, handle in prompts.items() if n != "seed_queries"}
    for use in prompt_uses(config):
        if use.prompts in sets:
            prefix = sets[use.prompts].prefix(use.shots)
            what = f"{use.who} ({use.prompts} with {use.shots} shots, models.{use.model})"
            _check_length(folders.get(use.model), prefix, use.max_new_tokens, what)
    if "seed_queries" in prompts:
        handle, mining = prompts["seed_queries"], config.mining
        seeds = parse_seed_queries(handle.text, handle.source)
        least = mining.static_shots + mining.dynamic_shots
        if len(seeds.queries) < least:
            raise ConfigError(
                f"prompts.seed_queries: {handle.source} has {len(seeds.queries)} queries, mining asks for "
                f"{least} (mining.static_shots + mining.dynamic_shots); add queries or lower these"
            )
        prefix = mining_prefix(seeds.instruction, seeds.queries[: mining.static_shots])
        what = f"mining ({mining.static_shots} static shots, models.{mining.model})"
        _check_length(folders.get(mining.model), prefix, mining.max_new_tokens, what)


def _check_length(folder: Path | None, prefix: str, max_new_tokens: int, what: str) -> None:
    context = None if folder is None else _context_length(folder)
    if folder is None or context is None:
        return
    require_fit([_tokens(folder, prefix)], max_new_tokens, context, f"{what}: the prompt")


def _context_length(folder: Path) -> int | None:
    """Positions of the model, None where the configuration does not say (then loading it does)."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"model folder {folder}: cannot read config.json: {error}") from error
    return next(_integers(content), None)


def _integers(content: dict[str, object]) -> Iterator[int]:
    text = content.get("text_config")
    for part in (content, text if isinstance(text, dict) else {}):
        yield from (value for name in CONTEXT_FIELDS if isinstance(value := part.get(name), int))


@cache
def _tokens(folder: Path, text: str) -> int:
    return _counter(folder)(text)


@cache
def _counter(folder: Path) -> Callable[[str], int]:
    """Counts tokens; tokenizer.json is read by itself where there is one, as transformers takes seconds to import."""
    try:
        if (folder / "tokenizer.json").is_file():
            from tokenizers import Tokenizer

            fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
            return lambda text: len(fast.encode(text, add_special_tokens=False).ids)
        from transformers import AutoTokenizer

        slow = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return lambda text: len(slow(text, add_special_tokens=False, verbose=False)["input_ids"])
    except Exception as error:  # the tokenizers library raises nothing narrower
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"model folder {folder}: cannot read its tokenizer: {reason}; copy it again") from error
