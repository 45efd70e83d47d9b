"""The public port over TLS: an https page and wss clients that trust the certificate of a file."""

import asyncio
import ssl
import subprocess

import aiohttp
import pytest

from rig.process import wait_for
from rig.server import Server
from rig.tokens import token


class SecureServer(Server):
    """A server whose public port speaks TLS."""

    def __init__(self, folder):
        self.certificate, key = folder / "tls.crt", folder / "tls.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(self.certificate)],
            check=True,
            capture_output=True,
        )
        super().__init__("secure", PLENUM_TLS_CERTIFICATE=str(self.certificate), PLENUM_TLS_KEY=str(key))
        self.trust = ssl.create_default_context(cafile=str(self.certificate))

    @property
    def http(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def wait_ready(self, seconds: float = 15) -> None:
        wait_for(lambda: "page and API" in self.process.log.read_text() or not self.process.running(), seconds, "the server to start")
        assert self.process.running(), self.process.tail()


@pytest.fixture
def secure(tmp_path):
    server = SecureServer(tmp_path).start()
    yield server
    server.stop()


async def test_the_page_is_served_over_https(secure):
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=secure.trust)) as http:
        async with http.get(secure.http, headers={"Accept": "text/html"}) as answer:
            assert answer.status == 200 and "text/html" in answer.headers["Content-Type"]
        # What the page asks for to join.
        async with http.get(f"{secure.http}/dev/token?room=r&identity=i") as answer:
            assert (await answer.json())["url"] == f"wss://127.0.0.1:{secure.port}"


async def test_a_wss_client_joins(secure, room):
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=secure.trust)) as http:
        url = f"{secure.http}/rtc?access_token={token(room, 'ada')}&protocol=16&sdk=go&auto_subscribe=1"
        async with http.ws_connect(url, max_msg_size=0) as socket:
            first = await asyncio.wait_for(socket.receive(), 10)
            assert first.type == aiohttp.WSMsgType.BINARY and len(first.data) > 100


async def test_a_client_that_does_not_trust_the_certificate_does_not_join(secure, room):
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(f"{secure.http}/rtc/validate?access_token={token(room, 'ada')}")
