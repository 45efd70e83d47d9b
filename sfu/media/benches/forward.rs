//! What a forwarded packet costs: a publisher of VP8 simulcast and fifty subscribers through the Shard's public entry, with
//! AES-256-GCM both ways, transport-wide feedback, reports, NACKs, retransmissions and layer switches; no sockets.
//!
//! Prints `figure forward_ns_per_packet` (time in the Shard over packets sent) and `figure allocs_per_packet` (Rust's and C's
//! allocations in the Shard over packets sent).
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    reason = "a measurement's own data is never outside data"
)]

#[path = "../tests/shard/common/mod.rs"]
mod common;
mod counting;

use std::{sync::atomic::Ordering, time::Duration};

use common::{Call, Camera, TWCC_ID, VP8_RTX};
use counting::{ALLOCATIONS, COUNTING};
use plenum_media::{Run, TransmitSink, Transmitted};
use plenum_rtp::{
    HeaderWriter, RtpHeader, RtpPacket,
    packet::ExtensionForm,
    rtcp::{ReportBlock, RtcpWriter},
};
use plenum_types::{Codec, LayerTarget, Ssrc, SubscriptionId, Timestamp};

const SUBSCRIBERS: usize = 50;
/// Packets of a frame of layers 0, 1, 2: 720p at 1.7 Mbit/s and 30 frames a second is seven.
const PACKETS: [usize; 3] = [1, 2, 7];
const PAYLOAD: usize = 1_000;
const FRAME: Duration = Duration::from_nanos(33_333_333);
/// Eleven seconds: each periodic thing has happened twice.
const WARM_UP_FRAMES: usize = 330;
const MEASURED_PACKETS: u64 = 100_000;
/// Every frame one subscriber asks for a packet again; every 40th frame a packet of the publisher is lost at first.
const LOSS_EVERY: usize = 40;

/// Counts what leaves and reads nothing.
#[derive(Default)]
struct Wire {
    datagrams: u64,
}

impl TransmitSink for Wire {
    fn transmit(&mut self, run: Run<'_>) -> Transmitted {
        self.datagrams += run.segments() as u64;
        Transmitted::Sent
    }
}

/// CPU time of this thread: what others do on the machine is not in it.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec that the call fills in.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "no clock of CPU time");
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// Time and allocations inside the Shard.
#[derive(Default)]
struct Meter {
    spent: Duration,
}

impl Meter {
    fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        COUNTING.set(true);
        let start = cpu_time();
        let result = work();
        self.spent += cpu_time() - start;
        COUNTING.set(false);
        result
    }
}

struct Bench {
    call: Call,
    camera: Camera,
    subscribers: Vec<(usize, SubscriptionId, Ssrc)>,
    wire: Wire,
    frame: usize,
    number: u16,
    rtx_sequence: u64,
    highest: u32,
    late: Vec<Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        let mut call = Call::new();
        let alice = call.join();
        let track = call.add_video(alice, 3, 1_000);
        let mut camera = Camera::new(alice, 3, 1_000);
        camera.packet_bytes = PAYLOAD;
        let subscribers = (0..SUBSCRIBERS)
            .map(|_| {
                let client = call.join();
                let (id, ssrc) = call.subscribe(client, track, Codec::Vp8, LayerTarget::HIGHEST);
                (client, id, ssrc)
            })
            .collect();
        Self {
            call,
            camera,
            subscribers,
            wire: Wire::default(),
            frame: 0,
            number: 0,
            rtx_sequence: 1,
            highest: 0,
            late: Vec::new(),
        }
    }

    /// Everything that happens in the time of a frame; what is not the Shard's own work is not measured.
    fn step(&mut self, meter: &mut Meter) {
        let mut datagrams: Vec<(usize, Vec<u8>)> = Vec::new();
        // What was lost in the frame before comes again, after it was asked for.
        datagrams.extend(self.late.drain(..).map(|datagram| (0, datagram)));
        for (layer, packets) in PACKETS.into_iter().enumerate() {
            let key = self.frame.is_multiple_of(300) || (self.frame % 300 == 60 && layer == 1);
            let frame = self.camera.frame(layer, key, packets, self.call.now);
            for (place, packet) in frame.iter().enumerate() {
                self.number = self.number.wrapping_add(1);
                let number = self.number.to_be_bytes();
                if layer == 2 && place == 3 && self.frame % LOSS_EVERY == 5 {
                    let mut payload = packet.header.sequence.to_be_bytes().to_vec();
                    payload.extend(&packet.payload);
                    let header = RtpHeader {
                        payload_type: VP8_RTX,
                        ssrc: Ssrc(packet.header.ssrc.0 + 100),
                        sequence: self.rtx_sequence as u16,
                        ..packet.header
                    };
                    self.late.push(self.call.sealed_rtp(
                        0,
                        self.rtx_sequence,
                        header,
                        &[(TWCC_ID, &number)],
                        &payload,
                    ));
                    self.rtx_sequence += 1;
                    continue;
                }
                datagrams.push((
                    0,
                    self.call.sealed_rtp(
                        0,
                        packet.extended,
                        packet.header,
                        &[(TWCC_ID, &number)],
                        &packet.payload,
                    ),
                ));
            }
        }
        self.highest += PACKETS[2] as u32;
        for (place, (client, _, ssrc)) in self.subscribers.iter().copied().enumerate() {
            // A report a second each, spread over the frames; a NACK each frame from one of them.
            if (self.frame + place).is_multiple_of(30) {
                let block = ReportBlock {
                    ssrc,
                    fraction_lost: 1,
                    cumulative_lost: 1,
                    highest_sequence: self.highest,
                    jitter: 10,
                    last_sr: 0,
                    delay_since_last_sr: 0,
                };
                datagrams.push((
                    client,
                    sealed_rtcp(&mut self.call, client, |writer| {
                        writer.receiver_report(Ssrc(77), &[block]);
                    }),
                ));
            }
            if place == self.frame % SUBSCRIBERS {
                let recent = (self.highest.saturating_sub(20)) as u16;
                datagrams.push((
                    client,
                    sealed_rtcp(&mut self.call, client, |writer| {
                        writer.receiver_report(Ssrc(77), &[]);
                        writer.nack(Ssrc(77), ssrc, &[recent, recent.wrapping_add(1)]);
                    }),
                ));
            }
        }
        let (_, first_id, _) = self.subscribers[0];
        if self.frame % 300 == 50 || self.frame % 300 == 200 {
            let spatial = if self.frame % 300 == 50 { 1 } else { u8::MAX };
            self.call.set_target(
                first_id,
                LayerTarget {
                    spatial,
                    ..LayerTarget::HIGHEST
                },
            );
        }
        let server = "127.0.0.1:7882".parse().unwrap();
        let Self { call, wire, .. } = self;
        let until: Timestamp = call.now + FRAME;
        meter.measure(|| {
            for (client, datagram) in &mut datagrams {
                let remote = call.clients[*client].address;
                call.shard
                    .handle_datagram(call.now, server, remote, datagram);
            }
            call.shard.flush(call.now, call.wall, wire);
            while call.shard.next_timeout() <= until {
                call.now = call.now.max(call.shard.next_timeout());
                call.shard.handle_timeout(call.now);
                call.shard.flush(call.now, call.wall, wire);
            }
        });
        call.now = until;
        // Paths are kept alive outside the measurement: the answers of ICE may allocate.
        if self.frame.is_multiple_of(60) {
            for client in 0..call.clients.len() {
                call.check_path(client);
            }
            call.shard.flush(call.now, call.wall, wire);
        }
        while call.shard.poll_event().is_some() {}
        self.frame += 1;
    }
}

