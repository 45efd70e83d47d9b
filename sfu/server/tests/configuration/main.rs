//! Production, its configuration and TLS, against the real process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // helpers of tests fail the test, too

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod checking;
mod configured;
mod metrics;
mod reloading;
mod rooms;
