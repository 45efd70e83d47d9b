"""Several members, a Redis and an nginx as one service."""

import json
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from .balancer import Balancer
from .paths import ROOT
from .process import Process, free_port, wait_for
from .server import Server

CLUSTER_SECRET = "the secret that members show each other in tests"


class Redis:
    """redis-server without a file: what is started again is empty."""

    def __init__(self):
        self.port = free_port()
        self.process: Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> "Redis":
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self.process = Process("redis", [*command, "--maxmemory-policy", "noeviction"])
        wait_for(lambda: "Ready to accept" in self.process.tail(5), 10, "redis to be ready")
        return self

    def kill(self) -> None:
        self.process.kill()


class Pool:
    """Members that share a Redis. `members[n].url` goes to one of them, `url` to nginx when it is started."""

    def __init__(self, count: int = 3):
        self.redis = Redis().start()
        self.members = [self._member(n) for n in range(count)]
        self.nginx: Nginx | None = None

    def _member(self, n: int) -> Server:
        return Server(
            f"member-{n}",
            arguments=(),
            SERVER_INSTANCE_ID=f"member-{n}",
            REDIS_URL=self.redis.url,
            PLENUM_CLUSTER_SECRET=CLUSTER_SECRET,
            PLENUM_INTERNAL_ADDRESS=f"127.0.0.1:{free_port()}",
        )

    def start(self) -> "Pool":
        for member in self.members:
            member.start(ready=False)
        for member in self.members:
            member.wait_ready(30)
        return self

    def start_nginx(self) -> "Nginx":
        self.nginx = Nginx(self.members)
        return self.nginx.start()

    def home(self, room: str) -> Server:
        """The member that serves the room, by what the members say themselves."""
        for member in self.members:
            if not (member.process and member.process.running()):
                continue
            request = urllib.request.Request(
                f"http://{member.environment['PLENUM_INTERNAL_ADDRESS']}/internal/v1/member",
                headers={"Authorization": f"Bearer {CLUSTER_SECRET}"},
            )
            with urllib.request.urlopen(request, timeout=2) as answer:
                if any(one["name"] == room for one in json.load(answer)["rooms"]):
                    return member
        raise AssertionError(f"no member serves {room}")

    def serves(self, room: str) -> bool:
        """Whether some member is the room's home."""
        try:
            return bool(self.home(room))
        except AssertionError:
            return False

    def balancer(self, first: Server) -> Balancer:
        """For a client whose edge is to be `first` as long as that one lives."""
        return Balancer([first, *self.others(first)])

    def others(self, member: Server) -> list[Server]:
        return [one for one in self.members if one is not member]

    def restart(self, member: Server) -> None:
        """Starts a member again that has ended."""
        member.start()

    def stop(self) -> None:
        for member in self.members:
            member.kill()
        if self.nginx:
            self.nginx.stop()
        self.redis.kill()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Nginx:
    """config/nginx.conf as it is, but for the ports, the members and the certificate."""

    def __init__(self, members: list[Server]):
        self.members = members
        self.port, self.plain = free_port(), free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="plenum-nginx-"))
        self.process: Process | None = None

    @property
    def url(self) -> str:
        return f"wss://127.0.0.1:{self.port}"

    def start(self) -> "Nginx":
        key, cert = self.folder / "tls.key", self.folder / "tls.crt"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
            check=True,
            capture_output=True,
        )
        text = (ROOT / "config/nginx.conf").read_text()
        for old, member in zip(("127.0.0.1:7880", "127.0.0.1:7980", "127.0.0.1:8080"), self.members):
            text = text.replace(old, f"127.0.0.1:{member.port}")
        text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl").replace("listen 80;", f"listen 127.0.0.1:{self.plain};")
        text = text.replace("/etc/nginx/tls", str(self.folder)).replace("/run/nginx.pid", str(self.folder / "nginx.pid"))
        config = self.folder / "nginx.conf"
        config.write_text("daemon off;\n" + text)
        self.process = Process("nginx", ["nginx", "-p", str(self.folder), "-c", str(config)])
        wait_for(lambda: accepts(self.plain) or not self.process.running(), 10, "nginx")
        assert self.process.running(), self.process.tail()
        return self

    def stop(self) -> None:
        if self.process and self.process.running():
            self.process.signal(signal.SIGTERM)
            self.process.child.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

