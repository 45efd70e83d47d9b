//! The signaling protocol as clients meet it; each file is one concern, each test one behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is a failed test"
)]

mod backup;
mod calling;
mod candidates;
mod data_tracks;
mod dual;
mod dynacast;
mod edges;
mod ending;
mod falling_back;
mod hostile;
mod inspecting;
mod joining;
mod limits;
mod moving;
mod profiles;
mod publishing;
mod regression;
mod resuming;
mod server_api;
mod simulating;
mod snapshots;
mod speaking;
mod subscribing;
mod updating;
mod world;
