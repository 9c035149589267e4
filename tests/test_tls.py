"""TLS is always verified against the system's trust store, and proxies of the environment are used."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conftest import StartDaemon
from tests.support.recorder import Recorder, ok

Key = ec.EllipticCurvePrivateKey
NOW = datetime.now(UTC)


def certificate(path: Path, name: str, host: str | None = None, issuer: tuple[str, Key] | None = None,
                until: datetime = NOW + timedelta(days=2)) -> tuple[str, Key]:  # fmt: skip
    """Write a certificate and its key to a file: an authority's, or a host's that an authority signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer_name, issuer_key = issuer or (name, key)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer_name)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=9))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    made = builder.sign(issuer_key, hashes.SHA256())
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = serialization.Encoding.PEM
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, *form))
    return name, key


class Tunnel:
    """Listens on a loopback port and hands each connection on, after TLS, or after CONNECT as a proxy does."""

    def __init__(
        self, to: Recorder | Tunnel, certificate_file: Path | None = None, says: str = "200 Connection established"
    ) -> None:
        self._to, self._says = to, says
        self.asked: list[bytes] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate_file else None
        if self._context and certificate_file:
            self._context.load_cert_chain(certificate_file)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, socket.create_connection(("127.0.0.1", self._to.port)) as onward:
            if self._context:
                with self._context.wrap_socket(connection, server_side=True) as inside:
                    _hand_on(inside, onward)
            else:
                self.asked.append(connection.recv(65_536))
                connection.sendall(f"HTTP/1.1 {self._says}\r\n\r\n".encode())
                _hand_on(connection, onward)


def _hand_on(one: socket.socket, other: socket.socket) -> None:
    """Hand on what either says to the other, until one has said all."""
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(65_536)
            (other if ready is one else one).sendall(data)
            if not data:
                return


@pytest.fixture
def tls(tmp_path: Path, backend: Recorder) -> Iterator[Tunnel]:
    """Give a hosted API behind TLS; what signed its certificate is in `authority.pem`."""
    authority = certificate(tmp_path / "authority.pem", "An authority")
    certificate(tmp_path / "host.pem", "localhost", "localhost", authority)
    tunnel = Tunnel(backend, tmp_path / "host.pem")
    yield tunnel
    tunnel.close()


def test_an_authority_of_the_system_is_trusted(
    start: StartDaemon, tmp_path: Path, backend: Recorder, tls: Tunnel
) -> None:
    """As a company's own is."""
    backend.default = ok({"a": 1})
    trust = {"SSL_CERT_FILE": str(tmp_path / "authority.pem")}
    daemon = start(BACKEND_URL=f"https://localhost:{tls.port}", OPENHUMAN_TOKEN="t", **trust)
    assert daemon.result("openhuman.billing_get_balance")["result"] == {"a": 1}
    assert backend.seen[0].headers["authorization"] == "Bearer t"


@pytest.mark.parametrize("case", ["unknown authority", "another host", "over", "itself"])
def test_a_certificate_that_does_not_hold_is_refused(
    start: StartDaemon, tmp_path: Path, backend: Recorder, case: str
) -> None:
    """Whatever the environment says, and no byte of the request leaves."""
    authority = certificate(tmp_path / "authority.pem", "An authority")
    stranger = certificate(tmp_path / "stranger.pem", "A stranger")
    issuer = {"unknown authority": stranger, "itself": None}.get(case, authority)
    until = NOW - timedelta(days=1) if case == "over" else NOW + timedelta(days=2)
    certificate(tmp_path / "host.pem", "host", "elsewhere" if case == "another host" else "localhost", issuer, until)
    tunnel = Tunnel(backend, tmp_path / "host.pem")
    loose = {"PYTHONHTTPSVERIFY": "0", "CURL_CA_BUNDLE": "", "SSL_CERT_FILE": str(tmp_path / "authority.pem")}
    daemon = start(
        BACKEND_URL=f"https://localhost:{tunnel.port}", OPENHUMAN_TOKEN="t", OPENHUMAN_NO_RETRIES="1", **loose
    )
    error = daemon.error("openhuman.billing_top_up", {"amountUsd": 5})
    tunnel.close()
    assert (error["data"]["kind"], error["data"]["moneyMoved"]) == ("backend_unavailable", "no")
    assert error["message"] == "error sending request: TLS verification failed"
    assert backend.seen == []


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_of_the_environment_is_used_and_sees_no_credential(
    start: StartDaemon, tmp_path: Path, backend: Recorder, tls: Tunnel, scheme: str
) -> None:
    """It is asked for a tunnel; TLS is with the hosted API."""
    backend.default = ok({"a": 1})
    proxy = Tunnel(tls)
    env = {"HTTPS_PROXY": f"{scheme}127.0.0.1:{proxy.port}", "SSL_CERT_FILE": str(tmp_path / "authority.pem")}
    daemon = start(BACKEND_URL=f"https://localhost:{tls.port}", OPENHUMAN_TOKEN="a-session-token", **env)
    assert daemon.result("openhuman.billing_get_balance")["result"] == {"a": 1}
    proxy.close()
    assert [head.split(b"\r\n")[0] for head in proxy.asked] == [b"CONNECT localhost:%d HTTP/1.1" % tls.port]
    assert [head for head in proxy.asked if b"a-session-token" in head] == []


