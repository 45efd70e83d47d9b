"""Signed in clients that seal lies (resilience.md, attacker's list 1 and 2), in the bystanders' own room."""

import contextlib
import time

from insiders import AV1, DEPENDENCY, MID, RID, SCREEN_SSRC, VP8, Insider
from rig.people import until

ROOM = "bystanders"
# The insider's camera, in its best layer.
CAMERA = {"pt": VP8, "ssrc": 40_001, "mid": 0, "mid_id": MID, "rid": "f", "rid_id": RID}
# What the server may need for an attack of two seconds, in processor time and in memory.
COST = {"cpu_seconds": 4, "memory_mib": 48}


class Counted:
    """Counters of the server since an attack began."""

    def __init__(self, watched, *names: str):
        self.watched = watched
        self.before = {name: self._read(name) for name in names}

    def _read(self, name: str) -> float:
        return self.watched.counted(f"plenum_shard_{name}_total")

    def __getitem__(self, name: str) -> float:
        return self._read(name) - self.before[name]

    async def reaches(self, name: str, least: float) -> None:
        # A Shard tells its numbers once a second.
        await until(lambda: self[name] >= least, f"{name} to grow by {least}, not by {self[name]}")


@contextlib.asynccontextmanager
async def attacked(server, watched, name: str, *counters: str):
    """An insider, and what is counted meanwhile; afterwards it is still served: its connection is as good as its keys."""
    async with Insider.join(server, ROOM) as insider:
        videos = await insider.receives(2)
        with watched.attack(name, **COST):
            yield insider, videos, Counted(watched, *counters)
            assert not insider.failed, insider.failed


async def test_padding_longer_than_the_packet_is_malformed(server, watched):
    async with attacked(server, watched, "insider_padding", "malformed_packets") as (insider, _, counted):
        sent = await insider.publisher.attack("long_padding", **CAMERA)
        await counted.reaches("malformed_packets", sent * 0.8)


async def test_extensions_past_the_end_are_not_read(server, watched):
    async with attacked(server, watched, "insider_extensions", "unopened_packets", "rtp_received") as (insider, _, counted):
        sent = await insider.publisher.attack("long_extensions", **CAMERA)
        # One of six could not even be sealed.
        await counted.reaches("unopened_packets", sent / 6 * 0.8)
        await counted.reaches("rtp_received", sent / 2)


async def test_replayed_packets_reach_nobody(server, watched):
    async with attacked(server, watched, "insider_replay", "unopened_packets", "rtp_received") as (insider, _, counted):
        sent = await insider.publisher.attack("replay", **CAMERA)
        await counted.reaches("unopened_packets", sent * 0.5)


async def test_sources_of_others_are_nothing_to_who_does_not_own_them(server, watched):
    async with attacked(server, watched, "insider_sources", "unrouted_packets") as (insider, videos, counted):
        # Those that it hears of, and those next to them, which others may have been given.
        near = sorted({ssrc + step & 0xFFFF_FFFF for ssrc in videos for step in range(-8, 9)})
        sent = await insider.publisher.attack("foreign_sources", **CAMERA, ssrcs=near)
        await counted.reaches("unrouted_packets", sent / 2)


async def test_layers_that_were_not_announced_go_nowhere(server, watched):
    async with attacked(server, watched, "insider_layers", "unrouted_packets") as (insider, _, counted):
        sent = await insider.publisher.attack("strange_layers", **CAMERA)
        await counted.reaches("unrouted_packets", sent * 0.8)


async def test_dependency_descriptors_may_say_anything(server, watched):
    async with attacked(server, watched, "insider_descriptors", "rtp_received") as (insider, _, counted):
        sent = await insider.publisher.attack("descriptors", pt=AV1, ssrc=SCREEN_SSRC, id=DEPENDENCY)
        await counted.reaches("rtp_received", sent * 0.8)


async def test_numbers_that_jump_cost_their_own_viewers_at_most(server, watched):
    async with attacked(server, watched, "insider_jumps", "rtp_received", "indices_refused") as (insider, _, counted):
        sent = await insider.publisher.attack("jumps", **CAMERA)
        await counted.reaches("rtp_received", sent * 0.8)
        assert counted["indices_refused"] == 0


async def test_what_is_above_any_cameras_rate_is_dropped_at_the_door(server, watched):
    async with attacked(server, watched, "insider_flood", "over_rate_packets", "rtp_sent_bytes") as (insider, _, counted):
        began = time.monotonic()
        sent = await insider.publisher.attack("flood", **CAMERA)
        took = time.monotonic() - began
        # 12,000 full packets a second are 110 Mbit/s; 32 are let through, after a second's worth, to two others.
        await counted.reaches("over_rate_packets", sent / 4)
        assert counted["rtp_sent_bytes"] < 2 * (took + 1.5) * 4 * 1024 * 1024 * 1.1


async def test_counts_that_lie_are_malformed(server, watched):
    async with attacked(server, watched, "insider_counts", "malformed_packets", "rtcp_received") as (insider, _, counted):
        sent = await insider.subscriber.attack("lying_counts")
        await counted.reaches("rtcp_received", sent * 0.8)
        await counted.reaches("malformed_packets", sent / 2)


async def test_asking_for_everything_again_and_again_is_answered_once_at_most(server, watched):
    names = ("nacks_received", "nacks_refused", "rtx_sent", "rtp_sent")
    async with attacked(server, watched, "insider_nacks", *names) as (insider, videos, counted):
        sent = await insider.subscriber.attack("nack_storm", ssrcs=videos)
        await counted.reaches("nacks_refused", sent * 100)
        again, whole = counted["rtx_sent"], counted["rtp_sent"]
        print(f"a storm of {counted['nacks_received']:.0f} requests brought {again:.0f} packets again; {whole - again:.0f} others were sent", flush=True)
        # Nobody gets more again than they got, and what is kept for that is bounded.
        assert again <= whole - again + 512 * len(videos)


async def test_a_storm_of_key_frame_requests_reaches_publishers_as_a_few(server, watched):
    names = ("key_frame_requests_received", "key_frame_requests_sent")
    async with attacked(server, watched, "insider_key_frames", *names) as (insider, videos, counted):
        began = time.monotonic()
        sent = await insider.subscriber.attack("key_frame_storm", ssrcs=videos)
        await counted.reaches("key_frame_requests_received", sent)
        took = time.monotonic() - began
        # For each stream three at once and two a second, whoever asks.
        assert counted["key_frame_requests_sent"] <= (3 + 2 * (took + 1)) * (len(videos) + 2)


async def test_arrival_times_that_never_were_change_nothing(server, watched):
    async with attacked(server, watched, "insider_arrivals", "rtcp_received") as (insider, videos, counted):
        sent = await insider.subscriber.attack("arrival_nonsense", ssrcs=videos)
        await counted.reaches("rtcp_received", sent * 0.8)


async def test_reports_of_nonsense_change_nothing(server, watched):
    async with attacked(server, watched, "insider_reports", "rtcp_received") as (insider, videos, counted):
        sent = await insider.subscriber.attack("report_nonsense", ssrcs=videos)
        await counted.reaches("rtcp_received", sent * 0.8)
