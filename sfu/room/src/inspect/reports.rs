//! Puts together what the room knows and what its Shards show.

use std::collections::BTreeMap;

use livekit_protocol::{self as proto, ConnectionQuality, VideoQuality};
use plenum_types::{
    Codec, Decision, LayerView, MediaKind, ParticipantId, Path, Rate, ShardId, ShardView, Subject,
    SubscriptionId, SubscriptionView, TrackId, TrackSid, TrackView, TransportId, TransportView,
};

use super::{
    DecisionReport, DemandReport, LayerReport, ParticipantView, Permitted, RoomView,
    SubscriptionReport, TrackReport, TransportReport,
    why::{Facts, Stall, why},
};
use crate::{
    Room,
    participant::{Participant, Peer, Phase},
    publish::Track,
};

/// Rows about tracks that participants get or miss, of one view: as many as a Shard shows.
const MAX_ROWS: usize = 10_000;

/// What Shards show, by id.
#[derive(Default)]
struct Seen<'a> {
    transports: BTreeMap<TransportId, &'a TransportView>,
    tracks: BTreeMap<TrackId, &'a TrackView>,
    subscriptions: BTreeMap<SubscriptionId, &'a SubscriptionView>,
    /// Tracks of the room by those of the Shards, which have one more for a second codec.
    sids: BTreeMap<TrackId, &'a TrackSid>,
}

impl Seen<'_> {
    /// What the Shards see of a track, in each of its codecs.
    fn sources(&self, id: TrackId, track: &Track) -> impl Iterator<Item = &TrackView> {
        track
            .sources(id)
            .filter_map(|source| self.tracks.get(&source).copied())
    }
}

impl Room {
    pub(super) fn view(&self, views: &BTreeMap<ShardId, ShardView>) -> RoomView {
        let mut seen = Seen::default();
        for view in views.values() {
            let transports = view.transports.iter().map(|t| (t.transport, t));
            seen.transports.extend(transports);
            seen.tracks.extend(view.tracks.iter().map(|t| (t.track, t)));
            let subscriptions = view.subscriptions.iter().map(|s| (s.subscription, s));
            seen.subscriptions.extend(subscriptions);
        }
        for (id, track) in &self.tracks {
            seen.sids
                .extend(track.sources(*id).map(|source| (source, &track.sid)));
        }
        let mut rows = 0;
        let participants = self
            .participants
            .values()
            .map(|participant| self.participant_view(participant, &seen, &mut rows))
            .collect();
        RoomView {
            name: self.config.name.to_string(),
            sid: self.config.sid.to_string(),
            at_ms: self.unix_ms(),
            created_at_ms: self.config.created_at_unix_ms,
            participants,
            truncated: rows >= MAX_ROWS || views.values().any(|view| view.truncated),
            silent_shards: Vec::new(),
        }
    }

    fn participant_view(
        &self,
        participant: &Participant,
        seen: &Seen<'_>,
        rows: &mut usize,
    ) -> ParticipantView {
        let permissions = &participant.grants.permissions;
        ParticipantView {
            sid: participant.sid.to_string(),
            identity: participant.identity().to_string(),
            name: participant.grants.name.clone(),
            state: state(participant.phase).to_owned(),
            hidden: participant.hidden(),
            client: client(&participant.client),
            joined_at_ms: participant.joined_at_unix_ms,
            shard: participant.shard.0,
            may: Permitted {
                publish: permissions.can_publish,
                subscribe: permissions.can_subscribe,
                publish_data: permissions.can_publish_data,
            },
            quality: participant.quality.map(quality),
            transports: transports(&participant.peer)
                .into_iter()
                .filter_map(|(role, id)| {
                    Some(self.transport_report(role, seen.transports.get(&id)?, &seen.sids))
                })
                .collect(),
            tracks: participant
                .tracks
                .values()
                .filter_map(|id| {
                    let track = self.tracks.get(id)?;
                    Some(self.track_report(*id, track, seen))
                })
                .collect(),
            subscriptions: self.subscription_reports(participant, seen, rows),
        }
    }

