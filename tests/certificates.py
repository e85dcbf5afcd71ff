"""Certificates for servers of tests."""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.core.clock import utc_now


def self_signed(folder: Path, *, host: str = "localhost", ends_in: timedelta = timedelta(hours=1)) -> Path:
    """Return a file with a certificate for `host` and its key. Clients trust it as its own authority.

    A certificate for `localhost` is valid for 127.0.0.1 too. Its time is from two hours ago until now plus `ends_in`.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = utc_now()
    here = [x509.IPAddress(ip_address("127.0.0.1"))] if host == "localhost" else []
    names = x509.SubjectAlternativeName([x509.DNSName(host), *here])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=2))
        .not_valid_after(now + ends_in)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{host}.pem"
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return path
