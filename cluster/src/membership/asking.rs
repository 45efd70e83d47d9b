//! Finding a running room without the Directory: ask all peers at once (claims.md rules 8 and 10).

use futures_util::future::join_all;
use std::time::Duration;

use super::{MembersView, PeerRooms};
use crate::detector::Health;
use crate::directory::Holder;
use crate::{Epoch, NodeId, RoomKey};

/// A home that a peer named: itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The room's home.
    pub holder: Holder,
    /// Its internal address.
    pub address: String,
    /// The epoch under which it serves the room.
    pub epoch: Epoch,
}

/// What the peers said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The home; of several the one with the highest claim.
    pub home: Option<Found>,
    /// Living peers that did not answer: without them "nobody has it" is a guess.
    pub unanswered: Vec<NodeId>,
}

/// Asks every peer of the view in parallel, within `bound`.
pub async fn find_by_asking(
    view: &MembersView,
    room: &RoomKey,
    peers: &dyn PeerRooms,
    bound: Duration,
) -> Asked {
    let questions = view.peers().map(|member| async move {
        let answer =
            tokio::time::timeout(bound, peers.holds(&member.record.internal_address, room)).await;
        (member, answer)
    });
    let mut asked = Asked::default();
    for (member, answer) in join_all(questions).await {
        match answer {
            Ok(Ok(Some(report))) => {
                let found = Found {
                    holder: member.record.holder.clone(),
                    address: member.record.internal_address.clone(),
                    epoch: report.epoch,
                };
                let rank = |found: &Found| (found.epoch, found.holder.incarnation);
                if asked
                    .home
                    .as_ref()
                    .is_none_or(|best| rank(best) < rank(&found))
                {
                    asked.home = Some(found);
                }
            }
            Ok(Err(_)) | Err(_) if member.health == Health::Alive => {
                asked.unanswered.push(member.record.holder.node.clone());
            }
            Ok(Ok(None) | Err(_)) | Err(_) => {}
        }
    }
    asked
}
