//! Tokens for clients that are here.

use std::sync::Arc;

use plenum_room::{ConnectionId, Grants, SignalMessage};
use plenum_types::RoomName;

use super::RoomTask;
use crate::rooms::grants::claims_of;

/// A refreshed token lives at least this long (protocol.md 3.2).
const REFRESHED_TTL_SECONDS: u64 = 600;

impl RoomTask {
    pub(super) fn refresh_token(&mut self, connection: ConnectionId, grants: &Grants) {
        let name = self.name.clone();
        if let Some(token) = self.token(connection, grants, &name) {
            self.send(connection, &refresh_message(token));
        }
    }

    /// A token for a client that is here, for this room or another one.
    pub(super) fn token(
        &self,
        connection: ConnectionId,
        grants: &Grants,
        room: &RoomName,
    ) -> Option<String> {
        let client = self.clients.get(&connection)?;
        let config = &self.rooms.config;
        let mut claims = claims_of(&client.claims, grants, room);
        let unix = config.clock.wall().unix_nanos(self.now()) / 1_000_000_000;
        claims.exp = client.claims.exp.max(unix + REFRESHED_TTL_SECONDS);
        config
            .keys
            .sign(&claims)
            .or_else(|error| {
                // The key that the client came with is gone: it goes on with one that counts.
                claims.iss = config.keys.first().ok_or(error)?;
                config.keys.sign(&claims)
            })
            .inspect_err(|error| tracing::warn!(%error, "no token can be signed"))
            .ok()
    }
}

pub(super) fn refresh_message(token: String) -> Arc<SignalMessage> {
    SignalMessage::new(livekit_protocol::signal_response::Message::RefreshToken(
        token,
    ))
}
