//! SCTP and DCEP between two Transports.

use std::time::Duration;

use crate::common::*;
use plenum_transport::{DataError, MAX_TRANSMIT, TransportEvent};
use plenum_types::DataChannel;

fn all_open(pair: &Pair) -> bool {
    (0..2).all(|side| {
        DataChannel::ALL
            .into_iter()
            .all(|channel| pair.has(side, &TransportEvent::ChannelOpen(channel)))
    })
}

fn messages(pair: &Pair, side: usize, wanted: DataChannel) -> Vec<Vec<u8>> {
    pair.events[side]
        .iter()
        .filter_map(|event| match event {
            TransportEvent::Data { channel, payload } if *channel == wanted => {
                Some(payload.clone())
            }
            _ => None,
        })
        .collect()
}

fn open_pair(link: Link, seed: u64, open: [bool; 2]) -> Pair {
    let mut pair = Pair::new(link, seed, open);
    assert!(
        pair.run_until(Duration::from_secs(30), all_open),
        "seed {seed}: {:?}",
        pair.events
    );
    pair
}

#[test]
fn either_side_opens_the_channels_and_both_send() {
    for open in [[true, false], [false, true]] {
        let mut pair = open_pair(Link::CLEAN, 1, open);
        for side in 0..2 {
            for channel in DataChannel::ALL {
                for payload in [&b"hello"[..], b"", &[7; 60_000]] {
                    let now = pair.now;
                    pair.sides[side].send_data(channel, payload, now).unwrap();
                    pair.run_until(Duration::from_millis(200), |_| false);
                }
            }
        }
        for side in 0..2 {
            for channel in DataChannel::ALL {
                let got = messages(&pair, side, channel);
                assert_eq!(got.len(), 3, "{channel:?} at {side}");
                assert_eq!((&got[0][..], &got[1][..]), (&b"hello"[..], &b""[..]));
                assert!(got[2] == [7; 60_000]);
            }
        }
        assert!(pair.largest <= MAX_TRANSMIT, "{} bytes", pair.largest);
    }
}

#[test]
fn reliable_messages_arrive_in_order_over_a_bad_link_and_lossy_ones_when_lucky() {
    for seed in 0..8 {
        let mut pair = open_pair(Link::BAD, seed, [false, true]);
        let count = 40u32;
        for number in 0..count {
            let now = pair.now;
            for side in 0..2 {
                let payload = [number.to_be_bytes().to_vec(), vec![1; 500]].concat();
                let sent = pair.sides[side].send_data(DataChannel::Reliable, &payload, now);
                assert_eq!(sent, Ok(()));
                let _ = pair.sides[side].send_data(DataChannel::Lossy, &payload, now);
            }
            pair.run_until(Duration::from_millis(20), |_| false);
        }
        let all = |pair: &Pair| {
            (0..2).all(|side| messages(pair, side, DataChannel::Reliable).len() == count as usize)
        };
        assert!(pair.run_until(Duration::from_secs(60), all), "seed {seed}");
        for side in 0..2 {
            for (number, message) in messages(&pair, side, DataChannel::Reliable)
                .iter()
                .enumerate()
            {
                assert_eq!(message[..4], (number as u32).to_be_bytes());
            }
            let lossy = messages(&pair, side, DataChannel::Lossy).len();
            assert!(
                (1..=count as usize).contains(&lossy),
                "{lossy} lossy messages"
            );
        }
    }
}

#[test]
fn a_client_that_takes_nothing_is_told_to_reconnect() {
    let mut pair = open_pair(Link::CLEAN, 1, [false, true]);
    pair.set_link(Link {
        loss: 100,
        ..Link::CLEAN
    });
    let now = pair.now;
    let mut taken = 0;
    let refused = loop {
        match pair.sides[0].send_data(DataChannel::Reliable, &[0; 10_000], now) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, DataError::Overflow);
    assert!((100..120).contains(&taken), "{taken} messages of 10 kB");
    pair.step();
    assert!(pair.has(0, &TransportEvent::DataOverflow));

    let mut pair = open_pair(Link::CLEAN, 2, [false, true]);
    pair.set_link(Link {
        loss: 100,
        ..Link::CLEAN
    });
    let now = pair.now;
    for _ in 0..10 {
        pair.sides[0]
            .send_data(DataChannel::Reliable, &[0; 10_000], now)
            .unwrap();
    }
    assert!(pair.run_until(Duration::from_secs(6), |pair| {
        pair.has(0, &TransportEvent::DataOverflow)
    }));
    assert!(pair.now - now >= Duration::from_secs(5));
}

#[test]
fn lossy_messages_to_a_slow_client_are_dropped_and_counted() {
    let mut pair = open_pair(Link::CLEAN, 1, [false, true]);
    pair.set_link(Link {
        loss: 100,
        ..Link::CLEAN
    });
    let now = pair.now;
    for _ in 0..500 {
        pair.sides[0]
            .send_data(DataChannel::Lossy, &[0; 1000], now)
            .unwrap();
    }
    assert!(pair.sides[0].lossy_dropped() > 350);
}

#[test]
fn messages_that_can_not_go_are_refused_with_the_reason() {
    let mut pair = Pair::new(Link::CLEAN, 1, [false; 2]);
    let now = pair.now;
    let too_early = pair.sides[0].send_data(DataChannel::Reliable, b"x", now);
    assert_eq!(too_early, Err(DataError::NotOpen));
    let mut pair = open_pair(Link::CLEAN, 1, [false, true]);
    let now = pair.now;
    assert_eq!(
        pair.sides[0].send_data(DataChannel::Reliable, &[0; 262_145], now),
        Err(DataError::TooLong {
            len: 262_145,
            limit: 262_144
        })
    );
}
