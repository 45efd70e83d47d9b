//! Data tracks (protocol.md 6.4): a participant publishes them under numbers of its own, and subscribers know them under
//! theirs. The room decides who gets which; the Shard renumbers packets.

use std::collections::{BTreeMap, BTreeSet};

use livekit_protocol::{
    self as proto, data_track_frame_encoding, data_track_schema_encoding, request_response::Reason,
    request_response::Request, signal_response::Message,
};
use plenum_types::{DataTrackSubscriber, ParticipantId, ShardCommand, TrackSid};

use crate::{Room, sids, subscribe::MAX_NAMED_TRACKS};

/// Bytes of a track's or a schema's name.
const MAX_NAME: usize = 256;
/// Bytes of an encoding's name that is none of the protocol's own.
const MAX_ENCODING: usize = 32;
/// Data tracks that one participant may receive at a time: four of each in a room of 250.
const MAX_SUBSCRIPTIONS: usize = 1000;

/// A published data track.
#[derive(Debug)]
pub(crate) struct DataTrack {
    pub(crate) publisher: ParticipantId,
    /// The publisher's number for it.
    handle: u16,
    pub(crate) info: proto::DataTrackInfo,
    /// With the numbers under which they know it.
    subscribers: BTreeMap<ParticipantId, u16>,
}

/// What a participant has to do with data tracks.
#[derive(Debug, Default)]
pub(crate) struct DataSide {
    /// Its own, by its numbers.
    pub(crate) published: BTreeMap<u16, TrackSid>,
    /// Tracks of others that it gets, by its numbers.
    received: BTreeMap<u16, TrackSid>,
    /// The last number that was given to it.
    last_handle: u16,
    /// Asked for or refused by name.
    wishes: BTreeMap<TrackSid, Wish>,
    /// Wanted, but the publisher doesn't allow it; the client knows.
    denied: BTreeSet<TrackSid>,
    /// It must be told what it gets.
    untold: bool,
}

#[derive(Debug, Clone, Copy)]
struct Wish {
    subscribe: bool,
    frames_per_second: Option<u32>,
}

impl DataSide {
    /// A number that none of its tracks has; `None` if it gets as many as it may.
    fn free_handle(&mut self) -> Option<u16> {
        if self.received.len() >= MAX_SUBSCRIPTIONS {
            return None;
        }
        loop {
            self.last_handle = self.last_handle.wrapping_add(1).max(1);
            if !self.received.contains_key(&self.last_handle) {
                return Some(self.last_handle);
            }
        }
    }

    /// In another room nothing is left but what it publishes.
    pub(crate) fn forget_others(&mut self) {
        self.received.clear();
        self.wishes.clear();
        self.denied.clear();
        self.untold = false;
    }
}

impl Room {
    pub(crate) fn publish_data_track(
        &mut self,
        id: ParticipantId,
        request: proto::PublishDataTrackRequest,
    ) {
        let handle = match self.check_data_track(id, &request) {
            Ok(handle) => handle,
            Err((reason, text)) => {
                return self.refuse_request(
                    id,
                    0,
                    reason,
                    text,
                    Some(Request::PublishDataTrack(request)),
                );
            }
        };
        let sid = sids::data_track_sid(&mut self.rng);
        let info = proto::DataTrackInfo {
            pub_handle: request.pub_handle,
            sid: sid.to_string(),
            name: request.name,
            encryption: proto::encryption::Type::try_from(request.encryption).unwrap_or_default()
                as i32,
            frame_encoding: request.frame_encoding,
            schema: request.schema,
        };
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        participant.data.published.insert(handle, sid.clone());
        self.data_tracks.insert(
            sid.clone(),
            DataTrack {
                publisher: id,
                handle,
                info: info.clone(),
                subscribers: BTreeMap::new(),
            },
        );
        self.stale_data_tracks.insert(sid.clone());
        self.send(
            id,
            Message::PublishDataTrackResponse(proto::PublishDataTrackResponse { info: Some(info) }),
        );
        // Subscribers hear of the track before its number.
        self.participant_changed(id);
        self.reconcile_data_track(&sid);
    }