def test_a_proxy_of_another_kind_is_told_and_not_spoken_to(start: StartDaemon, tls: Tunnel) -> None:
    """It is no HTTP proxy, so nothing would come of it but a lost connection."""
    proxy = Tunnel(tls)
    daemon = start(
        BACKEND_URL=f"https://localhost:{tls.port}",
        ALL_PROXY=f"socks5h://u:pass-mark@127.0.0.1:{proxy.port}",
        OPENHUMAN_TOKEN="t",
    )
    error = daemon.error("openhuman.billing_top_up", {"amountUsd": 5})
    proxy.close()
    assert (error["message"], error["data"]["kind"], error["data"]["moneyMoved"], proxy.asked) == (
        "the proxy that the environment names is no HTTP proxy",
        "configuration",
        "no",
        [],
    )


@pytest.mark.parametrize("says", ["407 Proxy Authentication Required", "502 Bad Gateway", None])
def test_a_proxy_that_does_not_connect_is_what_is_to_be_looked_at(
    start: StartDaemon, backend: Recorder, tls: Tunnel, says: str | None
) -> None:
    """It refuses, or is not there; the hosted API never heard of the call, and nothing repeats the proxy's password."""
    proxy = Tunnel(tls, says=says or "")
    if says is None:
        proxy.close()
    daemon = start(
        BACKEND_URL=f"https://localhost:{tls.port}",
        HTTPS_PROXY=f"http://u:pass-mark@127.0.0.1:{proxy.port}",
        OPENHUMAN_TOKEN="t",
        OPENHUMAN_NO_RETRIES="1",
    )
    assert daemon.error("openhuman.billing_top_up", {"amountUsd": 5}) == {
        "code": -32009,
        "message": "error sending request: connection refused",
        "data": {
            "kind": "backend_unavailable",
            "retryable": True,
            "hint": "Check the proxy that the environment names, and its credentials in HTTPS_PROXY, then call again.",
            "route": "POST /payments/credits/top-up",
            "moneyMoved": "no",
        },
    }
    assert (daemon.end(), "pass-mark" in daemon.log(), backend.seen) == (0, False, [])
    if says is not None:
        proxy.close()


def test_plain_http_never_goes_through_a_proxy(start: StartDaemon, backend: Recorder) -> None:
    """The proxy would see the credential; only this machine is asked so."""
    proxy = Tunnel(backend)
    env = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), f"http://127.0.0.1:{proxy.port}")
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t", **env)
    daemon.result("openhuman.billing_get_balance")
    proxy.close()
    assert (proxy.asked, len(backend.seen)) == ([], 1)


def test_a_host_that_needs_no_proxy_is_reached_without(
    start: StartDaemon, tmp_path: Path, backend: Recorder, tls: Tunnel
) -> None:
    """As the environment says."""
    proxy = Tunnel(tls)
    env = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": "localhost"}
    trust = {"SSL_CERT_FILE": str(tmp_path / "authority.pem")}
    daemon = start(BACKEND_URL=f"https://localhost:{tls.port}", OPENHUMAN_TOKEN="t", **env, **trust)
    daemon.result("openhuman.billing_get_balance")
    proxy.close()
    assert (proxy.asked, len(backend.seen)) == ([], 1)
