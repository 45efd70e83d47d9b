//! Descriptions as clients write them, as we do, and as nobody does. One program: linking is what many small ones cost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is a failed test"
)]

mod common;

mod codecs;
mod hostile;
mod offering;
mod receiving;
mod sending;
