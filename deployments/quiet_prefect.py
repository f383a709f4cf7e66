"""Prefect's settings for runs from the command line; set before Prefect is imported, and only where unset."""

import os

DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # a fresh database migrates for up to 20 s
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # errors are told once, by the command line
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_TASKS_DEFAULT_PERSIST_RESULT": "false",
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",  # more threads than cores are ten times slower
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


def quieten() -> None:
    """Apply the defaults; whatever the user has set stays."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
