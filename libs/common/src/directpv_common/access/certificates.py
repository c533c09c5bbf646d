"""TLS on the bus of a cluster: an authority that is made of the installation's secret, and what it issues.

Everybody who has the secret makes the very same certificate of the authority: its key, names and dates are fixed, and
signatures by ed25519 have no chance in them (RFC 8032). So nothing more has to be kept, and a certificate of a server
lives as long as its process: whoever could steal its key could steal the secret.

Source: RFC 5280, profile of certificates; RFC 8410, ed25519 in them.
"""

import datetime
import hashlib
import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

BEGINS: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
ENDS: Final = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)
"""Of all certificates: a clock that is wrong, or set right meanwhile, cuts nobody off."""
LOCAL: Final = ("localhost", "127.0.0.1", "::1")
"""What servers are called by who comes through ``kubectl port-forward``."""


class Issued(NamedTuple):
    """Of a server, both as PEM."""

    certificate: str
    key: str


class Authority:
    """Says who is a server of this installation."""

    def __init__(self, seed: bytes) -> None:
        """``seed``: 32 bytes."""
        self._seed = seed

    @property
    def certificate(self) -> str:
        """What everybody may know, as PEM; the same for the same seed."""
        key = self._key()
        usage = dict.fromkeys(_USAGES, False) | {"key_cert_sign": True}
        return _pem(_certificate(_name(key), _name(key), key, 1, ca=True, usage=usage).sign(key, None))

    def issue(self, names: Iterable[str], begins: datetime.datetime = BEGINS, ends: datetime.datetime = ENDS) -> Issued:
        """Return a certificate for a new key.

        Args:
            names: By which the server is reached: names of DNS, or addresses.
            begins: When it begins to be good.
            ends: When it is good no more.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.x509.oid import ExtendedKeyUsageOID

        own, key = self._key(), Ed25519PrivateKey.generate()
        usage = dict.fromkeys(_USAGES, False) | {"digital_signature": True}
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = _certificate(
            x509.Name([]), _name(own), key, x509.random_serial_number(), ca=False, usage=usage, dates=(begins, ends)
        )
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), True)
        builder = builder.add_extension(purposes, False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own.public_key()), False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Issued(_pem(builder.sign(own, None)), private.decode())

    def _key(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._seed)


_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _name(key: "Ed25519PrivateKey") -> "x509.Name":
    """Return the name of an authority; one of another secret has another name."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    digest = hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"directpv bus {digest}")])


def _certificate(
    subject: "x509.Name",
    issuer: "x509.Name",
    key: "Ed25519PrivateKey",
    serial: int,
    *,
    ca: bool,
    usage: dict[str, Any],
    dates: tuple[datetime.datetime, datetime.datetime] = (BEGINS, ENDS),
) -> "x509.CertificateBuilder":
    from cryptography import x509

    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), serial, *dates)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _alternative(name: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: "x509.Certificate") -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM).decode()
