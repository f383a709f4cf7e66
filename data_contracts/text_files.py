"""Open text files, gzipped or not."""

import gzip
from pathlib import Path
from typing import IO, cast


def open_text(path: Path) -> IO[str]:
    """Open `path` for reading as UTF-8; a name that ends in .gz is decompressed."""
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8"))
    return path.open(encoding="utf-8")
