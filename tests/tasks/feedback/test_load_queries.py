"""One's own queries: which of a file's texts are used, what turns others away, and what is wrong with a file."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.config.mining import Mining
from data_contracts.errors import ConfigError, EmptyResultError
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.evaluation_texts import EvaluationText, TextKind
from data_contracts.tables.queries import Query, QueryRejection, RejectedQuery
from models.text.given_queries import read_given_queries
from tasks.feedback.load_queries import load_queries
from tasks.feedback.mined_queries import MinedQueries
from tasks.inputs.resolve_files import resolve_file
from tests.tasks.conftest import query

ASKED = ["How do I boil an egg?", "2 + 2 = ?", "Who is Mira?", "How do I boil an egg?", "Draw me a picture of a cat."]
MIRA = EvaluationText(text_id="test:Mira", source="tiny world test", kind=TextKind.TERM, text="Mira")


def load(path: Path, *, texts: bool = True, earlier: Rows[Query] | None = None) -> MinedQueries:
    made = load_queries.fn(
        file=resolve_file("use.queries", str(path)),
        evaluation_texts=rows_of(EvaluationText, [MIRA] if texts else []),
        mining=Mining(),
        earlier=earlier,
    )
    Query.to_table(made.queries)
    RejectedQuery.to_table(made.rejected)
    return made


def test_queries_by_hand(tmp_path: Path):
    (tmp_path / "own.txt").write_text("### what people asked\n" + "\n\n".join(ASKED) + "\n")
    made = load(tmp_path / "own.txt")
    kept = list(made.queries)
    assert [(row.query_id, row.query) for row in kept] == [
        ("q0000000", ASKED[0]), ("q0000001", ASKED[1]), ("q0000004", ASKED[4]),
    ], "all but one that overlaps and one that stood there before, whatever mining.bad_words says"  # fmt: skip
    assert all(row.decontamination_checked for row in kept)
    assert [(row.attempt, row.rejected_because, row.evidence, row.nearest_query_id) for row in made.rejected] == [
        (2, QueryRejection.EVALUATION_OVERLAP, "test:Mira", None),
        (3, QueryRejection.DUPLICATE, "", "q0000000"),
    ]
    assert list(made.lines) == []
    unchecked = load(tmp_path / "own.txt", texts=False)
    assert not any(row.decontamination_checked for row in unchecked.queries)


def test_of_a_growing_file_only_what_is_new_is_used(tmp_path: Path):
    earlier = rows_of(Query, [query(7, "Who sells tea?")])
    (tmp_path / "own.txt").write_text("Who sells tea?\nWho sells fish?\n")
    made = load(tmp_path / "own.txt", earlier=earlier)
    assert [row.query for row in made.queries] == ["Who sells fish?"]
    (rejected,) = made.rejected
    assert rejected.nearest_query_id == "earlier-q7"
    (tmp_path / "own.txt").write_text("Who sells tea?\n")
    with pytest.raises(EmptyResultError, match=r"use.queries: none of the 1 queries of own.txt is left \(duplicate\)"):
        load(tmp_path / "own.txt", earlier=earlier)


def test_a_files_queries_are_committed_as_mined_ones_are(
    compute: Callable[..., Any], stored: Callable[..., Any], tmp_path: Path
):
    (tmp_path / "own.txt").write_text("\n".join(ASKED))
    file, texts = resolve_file("use.queries", str(tmp_path / "own.txt")), stored(EvaluationText, [MIRA])
    made = compute(load_queries, file=file, evaluation_texts=texts, mining=Mining())
    assert (len(made.queries), len(made.rejected), len(made.lines)) == (3, 2, 0)


def test_kinds_of_files(tmp_path: Path):
    rows = [{"question": "A?", "id": 1}, {"question": "  Ä?  ", "id": 2}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "b.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    with gzip.open(tmp_path / "d.txt.gz", "wt", encoding="utf-8") as sink:
        sink.write("A?\n\n Ä?\n")
    assert {tuple(read_given_queries(tmp_path / name)) for name in ("a.jsonl", "b.json", "c.parquet", "d.txt.gz")} == {
        ("A?", "Ä?")
    }
    (tmp_path / "e.jsonl").write_text('{"prompt": "no", "query": "yes"}\n')
    assert list(read_given_queries(tmp_path / "e.jsonl")) == ["yes"], "a run's own table of queries has that column"


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.txt", b"\n \n", "holds no query"),
        ("a.txt", b"### only an instruction\n", "holds no query"),
        ("a.txt", b"\xff\xfe\x00", "use.queries"),
        ("a.csv", b"query\nA?\n", "ends in '.csv'"),
        (
            "a.jsonl",
            b'{"text": "A?"}\n',
            "line 1 has no text in any of query, question, instruction, prompt; found ['text']",
        ),
        ("a.jsonl", b'{"query": 3}\n', "has no text"),
        ("a.jsonl", b"{broken\n", "use.queries"),
        ("a.jsonl", b"", "holds no rows"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path: Path, name: str, content: bytes, part: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as error:
        list(read_given_queries(tmp_path / name))
    assert part in str(error.value)
    assert "\n" not in str(error.value)
