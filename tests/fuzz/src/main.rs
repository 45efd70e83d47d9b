//! One program with all fuzz targets; `PLENUM_FUZZ` names the one to run. The rest of its command line is libFuzzer's.
//!
//! A target reads a stranger's bytes as the server does and checks what must hold whatever they are: no panic, what is
//! written reads back, answers and allocations stay below a bound. `tests/fuzz/run` runs each for half a minute.
#![no_main]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic is a finding"
)]

mod allocations;
mod codecs;
mod datagrams;
mod requests;

use std::sync::OnceLock;

/// A target and the most bytes that one of its inputs may allocate, in all.
type Target = (fn(&[u8]), fn(usize) -> usize);

fn target() -> Target {
    let name = std::env::var("PLENUM_FUZZ").unwrap_or_default();
    // What a datagram costs: a few small buffers. What a text or message of `n` bytes costs: a few hundred times as much at
    // most, since two bytes of protobuf may be a structure of 300.
    let datagram = |_| 64 * 1024;
    let message = |length| (1 << 20) + 600 * length;
    match name.as_str() {
        "stun" => (datagrams::stun, datagram),
        "rtp" => (datagrams::rtp, datagram),
        "rtcp" => (datagrams::rtcp, datagram),
        // This target keeps each frame, two bytes at least, in a list of its own.
        "framing" => (datagrams::framing, |length| (64 << 10) + 128 * length),
        "dcep" => (datagrams::dcep, datagram),
        "payload" => (codecs::payload, datagram),
        "data" => (datagrams::data, message),
        "sdp" => (requests::sdp, message),
        "answer" => (requests::answer, message),
        "join" => (requests::join, |_| 64 << 20),
        "token" => (requests::token, message),
        "signal" => (requests::signal, message),
        "hop" => (requests::hop, message),
        "twirp" => (requests::twirp, message),
        other => panic!("PLENUM_FUZZ={other:?} names no target"),
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<Target> = OnceLock::new();
    let (run, bound) = TARGET.get_or_init(target);
    let before = allocations::bytes();
    run(bytes);
    let used = allocations::bytes() - before;
    let bound = bound(bytes.len());
    assert!(
        used <= bound,
        "{} bytes made the server allocate {used}; at most {bound} are fine",
        bytes.len()
    );
});
