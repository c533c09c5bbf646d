"""VOLUME_CONDITION of CSI 1.12, for kubelets up to 1.36 and health monitors up to 0.18: the bytes that they read.

CSI 1.13 took the message away and reserved its numbers, so that its definition cannot have them; other peers skip what
they do not know. Source: csi.proto of CSI 1.12; Protocol Buffers, "Encoding".
"""

from typing import Final, TypeVar, cast

from google.protobuf.message import Message

from directpv_csi_gateway.pb import csi_pb2 as pb

M = TypeVar("M", bound=Message)

CONTROLLER_CAPABILITY: Final = cast(pb.ControllerServiceCapability.RPC.Type, 11)
NODE_CAPABILITY: Final = cast(pb.NodeServiceCapability.RPC.Type, 4)
WELL: Final = "the volume is well"
UNWELL: Final = "the volume is not well"
_FIELD: Final = 2
"""``volume_condition``, in each of the three messages that had it."""


def with_condition(reply: M, abnormal: bool, message: str) -> M:
    """Add a VolumeCondition to ``reply``, a message that had one, and return it; CSI wants a text in any case."""
    text = (message or (UNWELL if abnormal else WELL)).encode()
    condition = (b"\x08\x01" if abnormal else b"") + _counted(2, text)
    reply.MergeFromString(_counted(_FIELD, condition))
    return reply


def _counted(field: int, data: bytes) -> bytes:
    """Return a field of wire type LEN."""
    return bytes((field << 3 | 2,)) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    digits = []
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*digits, value))
