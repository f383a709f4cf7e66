"""Model output for a terminal: it is untrusted text, so control characters and hidden marks are taken out."""

import unicodedata

LINE_BREAK = " ⏎ "


def plain(text: object, limit: int = 240) -> str:
    """`text` on one line: no control, format (bidi, zero-width) or surrogate characters, cut at `limit` characters."""
    lines = str(text).strip().splitlines()
    joined = LINE_BREAK.join(line.strip() for line in lines if line.strip())
    spaced = joined.replace("\t", " ")
    visible = "".join(char for char in spaced if not unicodedata.category(char).startswith("C"))
    return visible if len(visible) <= limit else f"{visible[: limit - 1]}…"
