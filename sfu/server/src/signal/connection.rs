//! Frames of one client on their way to its room.

use std::sync::Arc;

use bytes::Bytes;
use livekit_protocol as proto;
use plenum_room::ConnectionId;
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{FrameRoute, OutboxReader, parts};

/// What one participant may have waiting in its room's inbox, KiB: twice the largest message, so that one can be read
/// while another is handled.
const QUOTA_KIB: u32 = 4096;
/// Least that a message counts, KiB: so that at most 256 wait.
const MIN_COST_KIB: u32 = 16;

/// A client that a room has taken in.
#[derive(Debug)]
pub struct Connection {
    /// What the client says.
    pub to_room: FrameSink,
    /// The room's first answer: `join`, `reconnect` or `leave`.
    pub first: Bytes,
    /// All that follows.
    pub from_room: OutboxReader,
}

/// A client's message in a room's inbox.
#[derive(Debug)]
pub enum Inbound {
    /// It says something. The quota is given back when this is dropped.
    Message(Box<proto::SignalRequest>, Quota),
    /// It is gone.
    Closed,
}

/// A message's part of its participant's quota.
#[derive(Debug)]
pub struct Quota(
    #[expect(dead_code, reason = "gives the quota back when dropped")] OwnedSemaphorePermit,
);

/// Where a connection's frames go. Dropping it tells the room that the connection is closed.
#[derive(Debug)]
pub struct FrameSink(Destination);

#[derive(Debug)]
enum Destination {
    /// A room of this member.
    Room {
        connection: ConnectionId,
        route: FrameRoute,
        quota: Arc<Semaphore>,
    },
    /// The home of the room, over a hop.
    Hop(mpsc::Sender<Bytes>),
}

/// Why a frame did not reach the room: the connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not a `livekit.SignalRequest`, or one of too many parts.
    #[error(
        "the frame is not a livekit.SignalRequest of at most {} parts",
        parts::MAX_PARTS
    )]
    Malformed,
    /// The room has ended.
    #[error("the room has ended")]
    RoomGone,
}

impl FrameSink {
    /// For one connection of the room behind `route`. A room's inbox is unbounded by itself, each sink is bounded by its
    /// quota.
    #[must_use]
    pub fn new(connection: ConnectionId, route: FrameRoute) -> Self {
        Self(Destination::Room {
            connection,
            route,
            quota: Arc::new(Semaphore::new(QUOTA_KIB as usize)),
        })
    }

    /// For a connection whose room lives on another member.
    #[must_use]
    pub const fn to_hop(frames: mpsc::Sender<Bytes>) -> Self {
        Self(Destination::Hop(frames))
    }

    /// Hands a frame over; waits while the participant's quota is used up, so that its socket is not read.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub async fn send(&self, frame: &Bytes) -> Result<(), FrameError> {
        let parts = parts::of_protobuf(frame).ok_or(FrameError::Malformed)?;
        let request =
            proto::SignalRequest::decode(frame.as_ref()).map_err(|_| FrameError::Malformed)?;
        if request.message.is_none() {
            return Ok(()); // of a newer client
        }
        let (connection, route, quota) = match &self.0 {
            Destination::Hop(frames) => {
                let sent = frames.send(frame.clone()).await;
                return sent.map_err(|_| FrameError::RoomGone);
            }
            Destination::Room {
                connection,
                route,
                quota,
            } => (*connection, route, quota),
        };
        let bytes = frame.len().max(parts * parts::PART_BYTES);
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let quota = quota
            .clone()
            .acquire_many_owned(kib.clamp(MIN_COST_KIB, QUOTA_KIB))
            .await
            .map_err(|_| FrameError::RoomGone)?;
        route
            .inbox()
            .send((
                connection,
                Inbound::Message(Box::new(request), Quota(quota)),
            ))
            .map_err(|_| FrameError::RoomGone)
    }
}

impl Drop for FrameSink {
    fn drop(&mut self) {
        if let Destination::Room {
            connection, route, ..
        } = &self.0
        {
            // A room that is gone needs no news.
            let _ = route.inbox().send((*connection, Inbound::Closed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn mute() -> Bytes {
        proto::SignalRequest {
            message: Some(proto::signal_request::Message::Mute(Default::default())),
        }
        .encode_to_vec()
        .into()
    }

    #[tokio::test]
    async fn a_flood_waits_until_the_room_has_handled_it() {
        let (inbox, mut room) = mpsc::unbounded_channel();
        let sink = FrameSink::new(ConnectionId(1), FrameRoute::new(inbox));
        for _ in 0..QUOTA_KIB / MIN_COST_KIB {
            sink.send(&mute()).await.unwrap();
        }
        assert!(sink.send(&mute()).now_or_never().is_none());
        drop(room.recv().await);
        assert!(sink.send(&mute()).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_frame_that_decodes_to_hundreds_of_megabytes_is_malformed() {
        let (inbox, mut room) = mpsc::unbounded_channel();
        let sink = FrameSink::new(ConnectionId(1), FrameRoute::new(inbox));
        let bomb = |tracks| -> Bytes {
            proto::SignalRequest {
                message: Some(proto::signal_request::Message::SyncState(
                    proto::SyncState {
                        publish_tracks: vec![Default::default(); tracks],
                        ..Default::default()
                    },
                )),
            }
            .encode_to_vec()
            .into()
        };
        assert_eq!(
            sink.send(&bomb(1_000_000)).await,
            Err(FrameError::Malformed)
        );
        // What it takes once it is decoded counts, not its 20 KB.
        sink.send(&bomb(10_000)).await.unwrap();
        assert!(sink.send(&bomb(10_000)).now_or_never().is_none());
        drop(room.recv().await);
    }

    /// covers: edge.unknown_message
    #[tokio::test]
    async fn malformed_frames_end_the_connection_and_unknown_messages_do_not() {
        let (inbox, mut room) = mpsc::unbounded_channel();
        let sink = FrameSink::new(ConnectionId(1), FrameRoute::new(inbox));
        assert_eq!(
            sink.send(&Bytes::from_static(&[0xff; 4])).await,
            Err(FrameError::Malformed)
        );
        // Field 1,000, as a later protocol might have.
        assert_eq!(
            sink.send(&Bytes::from_static(&[0xc0, 0x3e, 0x01])).await,
            Ok(())
        );
        drop(sink);
        assert!(matches!(
            room.recv().await,
            Some((ConnectionId(1), Inbound::Closed))
        ));
    }
}
