//! Places of things in the Shard's slabs. A key may outlive what it pointed to only where the holder is told.

use std::collections::VecDeque;

use slab::Slab;

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(u32);

        impl $name {
            pub(crate) const fn from_index(index: usize) -> Self {
                Self(index as u32)
            }
            pub(crate) const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

key!(
    /// A room on this Shard.
    RoomKey
);
key!(
    /// A Transport on this Shard.
    TransportKey
);
key!(
    /// A Track on this Shard.
    TrackKey
);
key!(
    /// A Subscription on this Shard.
    SubscriptionKey
);

/// Keys of a slab, collected so that the slab can change meanwhile.
pub(crate) fn occupied<T>(slab: &Slab<T>, into: &mut VecDeque<usize>) {
    into.clear();
    into.extend(slab.iter().map(|(index, _)| index));
}