    fn check_data_track(
        &self,
        id: ParticipantId,
        request: &proto::PublishDataTrackRequest,
    ) -> Result<u16, (Reason, &'static str)> {
        let Some(participant) = self.participants.get(&id) else {
            return Err((Reason::NotFound, "no such participant"));
        };
        if !self.config.data_tracks {
            return Err((
                Reason::NotAllowed,
                "data tracks are switched off on this server (room.enable_data_tracks)",
            ));
        }
        if !participant.grants.permissions.can_publish_data {
            return Err((
                Reason::NotAllowed,
                "the token doesn't allow to publish data",
            ));
        }
        let handle = u16::try_from(request.pub_handle)
            .ok()
            .filter(|handle| *handle > 0)
            .ok_or((
                Reason::InvalidHandle,
                "a handle is a number from 1 to 65535",
            ))?;
        if request.name.is_empty() || request.name.len() > MAX_NAME {
            return Err((Reason::InvalidName, "a name has 1 to 256 bytes"));
        }
        if !frame_encoding_fits(request.frame_encoding.as_ref())
            || !request.schema.as_ref().is_none_or(schema_fits)
        {
            return Err((
                Reason::InvalidRequest,
                "the name of an encoding has 1 to 32 bytes, that of a schema at most 256",
            ));
        }
        if participant.data.published.contains_key(&handle) {
            return Err((
                Reason::DuplicateHandle,
                "the participant publishes a data track with this handle",
            ));
        }
        let mut published = participant.data.published.values();
        if published.any(|sid| {
            self.data_tracks
                .get(sid)
                .is_some_and(|track| track.info.name == request.name)
        }) {
            return Err((
                Reason::DuplicateName,
                "the participant publishes a data track with this name",
            ));
        }
        if participant.data.published.len() >= self.config.limits.data_tracks_per_participant {
            return Err((
                Reason::LimitExceeded,
                "the participant publishes as many data tracks as it may",
            ));
        }
        Ok(handle)
    }

    pub(crate) fn unpublish_data_track(
        &mut self,
        id: ParticipantId,
        request: proto::UnpublishDataTrackRequest,
    ) {
        let sid = u16::try_from(request.pub_handle).ok().and_then(|handle| {
            let participant = self.participants.get(&id)?;
            participant.data.published.get(&handle).cloned()
        });
        let Some(sid) = sid else {
            return self.refuse_request(
                id,
                0,
                Reason::NotFound,
                "no such data track",
                Some(Request::UnpublishDataTrack(request)),
            );
        };
        self.end_data_track(&sid);
        self.participant_changed(id);
    }

    /// A participant that may not publish data any more. The caller tells everyone.
    pub(crate) fn revoke_data_tracks(&mut self, id: ParticipantId) {
        if self
            .participants
            .get(&id)
            .is_some_and(|participant| !participant.grants.permissions.can_publish_data)
        {
            for sid in self.data_tracks_of(id) {
                self.end_data_track(&sid);
            }
        }
    }

    /// Ends a track; its publisher is told.
    fn end_data_track(&mut self, sid: &TrackSid) {
        if let Some(track) = self.drop_data_track(sid) {
            self.send(
                track.publisher,
                Message::UnpublishDataTrackResponse(proto::UnpublishDataTrackResponse {
                    info: Some(track.info),
                }),
            );
        }
    }

    fn drop_data_track(&mut self, sid: &TrackSid) -> Option<DataTrack> {
        let track = self.data_tracks.remove(sid)?;
        self.stale_data_tracks.remove(sid);
        for (subscriber, handle) in &track.subscribers {
            if let Some(participant) = self.participants.get_mut(subscriber) {
                participant.data.received.remove(handle);
                participant.data.untold = true;
            }
        }
        for participant in self.participants.values_mut() {
            participant.data.wishes.remove(sid);
            participant.data.denied.remove(sid);
        }
        if let Some(participant) = self.participants.get_mut(&track.publisher) {
            participant.data.published.remove(&track.handle);
        }
        let shards: Vec<_> = self.shards.iter().copied().collect();
        for shard in shards {
            self.command(
                shard,
                ShardCommand::RemoveDataTrack {
                    publisher: track.publisher,
                    handle: track.handle,
                },
            );
        }
        Some(track)
    }

