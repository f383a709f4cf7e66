"""Text from the code as Markdown that shows it letter by letter."""

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`[^`]+`)")
_SPECIAL = re.compile(r"([\\*<>\[\]]|(?<!\w)_|_(?!\w))")


def escaped(text: str) -> str:
    """Plain text in which only `code` between backticks keeps its meaning; white space becomes single blanks."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(part if _CODE.fullmatch(part) else _SPECIAL.sub(r"\\\1", part) for part in parts)


def code(text: str) -> str:
    """Text in a fixed-width font; empty text stays empty."""
    return f"`{text}`" if text else ""


def paragraphs(docstring: str) -> str:
    """A docstring's description, without the sections Raises, Args and Returns."""
    text = re.split(r"\n\s*(?:Raises|Args|Returns):", docstring)[0]
    return "\n\n".join(escaped(part) for part in re.split(r"\n\s*\n", text.strip()))


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a vertical bar within a cell is escaped."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