    fn transport_report(
        &self,
        role: &str,
        seen: &TransportView,
        sids: &BTreeMap<TrackId, &TrackSid>,
    ) -> TransportReport {
        TransportReport {
            role: role.to_owned(),
            connected: seen.connected,
            path: seen.path.map(|path| path_kind(path).to_owned()),
            remote: seen.path.map(|path| path.remote().to_string()),
            srtp: seen.srtp.map(|srtp| srtp.name().to_owned()),
            dtls: seen.dtls.map(|dtls| dtls.name().to_owned()),
            rtt_ms: seen.link.rtt.map(|rtt| rtt.as_secs_f64() * 1_000.0),
            uplink_loss: seen.link.uplink_loss,
            downlink_loss: seen.link.downlink_loss,
            waiting: seen.waiting,
            dropped: seen.dropped,
            decisions: seen
                .decisions
                .iter()
                .map(|decision| self.decision_report(decision, sids))
                .collect(),
        }
    }

    fn decision_report(
        &self,
        decision: &Decision,
        sids: &BTreeMap<TrackId, &TrackSid>,
    ) -> DecisionReport {
        let track = match decision.about {
            Subject::Transport => None,
            Subject::Track(id) => Some(id),
            Subject::Subscription(id) => self.subscriptions.get(&id).map(|known| known.track),
        };
        DecisionReport {
            at_ms: i64::try_from(decision.at / 1_000_000).unwrap_or(i64::MAX),
            track: track
                .and_then(|id| sids.get(&id).copied())
                .map(ToString::to_string),
            subscribed: matches!(decision.about, Subject::Subscription(_)),
            what: decision.what,
        }
    }

    fn track_report(&self, id: TrackId, track: &Track, seen: &Seen<'_>) -> TrackReport {
        let stall = why(Facts {
            permitted: true,
            decodable: true,
            muted: track.info.muted,
            hidden: false,
            rests: track.dynacast.rests(self.now),
            live: seen.sources(id, track).any(is_live),
            open: true,
            sending: true,
            dropping: false,
        });
        TrackReport {
            sid: track.sid.to_string(),
            name: track.info.name.clone(),
            kind: kind(track.kind).to_owned(),
            source: source(track),
            mime: track.info.mime_type.clone(),
            muted: track.info.muted,
            width: track.info.width,
            height: track.info.height,
            subscribers: track.subscribers.len(),
            demand: track
                .dynacast
                .told()
                .iter()
                .map(|(codec, demand)| DemandReport {
                    mime: codec.mime().to_owned(),
                    quality: demand.map(video_quality),
                })
                .collect(),
            layers: seen
                .sources(id, track)
                .flat_map(|source| &source.layers)
                .map(|layer| layer_report(track, layer))
                .collect(),
            why: stall,
        }
    }

    /// All tracks of others that a participant gets, or wants and may not have or can't take.
    fn subscription_reports(
        &self,
        participant: &Participant,
        seen: &Seen<'_>,
        rows: &mut usize,
    ) -> Vec<SubscriptionReport> {
        self.tracks
            .iter()
            .filter(|(id, track)| self.concerns(participant, **id, track))
            .take_while(|_| {
                *rows += 1;
                *rows <= MAX_ROWS
            })
            .map(|(id, track)| self.subscription_report(participant, *id, track, seen))
            .collect()
    }

    fn concerns(&self, participant: &Participant, id: TrackId, track: &Track) -> bool {
        let wanted = !participant.is_lost()
            && track.publisher != participant.id
            && participant.wants(&track.sid)
            && !self.is_hidden(track.publisher);
        participant.subscriptions.contains_key(&id) || wanted
    }

    fn is_hidden(&self, publisher: ParticipantId) -> bool {
        self.participants
            .get(&publisher)
            .is_none_or(Participant::hidden)
    }

