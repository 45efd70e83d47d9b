"""Programs that a test starts: on free ports, with a log file each, ended by process id."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from .paths import TARGET

LOGS = TARGET / "logs" / "processes"


# Ports of the tests come from below the range that the kernel gives to clients, and each is handed out once a run.
_next_port = 20_000 + (os.getpid() * 97) % 8_000


def free_port(count: int = 1, kind: int = socket.SOCK_STREAM) -> int:
    """First of `count` adjacent ports on which nothing is bound."""
    global _next_port
    while True:
        first, _next_port = _next_port, _next_port + count
        if _next_port > 31_000:
            _next_port = 20_000
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    for one in {kind, socket.SOCK_STREAM}:
                        probe = stack.enter_context(socket.socket(socket.AF_INET, one))
                        probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first


def http_status(url: str, timeout: float = 1.0, **headers: str) -> int | None:
    """Status of a GET; None if nobody answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def wait_for(condition, seconds: float, what: str):
    """Waits until `condition()` is true and returns it; names what was awaited when the time is up."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


class Process:
    """A program with its log."""

    def __init__(self, name: str, command: list[str], **environment: str):
        LOGS.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log: Path = LOGS / f"{name}-{os.getpid()}-{time.monotonic_ns()}.log"
        with self.log.open("w") as out:
            self.child = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=os.environ | environment, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self.child.pid

    def running(self) -> bool:
        return self.child.poll() is None

    def signal(self, number: int) -> None:
        if self.running():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.child.wait()

    def stop(self, seconds: float = 10) -> None:
        """SIGTERM; SIGKILL when it takes too long."""
        self.signal(signal.SIGTERM)
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
