"""A step's code cannot change unnoticed: step_lock.json holds a digest of the code that each step reaches.

When code changed, either raise the step's version, or say that the outputs are the same:
`python -m tasks.runtime.step_lock --same "why"`; both update the lock, and the reasons stay in it until the next version.
`--show STEP` lists what the step reaches.
"""

import argparse
import sys
from typing import Any

from tasks.runtime import locked_code
from tasks.runtime.reached_code import digest_of, reached
from tasks.runtime.registry import all_steps
from tasks.runtime.step import Step


def source_digest(step: Step[Any, Any]) -> str:
    """Digest of the code that a step reaches."""
    return digest_of(step.fn.__module__, step.fn.__name__, step.declared.jobs)


def changed_steps() -> dict[str, str]:
    """Step -> what is wrong: not locked, or code changed under the same version."""
    lock, steps, problems = locked_code.read_lock(), all_steps(), {}
    for name, step in steps.items():
        entry = lock.get(name)
        if entry is None:
            problems[name] = "is not in the lock"
        elif entry["version"] != step.declared.version:
            problems[name] = f"has version {step.declared.version}, the lock {entry['version']}"
        elif entry["source"] != source_digest(step):
            problems[name] = f"changed under version {step.declared.version}"
    for name in set(lock) - set(steps):
        problems[name] = "is in the lock but not in tasks/"
    return problems


def update_lock(same_because: str | None) -> list[str]:
    """Record today's code; a change under an unchanged version needs a reason why the outputs are the same."""
    lock, problems = locked_code.read_lock(), changed_steps()
    silent = [name for name, problem in problems.items() if problem.startswith("changed")]
    if silent and not same_because:
        raise SystemExit(
            f"{', '.join(silent)} changed under the same version: raise the version in @step, or run "
            f'python -m tasks.runtime.step_lock --same "why the outputs are the same"'
        )
    updated = {}
    for name, step in all_steps().items():
        notes = [] if name in problems and name not in silent else list(lock.get(name, {}).get("same_meaning", []))
        notes += [same_because] if name in silent else []
        entry = {"version": step.declared.version, "source": source_digest(step), "same_meaning": notes}
        updated[name] = entry
    locked_code.write_lock(updated)
    return sorted(problems)


def main(arguments: list[str]) -> None:
    """Update the lock, or show what a step reaches."""
    parser = argparse.ArgumentParser(description="Update the lock of the steps' code.")
    parser.add_argument("--same", metavar="WHY", help="the changed steps still make the same outputs, because ...")
    parser.add_argument("--show", metavar="STEP", help="list the definitions that a step reaches, and change nothing")
    chosen = parser.parse_args(arguments)
    if chosen.show:
        step = all_steps()[chosen.show]
        for module, name in sorted(reached(step.fn.__module__, step.fn.__name__, step.declared.jobs)):
            print(f"{module}.{name}" if name else f"{module} (when it is imported)")
        return
    print("updated:", ", ".join(update_lock(chosen.same)) or "nothing", file=sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
