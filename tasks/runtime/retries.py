"""Which errors of a step Prefect retries, how often, and how long one attempt may take."""

from typing import Any

from prefect.client.schemas.objects import State

from data_contracts.errors import AlmostError

RETRY_DELAYS_S = [5, 30]
TIME_LIMIT_S = 48 * 3600


def is_transient(_task: Any, _run: Any, state: State) -> bool:
    """Retry by class of error: network and signals yes; configuration, contract, NaN, memory no."""
    try:
        state.result()  # type: ignore[unused-coroutine]
    except AlmostError as error:
        return error.transient
    except (ConnectionError, TimeoutError):
        return True
    except BaseException:  # noqa: BLE001 - whatever it was, it will happen again
        return False
    return False
