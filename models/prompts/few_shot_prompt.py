"""Few-shot prompts: reading prompt files and laying conversations out for a vanilla model (ALMoST 2.1, Appendix A).

A prompt file is an instruction, then conversations of `Human:` / `Assistant:` turns between lines of dashes. A seed
file is one query a line; an optional first line that starts with `###` is the instruction. What is the same for all
rows of a step (instruction, shots, static queries) goes into a prefix, which engines read once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from data_contracts.conversation import Conversation, Role, Turn
from data_contracts.errors import ConfigError

BUILTIN_PROMPTS = Path(__file__).parent
SEPARATOR = "-----"
MARKERS = {Role.HUMAN: "Human:", Role.ASSISTANT: "Assistant:"}
# A vanilla model goes on writing the dialogue: the next speaker's marker, or the line between two dialogues, ends a turn.
ASSISTANT_STOPS = ("\nHuman:", "\nAssistant:", f"\n{SEPARATOR}")
USER_STOPS = ASSISTANT_STOPS
QUERY_MARKER = "Query:"
MINING_STOPS = ("\n",)
DEFAULT_SEED_INSTRUCTION = "Instruction: Write the first question or request that a person sends to an AI assistant."

_DASHES = re.compile(r"-{3,}\s*")
_MARKED = re.compile(r"(Human|Assistant):[ \t]*(.*)")


@dataclass(frozen=True)
class PromptSet:
    """An instruction and conversations that show a vanilla model how to behave; `digest` is the file's SHA-256."""

    name: str
    instruction: str
    conversations: tuple[Conversation, ...]
    digest: str

    def prefix(self, shots: int) -> str:
        """The instruction and the first `shots` conversations; ends where a new conversation begins.

        Raises:
            ConfigError: the set has fewer conversations than `shots`.
        """
        if not 0 <= shots <= len(self.conversations):
            raise ConfigError(
                f"prompt set '{self.name}' has {len(self.conversations)} conversations, but {shots} shots were asked "
                "for; add conversations to the file or use fewer shots"
            )
        sections = [self.instruction, *(_written(c) for c in self.conversations[:shots])]
        return "".join(f"{section}\n\n{SEPARATOR}\n\n" for section in sections)


@dataclass(frozen=True)
class SeedQueries:
    """Hand-written queries that start the mining of new ones."""

    instruction: str
    queries: tuple[str, ...]
    digest: str

    def first(self, count: int) -> tuple[str, ...]:
        """The first `count` queries.

        Raises:
            ConfigError: there are fewer.
        """
        if count > len(self.queries):
            raise ConfigError(f"{count} seed queries were asked for, but the file has {len(self.queries)}; add some")
        return self.queries[:count]


def assistant_suffix(conversation: Sequence[Turn]) -> str:
    """The conversation so far, laid out so that a model goes on as the assistant."""
    return f"{_written(conversation)}\n\n{MARKERS[Role.ASSISTANT]}"


def user_suffix(conversation: Sequence[Turn]) -> str:
    """The conversation so far, laid out so that a model goes on as the human."""
    return f"{_written(conversation)}\n\n{MARKERS[Role.HUMAN]}"


def mining_prefix(instruction: str, static_queries: Sequence[str]) -> str:
    """The part of a mining prompt that all rows share: the instruction and the static shots."""
    return f"{instruction}\n\n" + "".join(f"{QUERY_MARKER} {query}\n" for query in static_queries)


def mining_suffix(dynamic_queries: Sequence[str]) -> str:
    """The rest of a mining prompt: the row's own shots, and the marker that asks for a new query."""
    return "".join(f"{QUERY_MARKER} {query}\n" for query in dynamic_queries) + QUERY_MARKER


def load_prompt_set(path: Path | str) -> PromptSet:
    """Read a prompt file; its name is the file's name without suffix.

    Raises:
        ConfigError: the file is missing or not text, or `parse_prompt_set` refuses it.
    """
    return parse_prompt_set(Path(path).stem, _read(Path(path)), str(path))


def parse_prompt_set(name: str, text: str, source: str) -> PromptSet:
    """Parse the text of a prompt file; `source` is what messages call it.

    Raises:
        ConfigError: no conversation, no instruction, or a conversation that does not alternate (with its line).
    """
    sections = _sections(text)
    instruction = "\n".join(line for _, line in sections[0]).strip()
    if _MARKED.match(instruction):
        raise ConfigError(f"{source}: line 1 begins a conversation; put an instruction and a line '{SEPARATOR}' first")
    if not instruction:
        raise ConfigError(f"{source}: no instruction before the first line '{SEPARATOR}'; write one")
    conversations = tuple(_conversation(lines, source) for lines in sections[1:] if any(t.strip() for _, t in lines))
    if not conversations:
        raise ConfigError(
            f"{source}: no conversations; after the instruction, write 'Human:' and 'Assistant:' turns between lines "
            f"'{SEPARATOR}'"
        )
    return PromptSet(name, instruction, conversations, sha256(text.encode()).hexdigest())


def load_seed_queries(path: Path | str) -> SeedQueries:
    """Read a seed file.

    Raises:
        ConfigError: the file is missing, not text, or holds no query.
    """
    return parse_seed_queries(_read(Path(path)), str(path))


def parse_seed_queries(text: str, source: str) -> SeedQueries:
    """Parse the text of a seed file; equal queries count once.

    Raises:
        ConfigError: it holds no query.
    """
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    instruction = DEFAULT_SEED_INSTRUCTION
    if lines and lines[0].startswith("###"):
        instruction = lines.pop(0).lstrip("#").strip() or instruction
    if not lines:
        raise ConfigError(f"{source}: no queries; write one query a line")
    return SeedQueries(instruction, tuple(dict.fromkeys(lines)), sha256(text.encode()).hexdigest())


def _written(conversation: Sequence[Turn]) -> str:
    return "\n\n".join(f"{MARKERS[turn.role]} {turn.text}" for turn in conversation)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read the prompt file {path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the prompt file {path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


NumberedLines = list[tuple[int, str]]


def _sections(text: str) -> list[NumberedLines]:
    """Lines with their numbers, cut at lines of dashes."""
    sections: list[NumberedLines] = [[]]
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        if _DASHES.fullmatch(line):
            sections.append([])
        else:
            sections[-1].append((number, line))
    return sections


def _conversation(lines: NumberedLines, source: str) -> Conversation:
    """Turns of one section: human first, strictly alternating, none empty; the human may have the last word."""
    turns: list[tuple[int, Role, list[str]]] = []
    for number, line in lines:
        if marked := _MARKED.match(line):
            role = Role(marked[1].lower())
            expected = Role.ASSISTANT if turns and turns[-1][1] is Role.HUMAN else Role.HUMAN
            if role is not expected:
                raise ConfigError(f"{source}: line {number} is '{MARKERS[role]}', expected '{MARKERS[expected]}'")
            turns.append((number, role, [marked[2]]))
        elif turns:
            turns[-1][2].append(line)
        elif line.strip():
            raise ConfigError(f"{source}: line {number} should begin a conversation with '{MARKERS[Role.HUMAN]}'")
    if len(turns) == 1:
        raise ConfigError(f"{source}: the conversation at line {turns[0][0]} has no 'Assistant:' turn; add one")
    conversation = tuple(Turn(role, "\n".join(text).strip()) for _, role, text in turns)
    for (number, role, _), turn in zip(turns, conversation, strict=True):
        if not turn.text:
            raise ConfigError(f"{source}: the '{MARKERS[role]}' turn at line {number} is empty; write it or remove it")
    return conversation
