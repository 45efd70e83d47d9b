"""Datagrams of strangers (resilience.md, attacker's list 1)."""

import asyncio
import contextlib
import os
import random
import time

from rig.people import until
from strangers import Stranger, check, client_hello, heard, udp

# Per second and in all: what one stranger on a good line sends.
RATE, FLOOD = 20_000, 60_000


async def flood(out, datagrams, count: int = FLOOD) -> None:
    """Sends at a steady rate, round and round."""
    began = time.monotonic()
    for number in range(count):
        with contextlib.suppress(OSError):
            out.send(datagrams[number % len(datagrams)])
        if number % 200 == 0:
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))


async def credentials(stranger: Stranger) -> tuple[str, str]:
    while not stranger.ufrag:
        assert await stranger.next() is not None
    return stranger.ufrag, stranger.pwd


async def test_checks_with_an_unknown_name_cost_little_and_get_no_answer(server, watched):
    with udp(server) as out, watched.attack("unknown_ufrag", cpu_seconds=3, memory_mib=16):
        before = watched.counted("plenum_shard_unknown_datagrams_total")
        await flood(out, [check(f"unknown{number}", None) for number in range(500)])
        assert heard(out, 0.5) is None
        await until(lambda: watched.counted("plenum_shard_unknown_datagrams_total") - before > FLOOD / 2, "the flood to be counted")


async def test_checks_with_a_wrong_password_take_nobodys_path(server, watched, room):
    stranger = await Stranger.join(server, room)
    ufrag, pwd = await credentials(stranger)
    with udp(server, "127.0.0.3") as forger, udp(server) as own, watched.attack("wrong_password", cpu_seconds=4, memory_mib=16):
        await flood(forger, [check(ufrag, None) for _ in range(500)], FLOOD // 2)
        while answer := heard(forger, 0.3):
            # At most a refusal, shorter than what was sent.
            assert answer[:2] == b"\x01\x11" and len(answer) <= len(check(ufrag, None))
        own.send(check(ufrag, pwd))
        assert heard(own, 5)[:2] == b"\x01\x01", "whoever knows the password is answered"
    await stranger.close()


async def test_noise_of_all_sizes_is_dropped(server, watched):
    chance = random.Random(5)
    noise = [bytes([first]) + chance.randbytes(chance.choice([0, 1, 11, 12, 40, 200, 1_400])) for first in range(256)]
    noise += [b"", b"\0", os.urandom(60_000), client_hello(), b"\x16\xfe\xfd" + b"\0" * 8 + b"\xff\xff", b"\x16\xfe\xfd" + b"\0" * 10]
    # RTP whose extension or padding runs past its end, RTCP whose counts lie.
    noise += [b"\x9f\x60" + b"\0" * 10, b"\x90\x60" + b"\0" * 10 + b"\xbe\xde\xff\xff", b"\xa0\x60" + b"\0" * 10 + b"\xff", b"\xbf\xc9\xff\xff" + b"\0" * 4]
    with udp(server) as out, watched.attack("noise", cpu_seconds=3, memory_mib=16):
        await flood(out, noise)
        assert heard(out, 0.5) is None


async def test_handshakes_begun_and_left_are_bounded(server, watched, room):
    """A signed in client may begin one: whoever leaves it there holds it no longer than its deadline, and one at a time."""
    with watched.attack("handshakes_left", cpu_seconds=6, memory_mib=64):
        strangers = [await Stranger.join(server, room, f"stranger-{number}") for number in range(40)]
        for stranger in strangers:
            ufrag, pwd = await credentials(stranger)
            with udp(server) as out:
                # Without a check nothing of DTLS is looked at.
                out.send(client_hello())
                out.send(check(ufrag, pwd, nominate=True))
                assert heard(out, 5)[:2] == b"\x01\x01"
                for _ in range(20):
                    out.send(client_hello())
                # Fragments: empty, overlapping, longer than the whole.
                out.send(b"\x16\xfe\xfd" + b"\0" * 8 + b"\0\x0c" + b"\1\0\x0f\xff\0\0\0\0\0\0\0\0")
                out.send(b"\x16\xfe\xfd" + b"\0" * 8 + b"\0\x0c" + b"\1\xff\xff\xff\0\1\0\0\0\xff\xff\xff")
        for stranger in strangers:
            await stranger.close()


async def test_addresses_of_one_client_are_bounded(server, watched, room):
    """Whoever knows the password may try many addresses; the member keeps a few and answers each once."""
    stranger = await Stranger.join(server, room)
    ufrag, pwd = await credentials(stranger)
    with watched.attack("many_addresses", cpu_seconds=3, memory_mib=16), contextlib.ExitStack() as stack:
        for number in range(300):
            out = stack.enter_context(udp(server, f"127.0.1.{number % 200 + 1}"))
            out.send(check(ufrag, pwd))
            answer = heard(out, 5)
            assert answer and answer[:2] == b"\x01\x01"
    assert await stranger.is_served()
    await stranger.close()
