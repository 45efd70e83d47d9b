//! A participant goes to another room of this member: its connection follows, with what it still says.

use plenum_room::{ApiCallId, ConnectionId, Traveller};
use tokio::sync::mpsc;

use super::{RoomMessage, RoomTask};
use crate::{rooms::travel::Handover, signal::Inbound};

impl RoomTask {
    /// A participant goes to another room of this member, with its connection.
    pub(super) fn hand_over(&mut self, call: ApiCallId, traveller: Box<Traveller>) {
        let connection = traveller.connection();
        let client = self.clients.remove(&connection);
        let target = self.targets.remove(&call);
        if let (Some(client), Some(target)) = (client, target) {
            self.departed.insert(connection, client.route.clone());
            client.route.turn(target.frames.clone());
            let handover = RoomMessage::Arrive(Box::new(Handover { traveller, client }));
            if let Err(mpsc::error::SendError(RoomMessage::Arrive(lost))) =
                target.messages.send(handover)
            {
                self.abandon(&lost);
            }
        }
    }

    /// The room that a participant was sent to has ended: its socket is cut, and it joins anew.
    pub(super) fn abandon(&self, lost: &Handover) {
        let (shard, commands) = lost.traveller.abandon();
        for command in commands {
            if let Err(error) = self.rooms.config.engine.send(shard, command) {
                tracing::warn!(room = %self.name, %error, "a participant's transport stays until its room ends");
            }
        }
    }

    /// A frame of a connection that went to another room, and was on its way here already, goes there too. Others come back.
    pub(super) fn follow(&mut self, connection: ConnectionId, inbound: Inbound) -> Option<Inbound> {
        let Some(route) = self.departed.get(&connection) else {
            return Some(inbound);
        };
        let inbox = route.inbox();
        if matches!(inbound, Inbound::Closed) {
            self.departed.remove(&connection);
        }
        let _ = inbox.send((connection, inbound));
        None
    }
}
