"""Two people in a call, in a process of their own: `python -m rig.bystanders URL ROOM`. It prints each decoded frame as
`IDENTITY SECONDS` on the machine's monotonic clock, until it is ended."""

import asyncio
import sys

from .people import Person


class Bystander(Person):
    """Says when it decodes a picture of the other one."""

    async def report(self, other: str) -> None:
        said = 0
        while True:
            for moment in self.seen[other][said:]:
                print(self.identity, f"{moment:.4f}", flush=True)
                said += 1
            await asyncio.sleep(0.1)


async def main(url: str, room: str) -> None:
    pair = [Bystander("bystander-1"), Bystander("bystander-2")]
    for person in pair:
        await person.join(url, room)
        await person.show()
    await asyncio.gather(*(one.report(other.identity) for one, other in zip(pair, reversed(pair))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
