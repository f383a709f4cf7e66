"""Documents a language model is pre-trained on (the tiny world's corpus)."""

from enum import StrEnum

from data_contracts.rows.row import Row
from data_contracts.rows.rules import not_blank


class DocumentKind(StrEnum):
    """What a document holds; pre-training reads `single_turn` documents first, as rows of their own."""

    SINGLE_TURN = "single_turn"
    CONVERSATIONS = "conversations"
    QUERY_LIST = "query_list"


class Document(Row, table="documents", key="document_id"):
    """One row per document: plain text, without any tokenizer's special tokens."""

    document_id: str
    kind: DocumentKind
    text: str

    rules = (not_blank("text"),)