    fn subscription_report(
        &self,
        participant: &Participant,
        id: TrackId,
        track: &Track,
        seen: &Seen<'_>,
    ) -> SubscriptionReport {
        let subscription = participant
            .subscriptions
            .get(&id)
            .and_then(|id| Some((*id, self.subscriptions.get(id)?)));
        let shown = subscription.and_then(|(id, _)| seen.subscriptions.get(&id).copied());
        let target = subscription.map(|(_, subscription)| subscription.target);
        let facts = Facts {
            permitted: participant.grants.permissions.can_subscribe
                && !participant.denied.contains(&id),
            decodable: !participant.refused.contains(&id),
            muted: track.info.muted,
            hidden: target.is_some_and(|target| target.paused),
            rests: track.dynacast.rests(self.now),
            // The Shard's id: what is sent in another codec is a track of its own there.
            live: seen
                .tracks
                .get(&shown.map_or(id, |shown| shown.track))
                .is_some_and(|track| is_live(track)),
            open: shown.is_some_and(|shown| shown.open),
            sending: shown.is_some_and(|shown| shown.current.is_some()),
            dropping: shown.is_some_and(|shown| shown.dropping || shown.starved),
        };
        let stall = why(facts);
        SubscriptionReport {
            track: track.sid.to_string(),
            publisher: self
                .participants
                .get(&track.publisher)
                .map(|publisher| publisher.identity().to_string())
                .unwrap_or_default(),
            source: source(track),
            kind: kind(track.kind).to_owned(),
            target,
            chosen: shown.and_then(|shown| shown.chosen),
            // What was sent last is not what is sent, where nothing comes any more.
            current: shown
                .and_then(|shown| shown.current)
                .filter(|_| stall.is_none_or(|stall| stall == Stall::Bandwidth)),
            rate: if stall.is_none() {
                shown.map(|shown| shown.rate).unwrap_or_default()
            } else {
                Rate::default()
            },
            sent: shown.map_or(0, |shown| shown.sent),
            loss: shown.map_or(0.0, |shown| shown.loss),
            dropped: shown.map_or(0, |shown| shown.dropped),
            why: stall,
        }
    }
}

fn is_live(track: &TrackView) -> bool {
    track.layers.iter().any(|layer| layer.live)
}

#[allow(deprecated)] // `layers`: the same as those of the first codec
fn layer_report(track: &Track, layer: &LayerView) -> LayerReport {
    let of_codec = track
        .info
        .codecs
        .iter()
        .find(|codec| Codec::named(&codec.mime_type) == layer.codec)
        .map(|codec| &codec.layers)
        .filter(|layers| !layers.is_empty());
    let announced = of_codec
        .unwrap_or(&track.info.layers)
        .get(usize::from(layer.spatial));
    LayerReport {
        seen: layer.clone(),
        width: announced.map_or(0, |announced| announced.width),
        height: announced.map_or(0, |announced| announced.height),
    }
}

fn transports(peer: &Peer) -> Vec<(&'static str, TransportId)> {
    match peer {
        Peer::Single(leg) => vec![("both", leg.transport)],
        Peer::Dual {
            publisher,
            subscriber,
            ..
        } => publisher
            .iter()
            .map(|leg| ("publisher", leg.transport))
            .chain(subscriber.iter().map(|leg| ("subscriber", leg.transport)))
            .collect(),
    }
}

fn path_kind(path: Path) -> &'static str {
    match path {
        Path::Udp { .. } => "udp",
        Path::Tcp { .. } => "tcp",
        _ => "other",
    }
}

const fn state(phase: Phase) -> &'static str {
    match phase {
        Phase::Joined(_) => "joined",
        Phase::Active(_) => "active",
        Phase::Closing(_) => "closing",
        Phase::Away => "away",
        Phase::Lost(_) => "lost",
    }
}

const fn kind(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

fn source(track: &Track) -> String {
    proto::TrackSource::try_from(track.info.source)
        .unwrap_or_default()
        .as_str_name()
        .to_ascii_lowercase()
}

fn quality(quality: ConnectionQuality) -> String {
    quality.as_str_name().to_ascii_lowercase()
}

fn video_quality(quality: u8) -> String {
    VideoQuality::try_from(i32::from(quality))
        .unwrap_or(VideoQuality::High)
        .as_str_name()
        .to_ascii_lowercase()
}

/// What a client says about itself, as far as it is short.
fn client(info: &proto::ClientInfo) -> String {
    const SHOWN: usize = 40;
    let short = |text: &str| text.chars().take(SHOWN).collect::<String>();
    let sdk = proto::client_info::Sdk::try_from(info.sdk).unwrap_or_default();
    let mut parts = vec![format!("{} {}", sdk.as_str_name(), short(&info.version))];
    if !info.browser.is_empty() {
        parts.push(format!(
            "{} {}",
            short(&info.browser),
            short(&info.browser_version)
        ));
    }
    if !info.os.is_empty() {
        parts.push(short(&info.os));
    }
    parts
        .iter()
        .map(|part| part.trim())
        .collect::<Vec<_>>()
        .join(", ")
}