    /// All that a participant had, in both directions, as it leaves the room. Says what it published.
    pub(crate) fn leave_data_tracks(&mut self, id: ParticipantId) -> Vec<proto::DataTrackInfo> {
        for (sid, track) in &mut self.data_tracks {
            if track.subscribers.remove(&id).is_some() {
                self.stale_data_tracks.insert(sid.clone());
            }
        }
        self.data_tracks_of(id)
            .into_iter()
            .filter_map(|sid| self.drop_data_track(&sid))
            .map(|track| track.info)
            .collect()
    }

    /// Tracks that a participant brings from another room: they keep their sids and its numbers.
    pub(crate) fn bring_data_tracks(
        &mut self,
        id: ParticipantId,
        tracks: Vec<proto::DataTrackInfo>,
    ) {
        for info in tracks {
            let Ok(handle) = u16::try_from(info.pub_handle) else {
                continue;
            };
            let sid = TrackSid::from(info.sid.as_str());
            if let Some(participant) = self.participants.get_mut(&id) {
                participant.data.published.insert(handle, sid.clone());
            }
            self.stale_data_tracks.insert(sid.clone());
            self.data_tracks.insert(
                sid,
                DataTrack {
                    publisher: id,
                    handle,
                    info,
                    subscribers: BTreeMap::new(),
                },
            );
        }
    }

    pub(crate) fn data_tracks_of(&self, id: ParticipantId) -> Vec<TrackSid> {
        self.participants
            .get(&id)
            .into_iter()
            .flat_map(|participant| participant.data.published.values().cloned())
            .collect()
    }

    pub(crate) fn update_data_subscription(
        &mut self,
        id: ParticipantId,
        request: &proto::UpdateDataSubscription,
    ) {
        for update in &request.updates {
            let sid = TrackSid::from(update.track_sid.as_str());
            let Some(participant) = self.participants.get_mut(&id) else {
                return;
            };
            let wishes = &mut participant.data.wishes;
            if wishes.len() >= MAX_NAMED_TRACKS && !wishes.contains_key(&sid) {
                continue;
            }
            let frames_per_second = update.options.as_ref().and_then(|o| o.target_fps);
            wishes.insert(
                sid.clone(),
                Wish {
                    subscribe: update.subscribe,
                    frames_per_second,
                },
            );
            if self.data_tracks.contains_key(&sid) {
                self.stale_data_tracks.insert(sid.clone());
                self.reconcile_data(id, &sid);
            }
        }
    }

    /// All data tracks for one participant.
    pub(crate) fn reconcile_data_of_subscriber(&mut self, id: ParticipantId) {
        let sids: Vec<_> = self.data_tracks.keys().cloned().collect();
        for sid in sids {
            self.reconcile_data(id, &sid);
        }
    }

    /// All data tracks of one participant.
    pub(crate) fn reconcile_data_of_publisher(&mut self, id: ParticipantId) {
        for sid in self.data_tracks_of(id) {
            self.reconcile_data_track(&sid);
        }
    }

    fn reconcile_data_track(&mut self, sid: &TrackSid) {
        let participants: Vec<_> = self.participants.keys().copied().collect();
        for subscriber in participants {
            self.reconcile_data(subscriber, sid);
        }
    }

