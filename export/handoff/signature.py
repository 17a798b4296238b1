"""Signatures of a bundle's manifest in the format of minisign, so that `minisign -V` checks them too."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from onwrist.errors import BundleError, ConfigError
from onwrist.export.handoff.names import SIGNATURE

PASSWORD = "ONWRIST_KEY_PASSWORD"
# Keys and signatures are a few lines.
MOST_BYTES = 4096
INSTALL = "Install it: pip install py-minisign"


def read_secret_key(path: Path):
    """A minisign secret key, ready to sign; its password is asked for, or in the environment as ONWRIST_KEY_PASSWORD.

    Raises:
        ConfigError: no key, a wrong password, or the library is not installed.
    """
    try:
        import minisign
    except ImportError:
        raise ConfigError("needs py-minisign", field="sign", cure=INSTALL) from None
    try:
        key = minisign.SecretKey.from_bytes(_read(path))
        if key.is_encrypted():
            password = os.environ.get(PASSWORD)
            if password is None and sys.stdin.isatty():
                password = getpass.getpass(f"password of {path}: ")
            if password is None:
                raise ConfigError("is encrypted", where=path, cure=f"Give its password in {PASSWORD}")
            key.decrypt(password)
    except ConfigError:
        raise
    except Exception as error:  # the library's own errors, and whatever a file that is no key leads to
        raise ConfigError(f"is no minisign key ({error})"[:160], where=path, cure="Make one: minisign -G") from None
    return key


def sign(manifest: bytes, key) -> bytes:
    """The signature file of a manifest, by `read_secret_key`."""
    return bytes(key.sign(manifest, trusted_comment="onwrist bundle, manifest.json"))


def check_signature(manifest: bytes, signature: bytes | None, public_key: Path) -> str:
    """The trusted comment of a good signature.

    Raises:
        BundleError: unsigned, or signed by another key, or of another manifest. ConfigError: no public key.
        ImportError: the library is not installed.
    """
    import minisign

    try:
        key = minisign.PublicKey.from_bytes(_read(public_key))
    except Exception as error:  # as above
        raise ConfigError(
            f"is no minisign public key ({error})"[:160], where=public_key, cure="Give minisign.pub"
        ) from None
    if signature is None:
        raise BundleError("is not signed", field=SIGNATURE, cure="Ask for a signed bundle")
    try:
        found = minisign.Signature.from_bytes(signature[:MOST_BYTES])
        key.verify(manifest, found)
    except Exception as error:  # as above
        raise BundleError(
            f"is no signature by this key ({type(error).__name__})", field=SIGNATURE, cure="Do not use it"
        ) from None
    return str(getattr(found, "trusted_comment", ""))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES)
