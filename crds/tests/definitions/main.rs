//! What is said about Room, MediaPool and MediaNode to an API server. One program: linking is what many small ones cost.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is a failed test"
)]

mod chart;
mod rules;