    /// Brings one pair of participant and data track to what it should be.
    fn reconcile_data(&mut self, subscriber: ParticipantId, sid: &TrackSid) {
        let Some(track) = self.data_tracks.get(sid) else {
            return;
        };
        let Some(publisher) = self.participants.get(&track.publisher) else {
            return;
        };
        let Some(participant) = self.participants.get(&subscriber) else {
            return;
        };
        let asked = participant
            .data
            .wishes
            .get(sid)
            .map_or(participant.settings.auto_subscribe_data_track, |wish| {
                wish.subscribe
            });
        let wanted = subscriber != publisher.id
            && asked
            && !participant.is_lost()
            && !publisher.hidden()
            && participant.grants.permissions.can_subscribe;
        let allowed = publisher
            .policy
            .allows(participant.identity(), &participant.sid, sid);
        let publisher_sid = publisher.sid.to_string();
        let existing = track.subscribers.get(&subscriber).copied();
        let is_denied = wanted && !allowed;
        let was_denied = participant.data.denied.contains(sid);
        let Some(participant) = self.participants.get_mut(&subscriber) else {
            return;
        };
        if is_denied {
            participant.data.denied.insert(sid.clone());
        } else {
            participant.data.denied.remove(sid);
        }
        let handle = match (existing, wanted && allowed) {
            (Some(handle), false) => {
                participant.data.received.remove(&handle);
                None
            }
            (None, true) => {
                let Some(handle) = participant.data.free_handle() else {
                    return;
                };
                participant.data.received.insert(handle, sid.clone());
                Some(handle)
            }
            (unchanged, _) => unchanged,
        };
        if handle != existing {
            participant.data.untold = true;
            if let Some(track) = self.data_tracks.get_mut(sid) {
                match handle {
                    Some(handle) => track.subscribers.insert(subscriber, handle),
                    None => track.subscribers.remove(&subscriber),
                };
            }
            self.stale_data_tracks.insert(sid.clone());
        }
        if is_denied != was_denied && (is_denied || wanted) {
            self.send(
                subscriber,
                Message::SubscriptionPermissionUpdate(proto::SubscriptionPermissionUpdate {
                    participant_sid: publisher_sid,
                    track_sid: sid.to_string(),
                    allowed: !is_denied,
                }),
            );
        }
    }

    /// What one input changed goes out together: routes to the Shards first, then numbers to those who receive.
    pub(crate) fn push_data_tracks(&mut self) {
        let shards: Vec<_> = self.shards.iter().copied().collect();
        for sid in std::mem::take(&mut self.stale_data_tracks) {
            let Some(track) = self.data_tracks.get(&sid) else {
                continue;
            };
            let subscribers = track
                .subscribers
                .iter()
                .map(|(participant, handle)| DataTrackSubscriber {
                    participant: *participant,
                    handle: *handle,
                    frames_per_second: self
                        .participants
                        .get(participant)
                        .and_then(|p| p.data.wishes.get(&sid))
                        .and_then(|wish| wish.frames_per_second),
                })
                .collect();
            let command = ShardCommand::SetDataTrack {
                publisher: track.publisher,
                handle: track.handle,
                subscribers,
            };
            for shard in &shards {
                self.command(*shard, command.clone());
            }
        }
        let untold: Vec<_> = self
            .participants
            .values_mut()
            .filter_map(|p| std::mem::take(&mut p.data.untold).then_some(p.id))
            .collect();
        for id in untold {
            self.tell_data_handles(id);
        }
    }

    /// A client that resumes may have missed its numbers.
    pub(crate) fn repeat_data_handles(&mut self, id: ParticipantId) {
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.data.untold |= !participant.data.received.is_empty();
        }
    }

    fn tell_data_handles(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let sub_handles = participant
            .data
            .received
            .iter()
            .filter_map(|(handle, sid)| {
                let publisher = self
                    .participants
                    .get(&self.data_tracks.get(sid)?.publisher)?;
                let track = proto::data_track_subscriber_handles::PublishedDataTrack {
                    publisher_identity: publisher.identity().to_string(),
                    publisher_sid: publisher.sid.to_string(),
                    track_sid: sid.to_string(),
                };
                Some((u32::from(*handle), track))
            })
            .collect();
        self.send(
            id,
            Message::DataTrackSubscriberHandles(proto::DataTrackSubscriberHandles { sub_handles }),
        );
    }
}

fn frame_encoding_fits(encoding: Option<&proto::DataTrackFrameEncoding>) -> bool {
    match encoding.and_then(|encoding| encoding.value.as_ref()) {
        Some(data_track_frame_encoding::Value::Custom(name)) => encoding_name_fits(name),
        _ => true,
    }
}

/// Also of the key of a data blob.
pub(crate) fn schema_fits(schema: &proto::DataTrackSchemaId) -> bool {
    let encoding = schema.encoding.as_ref().and_then(|e| e.value.as_ref());
    schema.name.len() <= MAX_NAME
        && match encoding {
            Some(data_track_schema_encoding::Value::Custom(name)) => encoding_name_fits(name),
            _ => true,
        }
}

fn encoding_name_fits(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_ENCODING
}
