//! Server API calls from any member: here, on the room's home, or on all members.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use livekit_protocol as proto;
use plenum_cluster::{
    Incarnation, RoomKey,
    clock::boottime,
    detector::Health,
    directory::MemberRecord,
    membership::{DirectoryHealth, IfAbsent, Located, PeerError},
};
use prost::Message as _;
use tokio::time::sleep;

use super::{AGAIN, Cluster, PeerReply, key_of};
use crate::{
    api::{Answer, Call, Code, Encoding, TwirpError},
    rooms::Held,
};

/// A call is tried again this long while its room changes homes.
const PATIENCE: Duration = Duration::from_secs(4);
/// A home may take this much longer for a call than a room may.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);
/// Members may take this long to list their rooms.
const LIST: Duration = Duration::from_secs(1);
/// Names the life of the member that a call is meant for; another one answers with [`MISDIRECTED`].
pub(crate) const INCARNATION_HEADER: &str = "plenum-incarnation";
/// Status of a member that is not the room's home: locate it again.
pub(crate) const MISDIRECTED: u16 = 421;

/// How a call went.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Here.
    Answer(Box<Answer>),
    /// On another member, in the encoding of the call.
    Encoded(Bytes),
}

/// A call as it came.
#[derive(Debug, Clone)]
pub(crate) struct RawCall {
    pub(crate) call: Call,
    pub(crate) encoding: Encoding,
    pub(crate) body: Bytes,
    /// Rooms are made by those who want to be in them.
    pub(crate) auto_create: bool,
}

impl Cluster {
    /// Carries out a call that its token allows.
    ///
    /// # Errors
    /// Those of the room, or that its home can't be reached.
    pub(crate) async fn call(self: &Arc<Self>, raw: RawCall) -> Result<Outcome, TwirpError> {
        let cluster = self.clone();
        self.on_rooms_runtime(async move { cluster.route(&raw).await })
            .await
            .unwrap_or_else(|| {
                Err(TwirpError::new(
                    Code::Unavailable,
                    "this member is ending; try again",
                ))
            })
    }

    async fn route(self: &Arc<Self>, raw: &RawCall) -> Result<Outcome, TwirpError> {
        let Some(room) = raw.call.room() else {
            return self.list_all(&raw.call).await;
        };
        let key = key_of(&room.into())
            .map_err(|error| TwirpError::new(Code::InvalidArgument, error.to_string()))?;
        let creates = match raw.call {
            Call::CreateRoom(_) => true,
            Call::CreateDispatch(_) => raw.auto_create,
            _ => false,
        };
        let deadline = boottime() + PATIENCE;
        loop {
            let left = deadline.saturating_sub(boottime());
            let unavailable = |why: String| TwirpError::new(Code::Unavailable, why);
            let located = self
                .locate(&key, IfAbsent::Report, left)
                .await
                .map_err(|error| unavailable(error.to_string()))?;
            let why = match located {
                Located::Nowhere if creates => {
                    if self.is_closed(&key).await {
                        return Err(TwirpError::new(
                            Code::FailedPrecondition,
                            "a Room resource says that the room is closed",
                        ));
                    }
                    self.locate(&key, IfAbsent::Place, left)
                        .await
                        .map_err(|error| unavailable(error.to_string()))?;
                    continue;
                }
                Located::Nowhere => {
                    return Err(TwirpError::new(
                        Code::NotFound,
                        "requested room does not exist",
                    ));
                }
                Located::Here { epoch, snapshot } => {
                    let held = Held { epoch, snapshot };
                    match self.call_here(&key, held, raw.call.clone()).await {
                        Some(result) => {
                            return result.map(|answer| Outcome::Answer(Box::new(answer)));
                        }
                        None => "the room moved; try again".to_owned(),
                    }
                }
                Located::There {
                    holder, address, ..
                } => match self.forward(raw, &address, holder.incarnation.get()).await {
                    Ok(PeerReply { status: 200, body }) => return Ok(Outcome::Encoded(body)),
                    Ok(PeerReply {
                        status: MISDIRECTED,
                        body,
                    }) => String::from_utf8_lossy(&body).into_owned(),
                    Ok(PeerReply { status, body }) => {
                        return Err(TwirpError::read(&body).unwrap_or_else(|| {
                            unavailable(format!("{} answered with status {status}", holder.node))
                        }));
                    }
                    Err(error) => {
                        self.membership.suspect(&holder.node);
                        // What was sent may have been carried out: only a call that never arrived is sent again.
                        if !matches!(error, PeerError::Refused | PeerError::Unreachable) {
                            return Err(unavailable(format!("{}: {error}", holder.node)));
                        }
                        format!("{}: {error}", holder.node)
                    }
                },
            };
            if boottime() >= deadline {
                return Err(unavailable(why));
            }
            sleep(AGAIN).await;
        }
    }

