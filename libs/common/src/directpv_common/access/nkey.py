"""Identities on the bus: ed25519 keys in the text form that NATS has for them.

The seed is the secret and stays in a file that only its owner can read; the public key is what servers know of it.
Source: NATS nkeys: prefix, key and CRC-16/XMODEM (little endian) in base32 without padding; the seed's prefix takes
two bytes, in which the kind of key stands across the border.
"""

import base64
import binascii
import os
from pathlib import Path
from typing import Final

from directpv_common.protocol.errors import FailedPrecondition, InvalidRequest

_SEED: Final = 18 << 3
_USER: Final = 20 << 3
_LENGTH: Final = 32
_CRC: Final = 2


class Nkey:
    """One user's key. ``public`` begins with ``U``."""

    def __init__(self, secret: bytes) -> None:
        """``secret``: 32 bytes.

        Raises:
            FailedPrecondition: The library that signs is not there, as in the plugin's archives: it has no wheels for
                all of their platforms.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        except ImportError as error:
            raise FailedPrecondition(
                "nats-nkey: a key needs the Python package cryptography, which is not installed here"
            ) from error

        self._secret = secret
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public = _encoded(bytes((_USER,)), self._key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """The secret in text form; begins with ``SU``."""
        return _encoded(bytes((_SEED | _USER >> 5, (_USER & 31) << 3)), self._secret)

    def answer(self, nonce: str) -> bytes:
        """Return the signature by which a server knows us, in base64. Source: NATS protocol, CONNECT, ``sig``."""
        return base64.urlsafe_b64encode(self._key.sign(nonce.encode())).rstrip(b"=")

    @property
    def inbox(self) -> str:
        """Prefix of the subjects on which replies come to this user, and to nobody else."""
        return f"_INBOX.{self.public}"


def new_nkey() -> Nkey:
    """Return a key that nobody had before."""
    return Nkey(os.urandom(_LENGTH))


def parse_seed(text: str) -> Nkey:
    """Return the key of a seed.

    Raises:
        InvalidRequest: It is none of a user; what it says is not repeated.
    """
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        raw = b""
    body, crc = raw[:-_CRC], raw[-_CRC:]
    whole = len(body) == 2 + _LENGTH and binascii.crc_hqx(body, 0).to_bytes(_CRC, "little") == crc
    if not whole or body[:2] != bytes((_SEED | _USER >> 5, (_USER & 31) << 3)):
        raise InvalidRequest(
            "nats-nkey: the file holds no seed of a user; it is one line that begins with SU", field="nats-nkey"
        )
    return Nkey(body[2:])


def read_seed(path: Path) -> Nkey:
    """Return the key whose seed a file holds.

    Raises:
        InvalidRequest: It cannot be read, or holds something else; names the file.
    """
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidRequest(f"nats-nkey: {path} cannot be read: {why}", field="nats-nkey") from error
    try:
        return parse_seed(text)
    except InvalidRequest as error:
        raise InvalidRequest(f"{error.message}: {path}", field="nats-nkey") from error


def key_of(path: str) -> Nkey | None:
    """Return the key that a setting names; None if it names none. Raises as :func:`read_seed`."""
    return read_seed(Path(path)) if path else None


def write_seed(path: Path, nkey: Nkey) -> None:
    """Write the seed to a new file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w") as file:
        file.write(f"{nkey.seed}\n")


def _encoded(prefix: bytes, key: bytes) -> str:
    body = prefix + key
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(_CRC, "little")).decode().rstrip("=")
