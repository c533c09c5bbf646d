"""What a backend has to be: registry and election, opened together, and what it does beside a term of leadership."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from directpv_common.protocol.messages import FormatResults, InitDevices
from directpv_controller.leading.port import Election, Registry
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import ForgetKey, Nodes
from directpv_controller.nodes.pod_labels import ReadPod, ReadPv

Format = Callable[[InitDevices], Awaitable[FormatResults]]
"""Formats devices and registers the drives that they become."""


class Store(Protocol):
    """A registry and its election, opened together."""

    registry: Registry
    election: Election

    @property
    def read_pod(self) -> ReadPod | None:
        """What reads the labels of pods; None: there are no pods."""
        ...

    @property
    def read_pv(self) -> ReadPv | None:
        """What reads what PersistentVolumes say; None: there are none."""
        ...

    @property
    def forget_key(self) -> ForgetKey | None:
        """What forgets by which key a node came to the bus; None: nobody keeps such keys."""
        ...

    def attending(self, term: Term, nodes: Nodes, init_devices: Format) -> AbstractAsyncContextManager[None]:
        """Do what the store needs done beside a term of leadership: take in what others write to it."""
        ...


class OpenStore(Protocol):
    """Opens the store; closes it at the end of the block."""

    def __call__(self) -> AbstractAsyncContextManager[Store]:
        """Open.

        Raises:
            RegistryDamaged: It is there and cannot be understood.
            Unavailable: It cannot be reached or created.
        """
        ...
