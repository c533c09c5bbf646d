"""What a ledger holds, in plain dictionaries: the model of the state machine."""

from dataclasses import dataclass, field

import hypothesis.strategies as st
import msgspec

import directpv_common.protocol.messages as m
from directpv_common.protocol.names import AccessTier
from unit.controller.builders import CLAIM

NODES = ("n1", "n2", "n3")
ZONES = ("z1", "z2")
NAMES = tuple(f"v{i}" for i in range(12))
SIZES = st.integers(1, 60)
CLAIMS = st.sampled_from(("", CLAIM))


@dataclass
class NaiveVolume:
    drive: str
    capacity: int
    claim: str
    deleting: bool = False


@dataclass
class NaiveDrive:
    record: m.DriveRecord
    volumes: dict[str, NaiveVolume] = field(default_factory=dict)
    on_disk: dict[str, m.VolumeRecord] = field(default_factory=dict)
    generation: int = 1

    @property
    def free(self) -> int:
        return self.record.total - self.record.overhead - sum(v.capacity for v in self.volumes.values())

    def takes(self, size: int, tier: AccessTier | None, claim: str) -> bool:
        return (
            self.record.status is m.DriveStatus.READY
            and not self.record.unschedulable
            and self.free >= size
            and tier in (None, self.record.access_tier)
            and not (claim and claim in {v.claim for v in self.volumes.values()})
        )


def copied(record: m.VolumeRecord) -> m.VolumeRecord:
    return msgspec.structs.replace(record)
