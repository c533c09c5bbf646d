"""Identities on the bus: ed25519 keys in the text form that NATS has for them.

The seed is the secret and stays in a file that only its owner can read; the public key is what servers know of it.
Source: NATS nkeys: prefix, key and CRC-16/XMODEM (little endian) in base32 without padding; the seed's prefix takes
two bytes, in which the kind of key stands across the border.
"""

import base64
import binascii
import contextlib
import os
from enum import IntEnum
from pathlib import Path
from typing import Final

from directpv_common.protocol.errors import FailedPrecondition, InvalidRequest

_SEED: Final = 18 << 3


class Kind(IntEnum):
    """What a key stands for: the first letter of its text form."""

    ACCOUNT = 0
    """``A``: who signs the permissions of users."""
    USER = 20 << 3
    """``U``"""


_LENGTH: Final = 32
_CRC: Final = 2


class Nkey:
    """One key: a user's, unless ``kind`` says otherwise. ``public`` begins with the kind's letter."""

    def __init__(self, secret: bytes, kind: Kind = Kind.USER) -> None:
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

        self._secret, self._kind = secret, kind
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public = _encoded(bytes((kind,)), self._key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """The secret in text form; a user's begins with ``SU``."""
        return _encoded(_seed_prefix(self._kind), self._secret)

    def answer(self, nonce: str) -> bytes:
        """Return the signature by which a server knows us, in base64. Source: NATS protocol, CONNECT, ``sig``."""
        return self.sign(nonce.encode())

    def sign(self, text: bytes) -> bytes:
        """Return the signature of ``text``, in base64 for URLs without padding."""
        return base64.urlsafe_b64encode(self._key.sign(text)).rstrip(b"=")

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
    body = _body(raw)
    if len(body) != 2 + _LENGTH or body[:2] != _seed_prefix(Kind.USER):
        raise InvalidRequest(
            "nats-nkey: the file holds no seed of a user; it is one line that begins with SU", field="nats-nkey"
        )
    return Nkey(body[2:])


def signed(public: str, signature: str, text: bytes) -> bool:
    """Tell whether the user ``public`` made ``signature`` (base64 for URLs) of ``text``; never raises for bad input."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = _body(base64.b32decode(public + "=" * (-len(public) % 8)))
        if len(key) != 1 + _LENGTH or key[0] != Kind.USER:
            return False
        padded = signature.rstrip("=") + "=" * (-len(signature.rstrip("=")) % 4)
        Ed25519PublicKey.from_public_bytes(key[1:]).verify(base64.urlsafe_b64decode(padded), text)
    except (InvalidSignature, ValueError):
        return False
    return True


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


def kept_key(path: Path) -> Nkey:
    """Return the key of a file, which is made if it is missing, or holds no key (any more); its folder is closed.

    One process at a time may call this; it may be killed at any point.

    Raises:
        OSError: The file cannot be read or made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    with contextlib.suppress(InvalidRequest):
        return read_seed(path)
    fresh, key = path.with_name(f"{path.name}.new"), new_nkey()
    fresh.unlink(missing_ok=True)
    write_seed(fresh, key)
    for place in (fresh, path.parent):
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
            if place == fresh:
                fresh.replace(path)
        finally:
            os.close(descriptor)
    return key


def _seed_prefix(kind: Kind) -> bytes:
    return bytes((_SEED | kind >> 5, (kind & 31) << 3))


def _body(raw: bytes) -> bytes:
    """Return what stands before the check sum; nothing if that is wrong."""
    body, crc = raw[:-_CRC], raw[-_CRC:]
    return body if binascii.crc_hqx(body, 0).to_bytes(_CRC, "little") == crc else b""


def _encoded(prefix: bytes, key: bytes) -> str:
    body = prefix + key
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(_CRC, "little")).decode().rstrip("=")
