"""Progress of long stages as Prefect progress artifacts, with the time left in words: the run's Artifacts tab.

A stage that ends within seconds gets none. What the API refuses or loses costs the run nothing.
"""

import re
import time
from collections.abc import Callable
from threading import Lock
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.exceptions import PrefectException

from tasks.runtime.progress import Progress

FIRST_AFTER_S, EVERY_S = 2.0, 5.0
LOST = (httpx.HTTPError, PrefectException, OSError)


class ProgressArtifacts:
    """One artifact per stage of a flow run, kept up to date; progress may be told from any thread."""

    def __init__(self, client: SyncPrefectClient, flow_run_id: UUID, describe: Callable[[Progress], str]) -> None:
        self._client, self._flow_run_id, self._describe = client, flow_run_id, describe
        self._due: dict[str, float] = {}
        self._ids: dict[str, UUID] = {}
        self._lock = Lock()

    def tell(self, progress: Progress) -> None:
        """Create or update the stage's artifact, if it is time to."""
        with self._lock:
            now = time.monotonic()
            due = self._due.setdefault(progress.stage, now + FIRST_AFTER_S)
            ended = progress.done >= progress.total
            known = progress.stage in self._ids
            if (ended and not known) or (not ended and now < due):
                return
            self._due[progress.stage] = now + EVERY_S
            try:
                self._publish(progress)
            except LOST:
                return  # the terminal and the log still tell

    def _publish(self, progress: Progress) -> None:
        percent = 100.0 * min(progress.done / progress.total, 1.0) if progress.total else 100.0
        description = self._describe(progress)
        known = self._ids.get(progress.stage)
        if known is not None:
            self._client.update_artifact(known, ArtifactUpdate(data=percent, description=description))
            return
        made = self._client.create_artifact(
            ArtifactCreate(
                key=f"progress-{re.sub(r'[^a-z0-9]+', '-', progress.stage.lower()).strip('-')}",
                type="progress",
                description=description,
                data=percent,
                flow_run_id=self._flow_run_id,
            )
        )
        self._ids[progress.stage] = made.id
