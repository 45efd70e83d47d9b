//! Pool and dispatches without sockets.

mod endings;
mod home;
mod pool;
mod travel;
mod wishes;

use std::time::Duration;

use fastrand::Rng;
use livekit_protocol as proto;
use plenum_types::Timestamp;

use super::{dispatch::Moment, ids::WorkerId};

fn at(millis: u64) -> Moment {
    Moment {
        now: Timestamp::from_nanos(1_000_000_000) + Duration::from_millis(millis),
        wall_ns: i64::try_from(millis).unwrap() * 1_000_000,
    }
}

fn room(name: &str) -> proto::Room {
    proto::Room {
        name: name.to_owned(),
        ..Default::default()
    }
}

#[test]
fn ids_have_the_shape_that_clients_know() {
    let id = WorkerId::random(&mut Rng::with_seed(1));
    assert!(id.as_str().starts_with("AW_") && id.as_str().len() == 15);
}
