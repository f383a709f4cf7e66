"""Replies of a judge on disk as they come, so that a rerun asks for the missing ones only: each may cost money."""

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from models.evaluation.judging.judges import Judge, JudgePrompt, JudgeReply


def ask_missing(
    path: Path, open_judge: Callable[[], Judge], prompts: Sequence[JudgePrompt], finished: Callable[[int], None]
) -> tuple[list[JudgeReply], int]:
    """Replies to all prompts, in order, and how many of them were asked for now.

    `open_judge` is called when a reply is missing. Whatever a judge has handed over is on disk: only what is in flight
    when the process dies is asked again. Replies that failed are not, since the same question would fail again.
    `finished` hears how many are there.
    """
    known = read_journal(path)
    missing = [prompt for prompt in prompts if prompt.key not in known]
    finished(len(prompts) - len(missing))
    if missing:
        judge = open_judge()
        path.parent.mkdir(parents=True, exist_ok=True)
        writing = threading.Lock()  # a judge may hand over replies from several threads
        with path.open("a", encoding="utf-8") as journal:
            journal.write("\n")  # ends a line that a dying process left

            def keep(prompt: JudgePrompt, reply: JudgeReply) -> None:
                with writing:
                    known[prompt.key] = reply
                    journal.write(json.dumps({"key": prompt.key} | asdict(reply)) + "\n")
                    journal.flush()  # a killed process loses nothing; a machine that goes down, what was asked together
                    finished(len(prompts) - sum(prompt.key not in known for prompt in missing))

            for start in range(0, len(missing), judge.rows_at_once):
                try:
                    judge.ask(missing[start : start + judge.rows_at_once], keep)
                finally:
                    os.fsync(journal.fileno())
    return [known[prompt.key] for prompt in prompts], len(missing)


def read_journal(path: Path) -> dict[str, JudgeReply]:
    """Replies by key; a last line that a dying process left unfinished does not count."""
    replies: dict[str, JudgeReply] = {}
    if not path.exists():
        return replies
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            entry = json.loads(line)
            key = entry.pop("key")
            replies[key] = JudgeReply(**entry)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return replies
