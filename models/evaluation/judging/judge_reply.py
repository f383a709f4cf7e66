"""Reading a judge's reply: two scores from 1 to 10 on the first line, an explanation behind it (ALMoST section 3.1).

A reply without two such scores is unparsable, with a reason; it is never a tie. `8,7` is unparsable: it may be one
number or two.
"""

import re
from dataclasses import dataclass

LOWEST, HIGHEST = 1.0, 10.0
_NUMBER = r"(\d+(?:\.\d+)?)(?:\s*/\s*10)?"
_SCORES = re.compile(rf"\W*(?:scores?\W+)?{_NUMBER}(?:\s*[,;|]\s+|\s+){_NUMBER}\W*", re.IGNORECASE)


@dataclass(frozen=True)
class ParsedReply:
    """The scores of the first and the second answer, None with a reason when the reply does not give them."""

    scores: tuple[float, float] | None
    explanation: str
    problem: str | None = None


def parse_reply(text: str) -> ParsedReply:
    """Scores and explanation of a reply."""
    lines = text.strip().splitlines()
    if not lines:
        return ParsedReply(None, "", "empty reply")
    explanation = "\n".join(lines[1:]).strip()
    match = _SCORES.fullmatch(lines[0])
    if match is None:
        return ParsedReply(None, text.strip(), "the first line is not two scores")
    first, second = float(match[1]), float(match[2])
    if not (LOWEST <= first <= HIGHEST and LOWEST <= second <= HIGHEST):
        return ParsedReply(None, explanation, f"a score is not from {LOWEST:g} to {HIGHEST:g}")
    return ParsedReply((first, second), explanation)
