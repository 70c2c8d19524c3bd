"""The SCIM secret: how it is made, recognised by shape, and turned into the MAC that is stored (house invariant 9)."""

import base64
import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Mapping
from functools import lru_cache

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = "scimsk_"
CLIENT_SECRET_PREFIX = "scimcs_"  # noqa: S105 - a prefix is no secret
ACCESS_TOKEN_PREFIX = "scimat_"  # noqa: S105
OPERATOR_KEY_PREFIX = "scimok_"
LOOKUP_LENGTH = 12
SECRET_LENGTH = 43
CHECKSUM_LENGTH = 6
HEADER_LIMIT = 512
"""Characters of an Authorization header that are looked at; a secret is 69 long."""

_CARRIED = b"rollhouse carried"
_SEALED_LEAST = 4 + 12 + 16
"""Bytes of the pepper's version, the nonce and the tag."""
_PREFIXED = re.compile(f"scim(?:sk|cs|at|ok)_([0-9A-Za-z]{{0,{LOOKUP_LENGTH}}})")
_SHAPE = re.compile(f"scim(?:sk|cs|at|ok)_([0-9A-Za-z]{{{LOOKUP_LENGTH}}})_[0-9A-Za-z]{{{SECRET_LENGTH}}}[0-9A-Za-z]{{{CHECKSUM_LENGTH}}}")


class Peppers(msgspec.Struct, frozen=True):
    """The keys of the MACs by version; `current` is used for new secrets, all of them to verify."""

    keys: Mapping[int, bytes]
    current: int

    @classmethod
    def parse(cls, text: str) -> "Peppers":
        """From `version:key` pairs joined by commas, the first being current; keys in base64url, at least 32 bytes.

        Raises:
            ValueError: a pair is malformed or a key too short; the message never holds a key.
        """
        keys: dict[int, bytes] = {}
        for pair in text.split(","):
            version, colon, key = pair.strip().partition(":")
            if not colon or not version.isdecimal():
                raise ValueError("ROLLHOUSE_PEPPERS must be pairs such as 1:<base64url of 32 bytes>, joined by commas")
            try:
                decoded = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
            except ValueError:
                raise ValueError(f"the pepper of version {version} is not base64url") from None
            if len(decoded) < hashlib.sha256().digest_size:
                raise ValueError(f"the pepper of version {version} is shorter than 32 bytes; make one with: openssl rand -base64 32 | tr '+/' '-_'")
            keys.setdefault(int(version), decoded)
        return cls(keys, next(iter(keys)))

    def mac(self, version: int, secret: str) -> bytes:
        """HMAC-SHA256 of the secret, 32 bytes; of an unknown version a MAC that matches nothing stored."""
        keyed = _keyed(self.keys.get(version, b"")).copy()
        keyed.update(secret.encode())
        return keyed.digest()

    def seal(self, text: str) -> bytes:
        """The text, readable only with the current pepper (AES-256-GCM): for what must be shown to others again, as a client secret of ours elsewhere."""
        nonce = secrets.token_bytes(12)
        return nonce + _sealing_key(self.keys[self.current]).encrypt(nonce, text.encode(), None)

    def unseal(self, version: int, sealed: bytes) -> str | None:
        """The text again; None if the pepper of that version is gone or the bytes were changed."""
        if version not in self.keys:
            return None
        try:
            return _sealing_key(self.keys[version]).decrypt(sealed[:12], sealed[12:], None).decode()
        except InvalidTag:
            return None

    def seal_bytes(self, content: bytes, about: bytes) -> bytes:
        """The bytes, readable only with the current pepper and the same `about`: for what a client carries from one answer to the next request."""
        nonce = secrets.token_bytes(12)
        return self.current.to_bytes(4, "big") + nonce + _sealing_key(self.keys[self.current], _CARRIED).encrypt(nonce, content, about)

    def unseal_bytes(self, sealed: bytes, about: bytes) -> bytes | None:
        """The bytes again; None if they were not sealed here, or about something else."""
        pepper = self.keys.get(int.from_bytes(sealed[:4], "big"))
        if pepper is None or len(sealed) < _SEALED_LEAST:
            return None
        try:
            return _sealing_key(pepper, _CARRIED).decrypt(sealed[4:16], sealed[16:], about)
        except InvalidTag:
            return None


@lru_cache(maxsize=16)
def _keyed(pepper: bytes) -> hmac.HMAC:
    """To be copied: OpenSSL looks the hash up anew for each key, which costs a request more than the hash does."""
    return hmac.new(pepper, digestmod="sha256")


@lru_cache(maxsize=16)
def _sealing_key(pepper: bytes, use: bytes = b"rollhouse seal") -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=use).derive(pepper))


def named(text: str) -> str:
    """The name that a text gives a credential: its id or lookup id, also out of a prefix or a whole secret, of which nothing else is kept.

    Somebody in a hurry pastes the secret that is to be revoked; it must be found, and must not be echoed (threat T27).
    """
    whole = lookup_id_of(text.strip())
    if whole is not None:
        return whole
    match = _PREFIXED.match(text.strip())
    return match[1] if match is not None else text.strip()


def new_pepper() -> str:
    """A fresh key of version 1 in the form that `Peppers.parse` reads."""
    return "1:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


class Minted(msgspec.Struct, frozen=True):
    """A new secret, whole: to be shown once and forgotten."""

    secret: str
    lookup_id: str

    @property
    def prefix(self) -> str:
        """The part that may be shown and logged: it names the secret without helping to guess it."""
        return self.secret[: len(PREFIX) + LOOKUP_LENGTH]


def mint_secret(prefix: str = PREFIX) -> Minted:
    """A new secret: its kind's prefix, 12 characters to look it up by, `_`, 43 random characters (256 bits), 6 of checksum."""
    lookup_id = "".join(secrets.choice(_BASE62) for _ in range(LOOKUP_LENGTH))
    body = f"{prefix}{lookup_id}_" + "".join(secrets.choice(_BASE62) for _ in range(SECRET_LENGTH))
    return Minted(body + _checksum(body), lookup_id)


def lookup_id_of(secret: str) -> str | None:
    """The lookup id of a text that has a secret's shape, else None."""
    match = _SHAPE.fullmatch(secret)
    return match[1] if match is not None else None


def is_well_typed(secret: str) -> bool:
    """Whether the checksum of a text of a secret's shape is right; the database is asked for nothing else."""
    return hmac.compare_digest(_checksum(secret[:-CHECKSUM_LENGTH]), secret[-CHECKSUM_LENGTH:])


def bearer_secret(header: str) -> tuple[str, bool]:
    """The secret in an Authorization header and whether it was pasted with white space or a second "Bearer "; "" if there is none."""
    scheme, _, rest = header[:HEADER_LIMIT].strip().partition(" ")
    if scheme.lower() != "bearer":
        return "", False
    secret = rest.strip()
    if secret[:7].lower() == "bearer ":
        secret = secret[7:].strip()
    return secret, secret != rest


def _checksum(body: str) -> str:
    """CRC-32 in six base62 digits: mistyped secrets are told apart without the database."""
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
