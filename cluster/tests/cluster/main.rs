//! Directories, and members over them. One program: linking is what many small ones cost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is a failed test"
)]

mod pool;
mod redis_server;

mod claims;
mod detector;
mod directory_contract;
mod membership;
mod placement;
mod without_directory;
