"""Tables and checkpoints of one role are not taken for those of another: the type checker says so before anything runs.

At run time the handle's contract says so, too: see `tests/data_contracts/store/test_stored.py`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from data_contracts.store.home import PROJECT_ROOT

CALLS = """
from data_contracts.config.engine import EngineConfig
from data_contracts.folder_contracts import LastPolicyCheckpoint, PolicyCheckpoint, RewardCheckpoint
from data_contracts.store.stored import Folder
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.queries import Query
from data_contracts.tables.responses import Response
from data_contracts.rows.rows import Rows
from tasks.feedback.judge_by_as_is import judge_by_as_is
from tasks.feedback.rank_comparisons import rank_comparisons


def calls(
    policy: Folder[PolicyCheckpoint], reward: Folder[RewardCheckpoint], responses: Rows[Response], queries: Rows[Query]
) -> None:
    comparisons: Rows[Comparison] = rank_comparisons(responses=[responses])
    judge_by_as_is(comparisons=comparisons, as_is=reward, engine=EngineConfig())
    judge_by_as_is(comparisons=comparisons, as_is=policy, engine=EngineConfig())  # wrong: a policy gives no rewards
    judge_by_as_is(comparisons=queries, as_is=reward, engine=EngineConfig())  # wrong: queries are no comparisons
    rank_comparisons(responses=[queries])  # wrong: queries are no responses
    rank_comparisons([responses])  # wrong: by position
    last: Folder[LastPolicyCheckpoint] = policy  # wrong: the chosen policy is not the last one
"""


@pytest.mark.slow
def test_swapped_arguments_are_errors_of_types(tmp_path: Path):
    file = tmp_path / "calls.py"
    file.write_text(CALLS)
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(file)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    lines = {entry["range"]["start"]["line"] + 1 for entry in found if entry["severity"] == "error"}
    wrong = {number for number, line in enumerate(CALLS.splitlines(), start=1) if "# wrong" in line}
    assert lines == wrong, done.stdout
