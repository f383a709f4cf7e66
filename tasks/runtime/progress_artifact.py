"""Progress of long steps as Prefect progress artifacts, with the time left in words: the run's Artifacts tab.

A step that ends within seconds gets none. What the API refuses or loses costs the run nothing.
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

from tasks.runtime.context import Progress
from tasks.runtime.run_record import StepRecord

FIRST_AFTER_S, EVERY_S = 2.0, 5.0
LOST = (httpx.HTTPError, PrefectException, OSError)


class ProgressArtifacts:
    """One artifact per step of a flow run, kept up to date; progress may be told from any thread."""

    def __init__(self, client: SyncPrefectClient, flow_run_id: UUID, describe: Callable[[Progress], str]) -> None:
        self._client, self._flow_run_id, self._describe = client, flow_run_id, describe
        self._due: dict[str, float] = {}
        self._ids: dict[str, UUID] = {}
        self._lock = Lock()

    def step_finished(self, step: StepRecord) -> None:
        """A finished step has told its last progress already."""

    def progressed(self, progress: Progress) -> None:
        """Create or update the step's artifact, if it is time to."""
        with self._lock:
            now = time.monotonic()
            due = self._due.setdefault(progress.step, now + FIRST_AFTER_S)
            ended = progress.done >= progress.total
            known = progress.step in self._ids
            if (ended and not known) or (not ended and now < due):
                return
            self._due[progress.step] = now + EVERY_S
            try:
                self._publish(progress)
            except LOST:
                return  # the terminal and the log still tell

    def _publish(self, progress: Progress) -> None:
        percent = 100.0 * min(progress.done / progress.total, 1.0) if progress.total else 100.0
        description = self._describe(progress)
        known = self._ids.get(progress.step)
        if known is not None:
            self._client.update_artifact(known, ArtifactUpdate(data=percent, description=description))
            return
        made = self._client.create_artifact(
            ArtifactCreate(
                key=f"progress-{re.sub(r'[^a-z0-9]+', '-', progress.step.lower()).strip('-')}",
                type="progress",
                description=description,
                data=percent,
                flow_run_id=self._flow_run_id,
            )
        )
        self._ids[progress.step] = made.id
