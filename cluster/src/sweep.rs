//! A takeover: everything that happens to the rooms of a member that was judged dead or has left.

use crate::directory::{Claim, Directory, DirectoryError, Holder, Move};
use crate::placement::{NoPlace, Placement};

/// What [`take_over`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// The claims it made. Rooms that somebody else moved meanwhile are not among them.
    pub moved: Vec<Claim>,
    /// Rooms that no member can take, and why; they stay with the dead one until the next sweep or join.
    pub homeless: Option<(usize, NoPlace)>,
}

/// Tombstones one life of a member, then moves its rooms to where placement puts them (claims.md rule 5). Anyone may run
/// it, at the same time as others, and again after it failed halfway: already moved is success.
///
/// `placement` holds the members that may take rooms, without the dead one.
pub async fn take_over(
    directory: &dyn Directory,
    dead: &Holder,
    placement: &mut Placement,
) -> Result<TakenOver, DirectoryError> {
    directory.tombstone(dead).await?;
    let mut homeless = None;
    let mut moves = Vec::new();
    let rooms = directory.rooms().await?.into_iter();
    for Claim { room, .. } in rooms.filter(|claim| claim.holder.incarnation == dead.incarnation) {
        match placement.place(&room, None) {
            Ok(to) => moves.push(Move { room, to }),
            Err(why) => homeless = Some((homeless.map_or(1, |(count, _)| count + 1), why)),
        }
    }
    let moved = directory.sweep(dead.incarnation, moves).await?;
    Ok(TakenOver { moved, homeless })
}
