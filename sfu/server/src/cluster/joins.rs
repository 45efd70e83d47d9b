//! A client's way to its room's home.

use std::sync::Arc;

use plenum_cluster::{
    RoomKey,
    clock::boottime,
    membership::{CallError, IfAbsent, Located},
};
use tokio::time::sleep;

use super::{AGAIN, Cluster, HOLD, key_of};
use crate::{
    hop::{self, HopError},
    rooms::{Held, state_mismatch},
    signal::{Connection, JoinContext, JoinError},
};

impl Cluster {
    /// Lets a client in, here or on the room's home.
    ///
    /// # Errors
    /// What the client gets as an HTTP status.
    pub async fn connect(
        self: &Arc<Self>,
        context: JoinContext,
        may_create: bool,
    ) -> Result<Connection, JoinError> {
        let cluster = self.clone();
        self.on_rooms_runtime(async move { cluster.find_home(&context, may_create).await })
            .await
            .unwrap_or_else(|| Err(JoinError::Unavailable("this member is ending".to_owned())))
    }

    /// Whether a client with this context would find its room.
    ///
    /// # Errors
    /// As for [`Cluster::connect`].
    pub async fn validate(
        self: &Arc<Self>,
        context: JoinContext,
        may_create: bool,
    ) -> Result<(), JoinError> {
        let cluster = self.clone();
        let located = self.on_rooms_runtime(async move {
            let key =
                key_of(&context.room).map_err(|error| JoinError::Malformed(error.to_string()))?;
            match cluster.locate(&key, IfAbsent::Report, HOLD).await? {
                Located::Nowhere if !may_create || cluster.is_closed(&key).await => {
                    Err(JoinError::NoRoom)
                }
                Located::Nowhere | Located::Here { .. } | Located::There { .. } => Ok(()),
            }
        });
        located
            .await
            .unwrap_or_else(|| Err(JoinError::Unavailable("this member is ending".to_owned())))
    }

    async fn find_home(
        self: &Arc<Self>,
        context: &JoinContext,
        may_create: bool,
    ) -> Result<Connection, JoinError> {
        let key = key_of(&context.room).map_err(|error| JoinError::Malformed(error.to_string()))?;
        let deadline = boottime() + HOLD;
        loop {
            let left = deadline.saturating_sub(boottime());
            let why = match self.locate(&key, IfAbsent::Report, left).await? {
                Located::Nowhere if context.request.reconnect => return Ok(state_mismatch()),
                Located::Nowhere => match self.place(&key, may_create).await {
                    Ok(()) => continue,
                    Err(error) => return Err(error),
                },
                Located::Here { epoch, snapshot } => {
                    let held = Held { epoch, snapshot };
                    match self.connect_here(context, &key, held).await {
                        Some(result) => return result,
                        None => "the room moved while you were joining; try again".to_owned(),
                    }
                }
                Located::There {
                    holder, address, ..
                } => match hop::open(self, &holder, &address, context).await {
                    Ok(connection) => return Ok(connection),
                    Err(HopError::Refused(error)) => return Err(error),
                    Err(HopError::NotHome(why)) => why,
                    Err(HopError::Unreachable(error)) => {
                        self.membership.suspect(&holder.node);
                        CallError::HomeSilent(holder).to_string() + &format!(" ({error})")
                    }
                },
            };
            if boottime() >= deadline {
                return Err(JoinError::Unavailable(why));
            }
            sleep(AGAIN).await;
        }
    }

    /// Gives a room that nobody holds a home.
    async fn place(&self, key: &RoomKey, may_create: bool) -> Result<(), JoinError> {
        if !may_create || self.is_closed(key).await {
            return Err(JoinError::NoRoom);
        }
        self.locate(key, IfAbsent::Place, HOLD).await?;
        Ok(())
    }

    /// Lets a client into a room that this member holds. `None`: locate it again.
    pub(crate) async fn connect_here(
        &self,
        context: &JoinContext,
        key: &RoomKey,
        held: Held,
    ) -> Option<Result<Connection, JoinError>> {
        let rooms = &self.rooms;
        let mut new = rooms.defaults().for_token(
            &context.claims,
            &rooms.config().settings.load().room.presets,
        );
        if held.snapshot.is_none() {
            new.settings = self.settings_of(key, new.settings).await;
        }
        self.rooms.connect(context, new, held).await
    }
}
