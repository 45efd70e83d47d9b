//! Which UDP ports a member gets: a block of the pool's range, one port per shard, so that several members fit one
//! Kubernetes node whichever the scheduler picks.

use plenum_crds::{MediaPoolSpec, NetworkMode, PortRange};

/// The lowest block that no member of `taken` has, or else one that only members of `ended` have (their Pods have let
/// go of it). `None` if the range is used up.
pub(super) fn allocate(
    spec: &MediaPoolSpec,
    taken: &[PortRange],
    ended: &[PortRange],
) -> Option<PortRange> {
    let free = |block: &PortRange, used: &[PortRange]| {
        used.iter().all(|u| u.max < block.min || block.max < u.min)
    };
    match spec.network.mode {
        // Each Pod has an address of its own: all bind the same ports.
        NetworkMode::PodIP => blocks(spec).next(),
        NetworkMode::HostPort => blocks(spec)
            .find(|block| free(block, taken) && free(block, ended))
            .or_else(|| blocks(spec).find(|block| free(block, taken))),
    }
}

/// How many members the range has ports for.
pub(super) fn fit(spec: &MediaPoolSpec) -> usize {
    blocks(spec).count()
}

fn blocks(spec: &MediaPoolSpec) -> impl Iterator<Item = PortRange> {
    let (range, shards) = (spec.network.port_range, spec.shards.max(1));
    (range.min..=range.max)
        .step_by(usize::from(shards))
        .map_while(move |min| {
            min.checked_add(shards - 1)
                .filter(|max| *max <= range.max)
                .map(|max| PortRange { min, max })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::pool_spec;

    fn range(min: u16, max: u16) -> PortRange {
        PortRange { min, max }
    }

    #[test]
    fn a_member_gets_as_many_ports_as_shards() {
        let mut spec = pool_spec();
        spec.shards = 4;
        spec.network.port_range = range(100, 111);
        assert_eq!(allocate(&spec, &[], &[]), Some(range(100, 103)));
        assert_eq!(
            allocate(&spec, &[range(100, 103)], &[]),
            Some(range(104, 107))
        );
        assert_eq!(fit(&spec), 3);
    }

    #[test]
    fn ports_of_ended_members_are_used_last() {
        let mut spec = pool_spec();
        spec.network.port_range = range(100, 102);
        assert_eq!(
            allocate(&spec, &[range(101, 101)], &[range(100, 100)]),
            Some(range(102, 102))
        );
        assert_eq!(
            allocate(&spec, &[range(101, 102)], &[range(100, 100)]),
            Some(range(100, 100))
        );
        assert_eq!(allocate(&spec, &[range(100, 102)], &[]), None);
    }

    #[test]
    fn a_block_never_overlaps_one_of_another_size() {
        let mut spec = pool_spec();
        spec.shards = 2;
        spec.network.port_range = range(100, 105);
        assert_eq!(
            allocate(&spec, &[range(101, 101), range(102, 102)], &[]),
            Some(range(104, 105))
        );
    }

    #[test]
    fn with_pod_addresses_all_members_bind_the_same_ports() {
        let mut spec = pool_spec();
        spec.network.mode = NetworkMode::PodIP;
        let first = allocate(&spec, &[], &[]).unwrap();
        assert_eq!(allocate(&spec, &[first], &[]), Some(first));
    }

    #[test]
    fn the_end_of_the_port_space_does_not_overflow() {
        let mut spec = pool_spec();
        spec.shards = 3;
        spec.network.port_range = range(65530, 65535);
        assert_eq!(fit(&spec), 2);
    }
}
