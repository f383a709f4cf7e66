"""Scores conversations with a trained reward model (ALMoST sections 2.1 and 2.2).

The score is read at the end token of the last assistant turn. A conversation that ends in a cut answer gets an end
token all the same, because the model has never seen a row without one.
"""

from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError, EngineError
from models.lm.chat_template import RenderedTurn, prepare_tokenizer, response_turn, trim_context
from models.lm.length_buckets import batches_by_length, by_length
from models.lm.token_rows import SharedRows, share_prefix
from models.lm.tokenizer_check import check_reads_last_token
from models.reward.answer_likelihood import BASE_FOLDER, AnswerLikelihood
from models.reward.combination import RewardCombination

if TYPE_CHECKING:
    import torch

CACHE_BYTES = 4 * 2**30  # keys and values of contexts repeated for their candidates


class RewardModel:
    """A sequence-classification model with one output, loaded once; scores in batches of like length."""

    def __init__(self, path: Path, threads: int | None = None, batch_size: int = 32, device: str | None = None) -> None:
        """Load from a local folder.

        Args:
            path: folder with config, safetensors weights and tokenizer.
            threads: torch threads of this process; None leaves them as they are.
            batch_size: rows per forward pass; scores differ by less than 1e-4 between batch sizes.
            device: "cpu", "cuda", ...; None takes the GPU if there is one.

        Raises:
            ConfigError: the folder holds no reward model with one output.
        """
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from models.lm.cascade_attention import supports_cascade

        if threads is not None:
            torch.set_num_threads(threads)
        if not (path / "config.json").is_file():
            raise ConfigError(f"{path} is not a model folder: it has no config.json")
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.batch_size = batch_size
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        prepare_tokenizer(self.tokenizer)
        self.combination = RewardCombination.of(path)
        self._members = [self._load(AutoModelForSequenceClassification, each) for each in self.combination.folders]
        self.max_length: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self.shares_context = supports_cascade(self.model.config)
        self._likelihood = (
            AnswerLikelihood(path / BASE_FOLDER, batch_size, self.device) if self.combination.likelihood else None
        )
        self.trimmed_rows = 0

    @property
    def model(self) -> Any:
        """The model, of an ensemble the first."""
        return self._members[0]

    def _load(self, family: Any, folder: Path) -> Any:
        from models.lm.load_model import load_weights

        model = load_weights(folder, family)
        architecture = (model.config.architectures or [""])[0]
        if model.config.num_labels != 1 or not architecture.endswith("ForSequenceClassification"):
            raise ConfigError(f"{folder} is no reward model: {architecture} with {model.config.num_labels} outputs")
        model.config.get_text_config().pad_token_id = self.tokenizer.pad_token_id
        return model.to(self.device).eval()

    def place(self, device: "torch.device") -> None:
        """Move the model, or all of them, and the likelihood's base if it has one, to a device."""
        self.device = device
        for member in self._members:
            member.to(device)
        if self._likelihood is not None:
            self._likelihood.place(device)

    def wrap_models(self, wrap: Callable[[Any, int], Any]) -> None:
        """Replace the model and the likelihood's base by what `wrap(module, hidden size)` makes of them."""
        self._members = [wrap(member, member.config.get_text_config().hidden_size) for member in self._members]
        if self._likelihood is not None:
            self._likelihood.wrap_model(wrap)

    def score(self, conversations: Sequence[Sequence[Turn]]) -> list[float]:
        """Rewards of full conversations, each ending with an assistant turn, in the given order.

        A conversation longer than the model's positions loses its oldest turns (`trimmed_rows` counts them).

        Raises:
            ConfigError: a conversation does not end with an assistant turn.
            EngineError: a score is not finite, or the last exchange alone is longer than the model's positions.
        """
        return self.score_turns([self._render(conversation) for conversation in conversations])

    def member_scores(self, conversations: Sequence[Sequence[Turn]]) -> list[list[float]]:
        """What each member of an ensemble says of them, (members, B), before the scores become one; raises as `score`."""
        rows = [self._render(conversation) for conversation in conversations]
        return self._member_scores(self._heads([row.ids for row in rows]), rows)

    def fits(self, conversation: Sequence[Turn]) -> bool:
        """Whether the last exchange fits the model's positions, so that `score` can read it."""
        answer = response_turn(self.tokenizer, tuple(conversation[:-1])[-1:], conversation[-1].text)
        return self.max_length is None or len(answer.ids) <= self.max_length

    def score_candidates(self, context: Sequence[Turn], candidates: Sequence[str]) -> list[float]:
        """Rewards of several answers to one context that ends with a human turn; the context is read once."""
        return self.score_groups([(context, candidates)])[0]

    def score_groups(self, groups: Sequence[tuple[Sequence[Turn], Sequence[str]]]) -> list[list[float]]:
        """Rewards of each context's candidate answers, within 1e-4 of `score`; each context is read once.

        Raises: as `score`.
        """
        encoded = [
            [self._render((*context, Turn(Role.ASSISTANT, c))) for c in candidates] for context, candidates in groups
        ]
        return self.score_turn_groups(encoded)

    def score_turn_groups(self, groups: Sequence[Sequence[RenderedTurn]]) -> list[list[float]]:
        """`score_turns` of groups of rows; the head reads what the rows of a group have in common once."""
        flat = [row for rows in groups for row in rows]
        if self.shares_context:
            heads = self._shared_heads([[row.ids for row in rows] for rows in groups])
        else:
            heads = self._heads([row.ids for row in flat])
        scores = iter(self.combination.combine(self._member_scores(heads, flat)))
        return [[next(scores) for _ in rows] for rows in groups]

    def _shared_heads(self, groups: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
        """As `_heads`, of groups of token rows one after the other, each group's common part read once."""
        import torch

        shared = {number: share_prefix([list(row) for row in rows]) for number, rows in enumerate(groups) if rows}
        heads: list[list[list[float]]] = [[] for _ in groups]  # by group and row, those of all members
        for chosen in self._packed(shared):
            with torch.inference_mode():
                found = iter(self._forward_shared([shared[number] for number in chosen]).T.tolist())
            for number in chosen:
                heads[number] = [next(found) for _ in groups[number]]
        return self._by_member([row for group in heads for row in group])

    def _packed(self, shared: dict[int, SharedRows]) -> Iterator[list[int]]:
        """Numbers of groups with contexts of like length, at most `batch_size` rows and `CACHE_BYTES` at once if possible."""
        config = self.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        token_bytes = 2 * 4 * config.num_hidden_layers * heads * width  # keys and values, float32
        numbers, longest = list(shared), [max(map(len, group.own)) for group in shared.values()]
        chosen: list[int] = []
        rows = 0
        for place in by_length([len(group.shared) for group in shared.values()], ties=longest):
            number = numbers[place]
            more = rows + len(shared[number].own)
            length = len(shared[number].shared) + longest[place]
            if chosen and (more > self.batch_size or more * length * token_bytes > CACHE_BYTES):
                yield chosen
                chosen, rows = [], 0
            chosen.append(number)
            rows += len(shared[number].own)
        if chosen:
            yield chosen

    def score_turns(self, rows: Sequence[RenderedTurn]) -> list[float]:
        """Rewards of rows in token ids of this model's own tokenizer; each must end with the end token."""
        return self.combination.combine(self._member_scores(self._heads([row.ids for row in rows]), rows))

    def _member_scores(self, heads: Sequence[Sequence[float]], rows: Sequence[RenderedTurn]) -> list[list[float]]:
        """Heads (members, B) with the likelihood feature where there is one; the base reads each answer once."""
        means = self._likelihood.mean_logprobs(rows) if self._likelihood is not None else []
        found = self.combination.member_scores(heads, means)
        for score, row in ((score, row) for member in found for score, row in zip(member, rows, strict=True)):
            if not isfinite(score):
                raise EngineError(f"the reward model gave {score} to a row of {len(row.ids)} tokens; check its weights")
        return found

    def _heads(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """The members' heads' scores of token rows, (members, B), in batches of like length."""
        import torch

        heads: list[list[float]] = [[] for _ in rows]
        for chosen in batches_by_length([len(row) for row in rows], self.batch_size):
            with torch.inference_mode():
                found = self._forward([rows[i] for i in chosen])
            for i, row in zip(chosen, found.T.tolist(), strict=True):
                heads[i] = row
        return self._by_member(heads)

    def _by_member(self, heads: Sequence[Sequence[float]]) -> list[list[float]]:
        """(B, members) as (members, B), also of no rows."""
        return [[row[number] for row in heads] for number in range(len(self._members))]

    def _render(self, conversation: Sequence[Turn]) -> RenderedTurn:
        if not conversation or conversation[-1].role is not Role.ASSISTANT:
            raise ConfigError("a conversation to be scored must end with an assistant turn")
        context, answer = tuple(conversation[:-1]), conversation[-1].text
        rendered = response_turn(self.tokenizer, context, answer)
        if self.max_length is None or len(rendered.ids) <= self.max_length:
            return rendered
        trimmed = trim_context(self.tokenizer, context, self.max_length - len(rendered.response_ids))
        if trimmed is None:
            raise EngineError(
                f"a conversation's last exchange has more tokens than the reward model's {self.max_length} positions; "
                "use shorter responses or a model with a longer context"
            )
        self.trimmed_rows += 1
        return response_turn(self.tokenizer, trimmed[0], answer)

    def _forward(self, rows: Sequence[Sequence[int]]) -> "torch.Tensor":
        """Heads (members, B) of B rows, padded on the right."""
        ids, mask = self._padded_right(rows)
        return self._each(lambda model: model(input_ids=ids, attention_mask=mask, use_cache=False).logits)

    def _each(self, read: Callable[[Any], "torch.Tensor"]) -> "torch.Tensor":
        """The members' outputs (B, 1) as (members, B) on the CPU."""
        import torch

        return torch.stack([read(member)[:, 0].float().cpu() for member in self._members])

    def _forward_shared(self, groups: Sequence["SharedRows"]) -> "torch.Tensor":
        """Heads (members, B) of all groups' rows."""
        from models.reward.shared_contexts import read_behind_contexts

        sizes = [len(group.own) for group in groups]
        ids, mask = self._padded_right([row for group in groups for row in group.own])
        contexts = [group.shared for group in groups]
        return self._each(lambda m: read_behind_contexts(m, contexts, sizes, ids, mask, self.max_length))

    def _padded_right(self, rows: Sequence[Sequence[int]]) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Token ids (B, S) and which of them are real, (B, S)."""
        from models.lm.padding import pad_right

        pad, end = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        for row in rows:
            check_reads_last_token(row, pad, end)
        return pad_right(rows, pad, self.device)
