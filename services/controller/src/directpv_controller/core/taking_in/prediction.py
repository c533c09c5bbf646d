"""What becomes of a drive whose disk expects to fail, if the policy is to cordon it: once per prediction.

The drive carries a label from then on. It says why the drive is cordoned, and it outlives leaders, agents and the
registry: a person who uncordons the drive has the last word. Only an agent that saw the failure predicted and then saw
it end takes the label away; one that was started anew has not looked yet.
"""

from typing import Final

import msgspec

from directpv_common.protocol.messages import ConditionType, DriveRecord
from directpv_common.protocol.names import GROUP

LABEL: Final = f"{GROUP}/cordoned-for"
VALUE: Final = "predicted-failure"

replace = msgspec.structs.replace


def predicted(record: DriveRecord) -> str:
    """Return why the drive's disk is expected to fail; empty if it is not."""
    found = (each.message for each in record.conditions if each.type is ConditionType.FAILURE_PREDICTED)
    return next(found, "")


def cordoned(before: DriveRecord | None, after: DriveRecord, *, same_run: bool) -> DriveRecord:
    """Return ``after`` as the policy wants it.

    Args:
        before: What the ledger had; None: nothing.
        after: The same with what the node observed.
        same_run: Whether both are from one run of the node's agent.
    """
    if predicted(after):
        if LABEL in after.labels:
            return after
        return replace(after, unschedulable=True, labels={**after.labels, LABEL: VALUE})
    if before is not None and predicted(before) and same_run and LABEL in after.labels:
        return replace(after, labels={key: value for key, value in after.labels.items() if key != LABEL})
    return after
