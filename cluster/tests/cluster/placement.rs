//! Where rooms without a home go.

use std::collections::BTreeMap;

use plenum_cluster::directory::{Capacity, Holder};
use plenum_cluster::member_api::{Load, MemberState};
use plenum_cluster::placement::{Candidate, NoPlace, Placement};
use plenum_cluster::{Incarnation, NodeId, RoomKey};
use proptest::prelude::*;

fn room(i: usize) -> RoomKey {
    RoomKey::new(format!("room-{i}")).unwrap()
}

fn member(i: usize) -> Candidate {
    Candidate {
        holder: Holder {
            node: NodeId::new(format!("sfu-{i}")).unwrap(),
            incarnation: Incarnation::new(i as u64 + 1),
        },
        state: MemberState::Serving,
        weight: 1,
        load: Load::default(),
        placed_since: 0,
        capacity: Capacity::default(),
    }
}

fn members(n: usize) -> Vec<Candidate> {
    (0..n).map(member).collect()
}

fn place_all(candidates: Vec<Candidate>, rooms: usize) -> BTreeMap<RoomKey, Holder> {
    let mut placement = Placement::new(candidates);
    (0..rooms)
        .map(|i| (room(i), placement.place(&room(i), None).unwrap()))
        .collect()
}

fn count(homes: &BTreeMap<RoomKey, Holder>) -> BTreeMap<NodeId, usize> {
    let mut count = BTreeMap::new();
    for home in homes.values() {
        *count.entry(home.node.clone()).or_insert(0) += 1;
    }
    count
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rooms_spread_evenly(n in 2usize..20) {
        let count = count(&place_all(members(n), n * 100));
        prop_assert_eq!(count.len(), n);
        // Two choices with counted loads: far closer than the 30 % that plain hashing would leave.
        prop_assert!(count.values().all(|rooms| (90..=110).contains(rooms)), "{:?}", count);
    }

    #[test]
    fn weights_are_shares(heavy in 2u32..5) {
        let mut candidates = members(4);
        candidates[0].weight = heavy;
        let count = count(&place_all(candidates, 2000));
        let share = count[&member(0).holder.node] as f64 / 2000.0;
        let wanted = f64::from(heavy) / f64::from(heavy + 3);
        prop_assert!((share - wanted).abs() < 0.05, "{} instead of {}", share, wanted);
    }

    #[test]
    fn the_order_of_the_members_does_not_matter(n in 2usize..12, r in 0usize..1000, turn in 0usize..12) {
        let mut turned = members(n);
        turned.rotate_left(turn % n);
        turned.reverse();
        let home = Placement::new(members(n)).place(&room(r), None).unwrap();
        prop_assert_eq!(Placement::new(turned).place(&room(r), None).unwrap(), home);
    }

    #[test]
    fn the_loss_of_a_member_moves_only_its_rooms_and_spreads_them(n in 4usize..20, lost in 0usize..20) {
        let lost = member(lost % n).holder;
        let before = place_all(members(n), n * 200);
        let load = count(&before);
        let living = members(n).into_iter().filter(|m| m.holder != lost).map(|mut m| {
            m.load.rooms = load[&m.holder.node] as u32;
            m
        });
        let mut placement = Placement::new(living);
        let mut moved = BTreeMap::new();
        for (room, home) in &before {
            let after = placement.place(room, Some(home)).unwrap();
            if *home == lost {
                moved.insert(room.clone(), after);
            } else {
                prop_assert_eq!(&after, home);
            }
        }
        let took = count(&moved);
        prop_assert_eq!(took.len(), n - 1);
        prop_assert!(took.values().all(|rooms| *rooms <= 200 / (n - 1) * 2 + 10), "{:?}", took);
    }

    #[test]
    fn no_member_goes_over_its_capacity(n in 1usize..8, bound in 1u32..20, asked in 0usize..200) {
        let mut candidates = members(n);
        for candidate in &mut candidates {
            candidate.capacity.rooms = bound;
        }
        let mut placement = Placement::new(candidates);
        let mut placed = BTreeMap::new();
        for i in 0..asked {
            match placement.place(&room(i), None) {
                Ok(home) => { placed.insert(room(i), home); }
                Err(why) => prop_assert_eq!(why, NoPlace::AtCapacity { serving: n }),
            }
        }
        prop_assert_eq!(placed.len(), asked.min(n * bound as usize));
        prop_assert!(count(&placed).values().all(|rooms| *rooms <= bound as usize));
    }
}

#[test]
fn only_serving_members_get_rooms_but_a_cordoned_home_keeps_its_own() {
    let mut candidates = members(3);
    candidates[0].state = MemberState::Cordoned;
    candidates[1].state = MemberState::Draining;
    let mut placement = Placement::new(candidates);
    for i in 0..50 {
        assert_eq!(placement.place(&room(i), None).unwrap(), member(2).holder);
        assert_eq!(
            placement.place(&room(i), Some(&member(0).holder)).unwrap(),
            member(0).holder
        );
        assert_eq!(
            placement.place(&room(i), Some(&member(1).holder)).unwrap(),
            member(2).holder
        );
    }
}

#[test]
fn nobody_serving_is_said_with_numbers() {
    let mut candidates = members(2);
    for candidate in &mut candidates {
        candidate.state = MemberState::Draining;
    }
    let why = Placement::new(candidates)
        .place(&room(1), None)
        .unwrap_err();
    assert_eq!(why, NoPlace::NobodyServes { members: 2 });
    assert!(why.to_string().contains('2'));
}

#[test]
fn the_less_loaded_of_the_best_two_is_chosen() {
    let mut candidates = members(2);
    candidates[0].load = Load {
        subscriptions: 500,
        participants: 50,
        rooms: 5,
        ..Load::default()
    };
    let mut placement = Placement::new(candidates);
    for i in 0..10 {
        assert_eq!(placement.place(&room(i), None).unwrap(), member(1).holder);
    }
}
