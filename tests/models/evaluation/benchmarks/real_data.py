"""Where the public benchmark files are; tests that need them skip without."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("ALMOST_DATA", "../shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "mmlu").is_dir(), reason=f"needs the public test data at {DATA}")
