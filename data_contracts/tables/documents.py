"""Documents a language model is pre-trained on (the tiny world's corpus)."""

from enum import StrEnum

import pyarrow as pa

from data_contracts.tables.contract import Contract, not_blank, one_of, text


class DocumentKind(StrEnum):
    """What a document holds; pre-training reads `single_turn` documents first, as rows of their own."""

    SINGLE_TURN = "single_turn"
    CONVERSATIONS = "conversations"
    QUERY_LIST = "query_list"


class Documents(Contract):
    """One row per document: plain text, without any tokenizer's special tokens."""

    name = "documents"
    schema = pa.schema([text("document_id"), text("kind"), text("text")])
    key = "document_id"
    rules = (one_of("kind", DocumentKind), not_blank("text"))
