"""What an attack costs: processor time and memory of the server, and gaps in the call of two bystanders meanwhile."""

import contextlib
import math
import os
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from .gaps import longest
from .process import Process, wait_for
from .server import Server

TICKS = os.sysconf("SC_CLK_TCK")
# A second without a picture is what a person notices: the figure's goal. A busy machine may be slower; a call that was
# harmed is still seen.
LONGEST_GAP = 1.0
HARMED = 5.0


class Watched:
    """A server with a call of two bystanders on it."""

    def __init__(self, server: Server):
        self.server = server
        self.call = Process("bystanders", [sys.executable, "-m", "rig.bystanders", server.url, "bystanders"])
        wait_for(lambda: all(len(times) > 30 for times in self.decoded().values()) and len(self.decoded()) == 2, 60, "the bystanders' call")

    def decoded(self) -> dict[str, list[float]]:
        """When each bystander decoded a picture."""
        times = defaultdict(list)
        # The last line may be half written, and the client's own lines are among them.
        for line in self.call.log.read_text(errors="replace").split("\n")[:-1]:
            who, _, text = line.partition(" ")
            with contextlib.suppress(ValueError):
                moment = float(text)
                times[who].append(moment)
        return times

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mib(self) -> float:
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def counted(self, name: str) -> float:
        """A counter of the server's metrics, over all its shards."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.admin_port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))

    @contextlib.contextmanager
    def attack(self, name: str, *, cpu_seconds: float, memory_mib: float) -> Iterator[None]:
        """Runs an attack. Afterwards the server lives, has used no more than this, and the bystanders saw each other."""
        memory, cpu, began = self.memory_mib(), self.cpu_seconds(), time.monotonic()
        yield
        took = time.monotonic() - began
        used, grown = self.cpu_seconds() - cpu, self.memory_mib() - memory
        # Frames from after the attack bound the last gap.
        end = time.monotonic()
        wait_for(lambda: all(times[-1] > end for times in self.decoded().values()), 20, "the bystanders to go on")
        gap = max(longest(times, began, end) for times in self.decoded().values()) if took > 1 else 0.0
        print(f"\nfigure hostile_{name}_cpu = {used:.2f} s (goal {cpu_seconds:g})", flush=True)
        print(f"figure hostile_{name}_memory = {max(0.0, grown):.1f} MiB (goal {memory_mib:g})", flush=True)
        print(f"figure hostile_{name}_gap = {gap:.3f} s (goal {LONGEST_GAP:g})", flush=True)
        assert self.server.process.running(), self.server.process.tail()
        assert used <= cpu_seconds, f"{name} cost {used:.2f} s of processor time in {took:.1f} s; at most {cpu_seconds} s are fine"
        assert grown <= memory_mib, f"{name} cost {grown:.1f} MiB of memory; at most {memory_mib} are fine"
        assert math.isfinite(gap) and gap <= HARMED, f"the bystanders saw nothing for {gap:.2f} s"

    def stop(self) -> None:
        self.call.kill()
