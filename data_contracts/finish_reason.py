"""Why a completion ended; every table of generated text stores it."""

from enum import StrEnum


class FinishReason(StrEnum):
    """Why a completion ended: a stop string, an end token, or the limit of new tokens; failed: there is none."""

    STOP = "stop"
    END = "end"
    LENGTH = "length"
    FAILED = "failed"
