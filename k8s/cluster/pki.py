"""The certificates of the test cluster, and a kubeconfig for each of its clients."""

import base64
import ipaddress
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 30


class Authority:
    """One authority for all of the cluster; its files and those it signs lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Make its key and certificate."""
        self.folder = folder
        folder.mkdir(parents=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("rollhouse test cluster", "")
        built = self._builder(self._name, self._key.public_key()).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = folder / "ca.crt"
        self.certificate.write_bytes(built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, file: str, common_name: str, organisation: str = "", *, addresses: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """Certificate and key for a client, which with `addresses` is a server too."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = []
        for one in addresses:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(one)))
            except ValueError:
                names.append(x509.DNSName(one))
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if names else [])
        builder = self._builder(_name(common_name, organisation), key.public_key()).add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate, private = self.folder / f"{file}.crt", self.folder / f"{file}.key"
        certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        private.write_bytes(_pem(key))
        private.chmod(0o600)
        return certificate, private

    def account_keys(self) -> tuple[Path, Path]:
        """The key pair that signs tokens of service accounts: public and private."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public, private = self.folder / "accounts.pub", self.folder / "accounts.key"
        public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        private.write_bytes(_pem(key))
        return public, private

    def kubeconfig(self, file: str, server: str, common_name: str, organisation: str = "") -> Path:
        """A kubeconfig of a client for the API server at `server`."""
        certificate, key = self.issue(file, common_name, organisation)

        def held(path: Path) -> str:
            return base64.b64encode(path.read_bytes()).decode()

        made = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "rollhouse",
            "clusters": [{"name": "rollhouse", "cluster": {"server": server, "certificate-authority-data": held(self.certificate)}}],
            "users": [{"name": "client", "user": {"client-certificate-data": held(certificate), "client-key-data": held(key)}}],
            "contexts": [{"name": "rollhouse", "context": {"cluster": "rollhouse", "user": "client"}}],
        }
        path = self.folder / f"{file}.kubeconfig"
        path.write_text(json.dumps(made))
        path.chmod(0o600)
        return path

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key).serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(days=DAYS))


def _name(common_name: str, organisation: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)] if organisation else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
