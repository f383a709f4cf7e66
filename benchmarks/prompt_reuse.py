"""How many prompt tokens run through the models, against how many different ones there are?

A run's own counters, per step that generates behind a prefix: computed prompt tokens (padding and repetitions
included) over unique ones (each shared prefix and each different suffix once). Runs the profile up to the
demonstrations in a fresh home.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MOST = 1.1
STEPS = ("mine_queries", "sample_responses", "self_play")


def measure(profile: str = "tiny") -> dict[str, Any]:
    """The highest ratio of any step, and each step's."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        almost = Path(sys.executable).with_name("almost")
        command = [str(almost), "run", "--profile", profile, "--home", str(home), "--until", "demonstrations"]
        environment = os.environ | {"PREFECT_HOME": str(Path(folder) / "prefect")}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        (summary,) = (home / "runs").glob("*/summary.json")
        ratios = ratios_of(json.loads(summary.read_text()))
    return {"ratio": max(ratios.values()), "profile": profile, **ratios}


def ratios_of(summary: dict[str, Any]) -> dict[str, float]:
    """Computed over unique prompt tokens of each step that generates; asserts the goal."""
    ratios = {
        step["label"]: round(step["counters"]["computed_prompt_tokens"] / step["counters"]["unique_prompt_tokens"], 3)
        for step in summary["steps"]
        if step["label"].startswith(STEPS) and step["counters"].get("unique_prompt_tokens")
    }
    assert ratios, "no step generated"
    assert max(ratios.values()) <= MOST, f"prompt tokens are computed more often than needed: {ratios}"
    return ratios
