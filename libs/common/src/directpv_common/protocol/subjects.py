"""Every NATS subject that DirectPV uses.

| subject                              | pattern                                    |
|--------------------------------------|--------------------------------------------|
| ``<prefix>.ctl.<noun>.<verb>``       | request/reply, answered by the leader alone |
| ``<prefix>.node.<node>.<noun>.<verb>`` | request/reply, answered by that node's agent |
| ``<prefix>.evt.<node>.<noun>.<kind>``  | events, kept in a JetStream stream         |
| ``<prefix>.metrics.<node>``          | sampled drive and volume metrics, in parts  |
| ``<prefix>.state.<node>``            | heartbeat of a node agent                   |
| ``<prefix>.leader``                  | a new leader says that it answers now       |
| ``<prefix>.rollcall``                | a new leader's call to all nodes: each sends its heartbeat at once |
| ``<prefix>.door.<key>``              | request/reply: of who is not known yet and has this key |
| ``<prefix>.cut``                     | a controller ended somebody's connection, and the others let him in no sooner |
"""

import re
from dataclasses import dataclass
from typing import Final

DEFAULT_PREFIX: Final = "directpv.v1"
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z")


def node_token(node: str) -> str:
    """Return the one subject token that stands for ``node``.

    A node name may hold dots, which NATS would split; ``_`` cannot occur in a
    Kubernetes name, so nothing is lost.

    >>> node_token("ip-10-0-0-7.ec2.internal")
    'ip-10-0-0-7_ec2_internal'
    """
    return node.replace(".", "_")


@dataclass(frozen=True)
class Subjects:
    """Builds subjects under ``prefix``, so that several installations can share one NATS cluster."""

    prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        if not _PREFIX.match(self.prefix):
            raise ValueError(f"subject prefix {self.prefix!r}: use letters, digits, '-', '_' and single dots")

    def controller(self, noun: str, verb: str) -> str:
        """Return the subject of a controller call."""
        return f"{self.prefix}.ctl.{noun}.{verb}"

    def node(self, node: str, noun: str, verb: str) -> str:
        """Return the subject of a call to the agent of ``node``."""
        return f"{self.prefix}.node.{node_token(node)}.{noun}.{verb}"

    def event(self, node: str, noun: str, kind: str) -> str:
        """Return the subject of an event about ``noun`` on ``node``."""
        return f"{self.prefix}.evt.{node_token(node)}.{noun}.{kind}"

    def metrics(self, node: str) -> str:
        """Return the subject of the metrics that ``node`` samples."""
        return f"{self.prefix}.metrics.{node_token(node)}"

    def state(self, node: str) -> str:
        """Return the subject of the heartbeat of ``node``."""
        return f"{self.prefix}.state.{node_token(node)}"

    @property
    def leader(self) -> str:
        """The subject on which a leader says that it answers."""
        return f"{self.prefix}.leader"

    @property
    def roll_call(self) -> str:
        """The subject on which a leader calls all nodes."""
        return f"{self.prefix}.rollcall"

    @property
    def cut(self) -> str:
        """The subject on which a controller tells the others whom it cut off."""
        return f"{self.prefix}.cut"

    def door(self, key: str) -> str:
        """Return the subject on which the owner of a public key asks to be registered."""
        return f"{self.prefix}.door.{key}"

    @property
    def all_events(self) -> str:
        """Every event of every node."""
        return f"{self.prefix}.evt.>"

    @property
    def all_states(self) -> str:
        """Every heartbeat."""
        return f"{self.prefix}.state.*"

    @property
    def stream(self) -> str:
        """Name of the JetStream stream that keeps the events."""
        return f"{self.prefix.replace('.', '-')}-events"