    /// Carries out a call about a room that this member holds. `None`: locate it again.
    pub(crate) async fn call_here(
        self: &Arc<Self>,
        key: &RoomKey,
        held: Held,
        call: Call,
    ) -> Option<Result<Answer, TwirpError>> {
        let rooms = &self.rooms;
        let mut new = call.new_room(
            &rooms.defaults(),
            &rooms.config().settings.load().room.presets,
        );
        if held.snapshot.is_none() {
            new.settings = self.settings_of(key, new.settings).await;
        }
        let name = key.name().into();
        match self.rooms.create(&name, new, held).await {
            Ok(room) if matches!(call, Call::CreateRoom(_)) => {
                return Some(Ok(Answer::Room(room.info)));
            }
            Ok(_) => {}
            Err(crate::rooms::OpenError::NotHeld | crate::rooms::OpenError::Ending) => return None,
            Err(error) => return Some(Err(error.into())),
        }
        call.carry_out(&self.rooms).await
    }

    async fn forward(
        &self,
        raw: &RawCall,
        address: &str,
        incarnation: u64,
    ) -> Result<PeerReply, PeerError> {
        let path = raw.call.method().path();
        let headers = [
            ("content-type", raw.encoding.media_type().to_owned()),
            (INCARNATION_HEADER, incarnation.to_string()),
        ];
        self.peers
            .post_raw(
                address,
                &path,
                &headers,
                raw.body.clone(),
                raw.call.patience() + ANSWER_MARGIN,
            )
            .await
    }

    /// All rooms of the pool: the living homes say what they serve, so that this works without the Directory.
    async fn list_all(&self, call: &Call) -> Result<Outcome, TwirpError> {
        let Call::ListRooms(request) = call else {
            return Err(TwirpError::new(Code::BadRoute, "the call names no room"));
        };
        let body: Bytes = request.encode_to_vec().into();
        let path = call.method().path();
        let asked = self.homes_to_ask().await.into_iter().map(|home| {
            let (path, body) = (path.clone(), body.clone());
            async move {
                let headers = [
                    ("content-type", Encoding::Protobuf.media_type().to_owned()),
                    (INCARNATION_HEADER, home.holder.incarnation.to_string()),
                ];
                let reply = self
                    .peers
                    .post_raw(&home.internal_address, &path, &headers, body, LIST)
                    .await;
                (home, reply)
            }
        });
        let mut lists = vec![self.list_here(request)];
        for (home, reply) in join_all(asked).await {
            let node = &home.holder.node;
            match reply {
                Ok(PeerReply { status: 200, body }) => {
                    let list = proto::ListRoomsResponse::decode(body).map_err(|error| {
                        TwirpError::new(Code::Unavailable, format!("{node}: {error}"))
                    })?;
                    lists.push(list.rooms);
                }
                // It has just died, or started anew: its rooms are nowhere at this moment.
                Ok(PeerReply {
                    status: MISDIRECTED,
                    ..
                })
                | Err(PeerError::Refused | PeerError::Reset | PeerError::Unreachable) => {
                    self.membership.suspect(node);
                }
                Ok(PeerReply { status, .. }) => {
                    let why = format!("{node} answered with status {status}; try again");
                    return Err(TwirpError::new(Code::Unavailable, why));
                }
                Err(error) => {
                    let why = format!("{node} does not list its rooms: {error}; try again");
                    return Err(TwirpError::new(Code::Unavailable, why));
                }
            }
        }
        // A room that moved while members were asked is listed twice, the fuller one is the one that people are in.
        let mut rooms: Vec<proto::Room> = lists.into_iter().flatten().collect();
        rooms.sort_by(|a, b| {
            a.name
                .cmp(&b.name)
                .then(b.num_participants.cmp(&a.num_participants))
        });
        rooms.dedup_by(|a, b| a.name == b.name);
        Ok(Outcome::Answer(Box::new(Answer::Rooms(
            proto::ListRoomsResponse { rooms },
        ))))
    }

    /// The other members that may have rooms. A member that has just started is in the Directory before it is in the view.
    async fn homes_to_ask(&self) -> Vec<MemberRecord> {
        let view = self.membership.view();
        let mut homes: BTreeMap<Incarnation, MemberRecord> = view
            .peers()
            .map(|peer| (peer.record.holder.incarnation, peer.record.clone()))
            .collect();
        if view.directory != DirectoryHealth::Down
            && let Ok(members) = self.membership.directory().members().await
        {
            for row in members.rows {
                homes
                    .entry(row.record.holder.incarnation)
                    .or_insert(row.record);
            }
            homes.retain(|incarnation, _| !members.tombstones.contains(incarnation));
        }
        homes.remove(&view.me.incarnation);
        // A suspected one may take too long for everybody; if it is dead, so are its rooms there.
        homes.retain(|incarnation, _| {
            view.by_incarnation(*incarnation)
                .is_none_or(|member| member.health == Health::Alive)
        });
        homes.into_values().collect()
    }

    /// The rooms of this member that a list asks for.
    pub(crate) fn list_here(&self, request: &proto::ListRoomsRequest) -> Vec<proto::Room> {
        self.rooms
            .list()
            .into_iter()
            .map(|room| room.info)
            .filter(|room| request.names.is_empty() || request.names.contains(&room.name))
            .collect()
    }
}
