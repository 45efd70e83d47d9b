//! Transports without a network, on a clock that the test moves. One program: linking is what many small ones cost.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic in a test is a failed test"
)]

mod common;

mod data_channels;
mod handshake;
mod ice;
mod noise;
mod silence;