fn sealed_rtcp(call: &mut Call, client: usize, write: impl FnOnce(&mut RtcpWriter<'_>)) -> Vec<u8> {
    let mut buffer = vec![0; 600];
    let mut writer = RtcpWriter::new(&mut buffer);
    write(&mut writer);
    let len = writer.len();
    let sealed = call.clients[client]
        .sender
        .seal_rtcp(&mut buffer, len)
        .unwrap();
    buffer.truncate(sealed);
    buffer
}

/// The part that no server can save: writing a header, copying the payload and sealing, in nanoseconds per packet.
fn floor() -> f64 {
    let (ours, _) = common::keys(1);
    let mut sender = plenum_transport::SrtpSender::new(&ours).unwrap();
    let payload = [7u8; PAYLOAD];
    let mut buffer = vec![0u8; 60_000];
    let rounds = 200_000u64;
    let start = cpu_time();
    for n in 1..=rounds {
        let at = (n as usize % 7) * 1_100;
        let header = RtpHeader {
            marker: false,
            payload_type: VP8_RTX,
            sequence: n as u16,
            timestamp: n as u32,
            ssrc: Ssrc(1),
        };
        let mut writer =
            HeaderWriter::new(&mut buffer[at..], header, ExtensionForm::OneByte).unwrap();
        writer.push(2, &[0; 3]).unwrap();
        let header_len = writer.finish().unwrap();
        let len = header_len + PAYLOAD;
        buffer[at + header_len..at + len].copy_from_slice(&payload);
        sender
            .seal_rtp(n, header_len, &mut buffer[at..], len)
            .unwrap();
    }
    let spent = cpu_time() - start;
    assert!(RtpPacket::parse_header(&buffer[1_100..2_200]).is_ok());
    spent.as_nanos() as f64 / rounds as f64
}

fn main() {
    let mut bench = Bench::new();
    let mut warm_up = Meter::default();
    for _ in 0..WARM_UP_FRAMES {
        bench.step(&mut warm_up);
    }
    let before = *bench.call.shard.stats();
    ALLOCATIONS.store(0, Ordering::Relaxed);
    let mut meter = Meter::default();
    while bench.call.shard.stats().rtp_sent - before.rtp_sent < MEASURED_PACKETS {
        bench.step(&mut meter);
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed);
    let stats = *bench.call.shard.stats();
    let sent = stats.rtp_sent - before.rtp_sent;
    // The scenario still is what it says.
    assert!(stats.rtx_sent > before.rtx_sent, "no retransmissions");
    assert!(stats.nacks_sent > 0, "nothing asked for from the publisher");
    assert!(
        stats.layer_switches > before.layer_switches,
        "no layer switch"
    );
    assert!(stats.rtcp_sent > before.rtcp_sent, "no reports");
    println!(
        "{sent} packets to {SUBSCRIBERS} subscribers in {} runs, {} retransmissions, {} reports, {} switches",
        stats.runs_sent - before.runs_sent,
        stats.rtx_sent - before.rtx_sent,
        stats.rtcp_sent - before.rtcp_sent,
        stats.layer_switches - before.layer_switches,
    );
    println!(
        "figure forward_ns_per_packet = {:.0} ns (goal 500)",
        meter.spent.as_nanos() as f64 / sent as f64
    );
    println!(
        "figure allocs_per_packet = {:.6} (goal 0)",
        allocations as f64 / sent as f64
    );
    println!(
        "figure forward_floor_ns = {:.0} ns (header, copy and seal alone)",
        floor()
    );
}
