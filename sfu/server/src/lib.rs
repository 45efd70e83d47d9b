//! plenum-sfu: HTTP, WebSocket, server API, configuration, and the wiring of all planes.
//!
//! [`run::Server`] is the whole process: an [`Engine`](plenum_engine::Engine) with its media threads, [`rooms::Rooms`] with
//! one task per room, [`cluster::Cluster`], which knows where each room lives, and the HTTP fronts for clients ([`http`]) and for
//! other members ([`internal`]). A signal message goes from [`signal::socket`] as an encoded frame to the
//! room's task, which asks the pure room what to do and carries that out.
//!
//! Handlers hold no room state and never wait for media. Tokens and secrets never reach a log.
#![forbid(unsafe_code)]

pub mod agents;
pub mod api;
pub mod auth;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod ending;
pub mod entropy;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod hop;
pub mod http;
pub mod internal;
pub mod log;
pub mod member;
pub mod metrics;
pub mod port;
pub mod reload;
pub mod rooms;
pub mod run;
pub mod signal;

/// The reference server's version whose behaviour clients may expect: they switch features by it.
pub const COMPATIBLE_VERSION: &str = "1.13.7";
