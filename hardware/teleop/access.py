"""Who may open the operator's page: whoever has the token that was printed at start, from a page of ours.

``Host`` and ``Origin`` are compared with the addresses that were printed, so that a page of somebody else's in the same
browser reaches nothing, whatever name it makes point here. The certificate for other machines is made on this one, with
``openssl``, and nothing of it is shipped.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from robot.errors import MissingDependency, PixelarmError

LOOPBACK = ("127.0.0.1", "localhost")
VALID_DAYS = 825


@dataclass(frozen=True)
class Access:
    """The token, and the addresses under which the page is served."""

    token: str
    hosts: tuple[str, ...]  # name:port
    scheme: str = "http"

    @staticmethod
    def made(port: int, names: tuple[str, ...] = LOOPBACK, scheme: str = "http") -> Access:
        """With a new token."""
        return Access(secrets.token_urlsafe(18), tuple(f"{name}:{port}" for name in names), scheme)

    @property
    def urls(self) -> list[str]:
        """The token is behind #: no browser sends that part to a server, and no log holds it."""
        return [f"{self.scheme}://{host}/#token={self.token}" for host in self.hosts]

    def is_ours(self, host: str | None, origin: str | None = None) -> bool:
        """Whether a request was made to one of the addresses, and, if an origin is given, by a page from there."""
        if host not in self.hosts:
            return False
        return origin is None or origin in {f"{self.scheme}://{name}" for name in self.hosts}

    def fits(self, token: object) -> bool:
        return isinstance(token, str) and secrets.compare_digest(token.encode(), self.token.encode())


def addresses() -> tuple[str, ...]:
    """Names of this machine for others in its network, the likeliest first. Nothing is sent."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address of no machine: only the route to it is looked up
            found.append(str(probe.getsockname()[0]))
        except OSError:
            pass
    name = socket.gethostname()
    return (*dict.fromkeys([*found, name, f"{name}.local"]),)


def folder() -> Path:
    """Where this user's certificate is kept."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "pixelarm" / "teleop"


def certificate(names: tuple[str, ...], where: Path) -> tuple[ssl.SSLContext, str]:
    """A context with this machine's own certificate, and its SHA-256 fingerprint; made where there is none for these
    ``names``.

    Raises:
        MissingDependency: there is no ``openssl`` to make one.
        PixelarmError: it failed.
    """
    key, cert, made_for = where / "key.pem", where / "certificate.pem", where / "names"
    if not (key.exists() and cert.exists() and made_for.exists() and made_for.read_text() == "\n".join(names)):
        _make(names, where)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    shown = _openssl("x509", "-in", str(cert), "-noout", "-fingerprint", "-sha256")
    return context, shown.strip().partition("=")[2]


def _make(names: tuple[str, ...], where: Path) -> None:
    where.mkdir(parents=True, exist_ok=True, mode=0o700)
    key, cert = where / "key.pem", where / "certificate.pem"
    key.unlink(missing_ok=True)
    os.close(os.open(key, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))  # nobody else reads it, from the first byte on
    named = ",".join(f"{'IP' if name.replace('.', '').isdigit() else 'DNS'}:{name}" for name in names)
    _openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key),
        "-out", str(cert), "-days", str(VALID_DAYS), "-subj", "/CN=pixelarm teleop", "-addext",
        f"subjectAltName={named}", "-addext", "basicConstraints=critical,CA:FALSE",
    )  # fmt: skip
    key.chmod(0o600)
    (where / "names").write_text("\n".join(names))


def _openssl(*arguments: str) -> str:
    program = shutil.which("openssl")
    if program is None:
        raise MissingDependency(
            "the page is opened to other machines with https alone, and its certificate is made by the program "
            "openssl, which is not installed: install it (sudo apt-get install openssl), or leave --lan out"
        )
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise PixelarmError(f"openssl could not make a certificate: {done.stderr.strip()}")
    return done.stdout
