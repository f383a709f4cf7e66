"""Automations on the Prefect server: runs without a heartbeat, and word of failures.

1. Zombies. A run whose process vanished with its machine would stay Running and hold a slot. Runs send a heartbeat every
   HEARTBEAT_S (prefect.yaml sets it); after ZOMBIE_S of silence the run becomes Crashed. Crashed does not end a process
   that lives after all: the lock of its step (`data_contracts/store/lock.py`) is what keeps it from writing.
2. Failures. With `ALMOST_NOTIFY=<block type>/<block name>` (any notification block of the server, e.g.
   slack-webhook/almost), failed and crashed runs send a message.
"""

import os
from datetime import timedelta

from prefect import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from data_contracts.errors import ConfigError

HEARTBEAT_S, ZOMBIE_S = 60, 300
ENDS = ("Completed", "Failed", "Crashed", "Cancelled", "Suspended", "Paused")
NOTIFY = "ALMOST_NOTIFY"
TAGGED = ResourceSpecification({"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.almost"})
ANY_RUN = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})


def zombie_automation() -> AutomationCore:
    """A run of this project that sent a heartbeat, and then neither another nor its end, is Crashed."""
    return AutomationCore(
        name="almost: runs without a heartbeat are crashed",
        trigger=EventTrigger(
            match=ANY_RUN,
            match_related=TAGGED,
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{end}" for end in ENDS)},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=ZOMBIE_S),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, name="Crashed", message=f"No heartbeat for {ZOMBIE_S} s.", force=False
            )
        ],
    )


def failure_automation(block: str) -> AutomationCore:
    """A message through a notification block whenever a run of this project fails or crashes.

    Raises:
        ConfigError: the server has no such block.
    """
    kind, _, name = block.partition("/")
    with get_client(sync_client=True) as client:
        try:
            document = client.read_block_document_by_name(name, kind)
        except ObjectNotFound as error:
            raise ConfigError(f"{NOTIFY}={block}: the server has no such block; give <block type>/<name>") from error
    return AutomationCore(
        name="almost: word of failed runs",
        trigger=EventTrigger(
            match=ANY_RUN,
            match_related=TAGGED,
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            SendNotification(
                block_document_id=document.id,
                subject="ALMoST: {{ flow_run.name }} {{ flow_run.state.name }}",
                body="{{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
            )
        ],
    )


def create_automations() -> None:
    """Make the automations that are missing; those that a person has changed or paused stay as they are."""
    wanted = [zombie_automation()]
    block = os.environ.get(NOTIFY)
    if block:
        wanted.append(failure_automation(block))
    with get_client(sync_client=True) as client:
        for automation in wanted:
            if not client.read_automations_by_name(automation.name):
                client.create_automation(automation)
