"""Creates certificate authorities and issues certificates with elliptic-curve keys, valid for a year."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS = 365
_CLOCK_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority in a folder; existing certificates are reused.

    Attributes:
        pair: Certificate and key of the authority.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._name = folder, name
        self.pair = Pair(cert=folder / f"{name}.crt", key=folder / f"{name}.key")
        if not self.pair.cert.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            builder = _builder(_name(name), _name(name), key).add_extension(
                x509.BasicConstraints(ca=True, path_length=None), critical=True
            )
            _write(self.pair, builder.sign(key, hashes.SHA256()), key)
        self._key = serialization.load_pem_private_key(self.pair.key.read_bytes(), password=None)
        self._cert = x509.load_pem_x509_certificate(self.pair.cert.read_bytes())

    def issue(
        self,
        file: str,
        *,
        user: str,
        group: str | None = None,
        names: tuple[str, ...] = (),
        addresses: tuple[str, ...] = (),
    ) -> Pair:
        """Return a client certificate, which is also a server certificate if it has names or addresses.

        Args:
            file: Base name of the files.
            user: Common name: the user in Kubernetes.
            group: Organization: the group in Kubernetes.
            names: DNS names of the server.
            addresses: IP addresses of the server.
        """
        pair = Pair(cert=self._folder / f"{file}.crt", key=self._folder / f"{file}.key")
        if pair.cert.exists():
            return pair
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(_name(user, group), self._cert.subject, key)
        if names or addresses:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            subjects: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
            subjects += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        assert isinstance(self._key, ec.EllipticCurvePrivateKey)
        _write(pair, builder.sign(self._key, hashes.SHA256()), key)
        return pair


def service_account_keys(folder: Path) -> Pair:
    """Return the key pair for service-account tokens; `cert` is the public key."""
    pair = Pair(cert=folder / "service-accounts.pub", key=folder / "service-accounts.key")
    if not pair.cert.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        _write_key(pair.key, key)
        pair.cert.write_bytes(public)
    return pair


def _name(user: str, group: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    if group:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(attributes)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
    )


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    _write_key(pair.key, key)
    pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
