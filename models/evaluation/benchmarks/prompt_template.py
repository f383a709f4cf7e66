"""Prompts of benchmarks as files that a person can replace (ALMoST Appendix E), or told in the model's chat template.

A template is the text of one item with `{placeholders}`, at its end where the option follows. A first line
`### options: A | B` names the options; a part before a line of dashes stands once, in front of all shots. Text between
`Human:` and `Assistant:` becomes the user's turn in chat style, what follows `Assistant:` the beginning of the answer.

Departure: 1. The paper's figures 12 to 14 lost their line breaks in print; where lines break here is our choice.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from data_contracts.errors import ConfigError

FOLDER = Path(__file__).with_name("templates")
_OPTIONS = re.compile(r"###\s*options:(.*)", re.IGNORECASE)
_DASHES = re.compile(r"^-{3,}\s*$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_CONVERSATION = re.compile(r"Human:(?P<human>.*?)(?:\n\s*Assistant:(?P<lead>.*))?", re.DOTALL)


class PromptStyle(StrEnum):
    """How a template becomes a prompt: as the text it is, or in the model's own chat template."""

    PLAIN = "plain"
    CHAT = "chat"


@dataclass(frozen=True)
class PromptTemplate:
    """A parsed template; `head` stands once before all shots, `options` are empty where the items bring their own."""

    text: str
    head: str
    options: tuple[str, ...]


def builtin_template(name: str) -> Path:
    """The project's own template file."""
    return FOLDER / f"{name}.txt"


def parse_template(source: str, text: str, placeholders: Sequence[str], options: int) -> PromptTemplate:
    """Parse a template file.

    Args:
        source: the file, for messages.
        placeholders: those the item must use; others are refused, so that a typo does not go into prompts.
        options: how many options the first line must name; 0 for none.

    Raises:
        ConfigError: placeholders or options are missing or unknown.
    """
    lines = text.lstrip("\ufeff").splitlines()
    named: tuple[str, ...] = ()
    if lines and (match := _OPTIONS.match(lines[0])):
        named = tuple(option.strip() for option in match[1].split("|"))
        lines = lines[1:]
    if len(named) != options or not all(named) or len(set(named)) < len(named):
        raise ConfigError(f"{source}: expected a first line '### options: ...' that names {options} distinct options")
    head, _, body = "\n".join(lines).rpartition("\n---")
    if head:
        body = body.partition("\n")[2]
    head, body = head.strip(), body.strip()
    used = set(_PLACEHOLDER.findall(body)) | set(_PLACEHOLDER.findall(head))
    missing = [name for name in placeholders if name not in used]
    if missing or used - set(placeholders):
        found = f"lacks {{{missing[0]}}}" if missing else f"has {{{sorted(used - set(placeholders))[0]}}}"
        raise ConfigError(f"{source}: the template {found}; its placeholders are {', '.join(placeholders)}")
    return PromptTemplate(body, head, named)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values into placeholders, in one pass: braces inside a value mean nothing."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def behind(prompt: str, words: str) -> str:
    """What follows a prompt: a space between them unless the prompt ends in white space, as chat templates may."""
    return words if prompt[-1:].isspace() else f" {words}"


class Rendering:
    """Turns templates and values into prompts, in one style for one model."""

    def __init__(self, style: PromptStyle = PromptStyle.PLAIN, tokenizer: Any = None) -> None:
        """`tokenizer` is needed for chat style.

        Raises:
            ConfigError: chat style was asked for, but the tokenizer has no chat template.
        """
        if style is PromptStyle.CHAT and not getattr(tokenizer, "chat_template", None):
            raise ConfigError("prompt style 'chat' needs a model whose tokenizer has a chat template; use 'plain'")
        self.style, self._tokenizer = style, tokenizer

    def render(self, template: PromptTemplate, values: Mapping[str, str]) -> str:
        """The prompt of one item without shots."""
        return "".join(self.render_shots(template, values, []))

    def render_shots(
        self, template: PromptTemplate, values: Mapping[str, str], shots: Sequence[tuple[Mapping[str, str], str]]
    ) -> tuple[str, str]:
        """(what items with the same head and shots have in common, the item itself); a shot is values and its option."""
        head = fill(template.head, values)
        if self.style is PromptStyle.PLAIN:
            blocks = [f"{fill(template.text, shown)} {option}" for shown, option in shots]
            shared = "".join(f"{block}\n\n" for block in ([head] if head else []) + blocks)
            return shared, fill(template.text, values)
        return "", self._chat(template.text, head, values, shots)

    def _chat(
        self, text: str, head: str, values: Mapping[str, str], shots: Sequence[tuple[Mapping[str, str], str]]
    ) -> str:
        match = _CONVERSATION.fullmatch(text)
        human, lead = (match["human"].strip(), (match["lead"] or "").strip()) if match else (text, "")
        messages = []
        for shown, option in shots:
            messages.append({"role": "user", "content": fill(human, shown)})
            messages.append({"role": "assistant", "content": f"{fill(lead, shown)} {option}".strip()})
        messages.append({"role": "user", "content": fill(human, values)})
        if head:
            messages[0]["content"] = f"{head}\n\n{messages[0]['content']}"
        if lead:
            messages.append({"role": "assistant", "content": fill(lead, values)})
        prompt = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=not lead, continue_final_message=bool(lead)
        )
        bos = self._tokenizer.bos_token
        if bos and prompt.startswith(bos):
            prompt = prompt[len(bos) :]  # the engine begins every row with one
        return prompt
