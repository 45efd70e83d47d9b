"""plenum-sfu as tests start it: one in dev mode, or several members with Redis."""

import os

from .process import Process, free_port, http_status, wait_for

# A pair that production would take too, so that the same tokens work in both modes.
KEY, SECRET = "tests", "a secret for tests, longer than 32 bytes"
# UDP ports of one server: one a Shard.
MEDIA_PORTS = 4


class Server:
    """A plenum-sfu process."""

    def __init__(self, name: str = "sfu", *, port: int | None = None, arguments: tuple[str, ...] = ("--dev",), **environment: str):
        self.name = name
        self.port = port or free_port()
        self.admin_port = free_port()
        self.media_port = free_port(MEDIA_PORTS)
        self.tcp_port = free_port()
        self.environment = {
            "PLENUM_PORT": str(self.port),
            # Not in dev mode, where the public port serves what this one does elsewhere.
            "PLENUM_ADMIN_ADDRESS": f"127.0.0.1:{self.admin_port}",
            "RTC_MIN_PORT": str(self.media_port),
            "RTC_MAX_PORT": str(self.media_port + MEDIA_PORTS - 1),
            "RTC_TCP_PORT": str(self.tcp_port),
            "PLENUM_ADVERTISE": "127.0.0.1",
            "PLENUM_KEYS": f"{KEY}: {SECRET}",
            "LOG_LEVEL": os.environ.get("PLENUM_TEST_LOG", "info"),
        } | environment
        self.arguments = arguments
        self.process: Process | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, ready: bool = True) -> "Server":
        self.process = Process(self.name, [os.environ["PLENUM_SFU"], *self.arguments], **self.environment)
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, seconds: float = 15) -> None:
        def answered() -> bool:
            if not self.process.running():
                raise AssertionError(f"{self.name} ended at start:\n{self.process.tail()}")
            return http_status(f"{self.http}/health/ready") == 200

        wait_for(answered, seconds, f"{self.name} to be ready")

    def ready(self) -> bool:
        """Whether it takes clients now."""
        return http_status(f"{self.http}/health/ready") == 200

    def stop(self) -> None:
        if self.process:
            self.process.stop()

    def kill(self) -> None:
        if self.process:
            self.process.kill()
