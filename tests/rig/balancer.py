"""A TCP balancer for one client: it prefers one member and takes the next while that one refuses."""

import asyncio
import contextlib

from .server import Server


class Balancer:
    """`url` is where the client connects to; `members` are tried in order for each connection."""

    def __init__(self, members: list[Server]):
        self.members = members
        self.server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def start(self) -> "Balancer":
        self.server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return self

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for member in self.members:
            try:
                theirs = await asyncio.open_connection("127.0.0.1", member.port)
                break
            except OSError:
                continue
        else:
            writer.close()
            return

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, theirs[1]), copy(theirs[0], writer))

    def stop(self) -> None:
        self.server.close()
