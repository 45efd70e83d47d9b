//! One participant: where its session stands, its peer connections, what it sends and wants.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use livekit_protocol as proto;
use plenum_negotiation::{Answerer, NegotiationError, Offerer, OutgoingTrack};
use plenum_types::{
    Candidate, Codec, LinkQuality, Mid, ParticipantId, ParticipantIdentity, ParticipantSid,
    ShardId, SubscriptionId, Timestamp, TrackId, TrackSid, TransportId,
};

use crate::{
    ConnectionId, ConnectionSettings, Grants, Place,
    data_blobs::DataBlobs,
    data_tracks::DataSide,
    matching::{PendingTrack, UnmatchedReceiver},
    pace::Pace,
    permissions::SubscriptionPolicy,
    places::Short,
    settings::TrackSettings,
    snapshot::ParticipantOverrides,
};

/// Where a session stands. JOINING doesn't occur: a join is one step. DISCONNECTED sessions are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has its JoinResponse; its media path is not up yet.
    Joined(ConnectionId),
    /// Its primary Transport has been connected.
    Active(ConnectionId),
    /// Its client has closed the media path and is about to say goodbye, or to start over.
    Closing(ConnectionId),
    /// It was active and its signal connection is gone. Media goes on, it may resume.
    Away,
    /// It has been told to start over, or its media path is gone. It can't resume; it is kept for a moment so that its
    /// successor takes its place without others seeing it leave.
    Lost(proto::DisconnectReason),
}

/// One Transport with its negotiation.
#[derive(Debug)]
pub(crate) struct Leg<N> {
    pub(crate) transport: TransportId,
    pub(crate) negotiation: N,
}

/// The peer connections of a session.
#[derive(Debug)]
pub(crate) enum Peer {
    /// v1: one for both directions.
    Single(Box<Leg<Answerer>>),
    /// v0: one for each direction, each opened when it is needed.
    Dual {
        publisher: Option<Box<Leg<Answerer>>>,
        subscriber: Option<Box<Leg<Offerer>>>,
        /// The subscriber's connection decides whether the participant is active.
        subscriber_primary: bool,
    },
}

impl Peer {
    /// The Transport whose state is the participant's.
    pub(crate) fn primary(&self) -> Option<TransportId> {
        match self {
            Self::Single(leg) => Some(leg.transport),
            Self::Dual {
                publisher,
                subscriber,
                subscriber_primary,
            } => {
                if *subscriber_primary {
                    subscriber.as_ref().map(|leg| leg.transport)
                } else {
                    publisher.as_ref().map(|leg| leg.transport)
                }
            }
        }
    }

    /// The Transport on which the client receives.
    pub(crate) fn downlink(&self) -> Option<TransportId> {
        match self {
            Self::Single(leg) => Some(leg.transport),
            Self::Dual { subscriber, .. } => subscriber.as_ref().map(|leg| leg.transport),
        }
    }

    /// The Transport on which data goes to the client: the publisher's as long as there is no other.
    pub(crate) fn data_downlink(&self) -> Option<TransportId> {
        match self {
            Self::Dual {
                publisher,
                subscriber,
                subscriber_primary: false,
            } => publisher
                .as_ref()
                .map(|leg| leg.transport)
                .or_else(|| subscriber.as_ref().map(|leg| leg.transport)),
            _ => self.downlink(),
        }
    }

    /// Where the connection is on which a dual-mode client sends.
    pub(crate) fn publisher_place(&mut self) -> Option<&mut Option<Box<Leg<Answerer>>>> {
        match self {
            Self::Single(_) => None,
            Self::Dual { publisher, .. } => Some(publisher),
        }
    }

    /// Where the connection is on which a dual-mode client receives.
    pub(crate) fn subscriber_place(&mut self) -> Option<&mut Option<Box<Leg<Offerer>>>> {
        match self {
            Self::Single(_) => None,
            Self::Dual { subscriber, .. } => Some(subscriber),
        }
    }

    /// The leg on which the client offers.
    pub(crate) fn answerer(&mut self) -> Option<&mut Leg<Answerer>> {
        match self {
            Self::Single(leg) => Some(leg),
            Self::Dual { publisher, .. } => publisher.as_deref_mut(),
        }
    }

    /// The leg on which we offer.
    pub(crate) fn offerer(&mut self) -> Option<&mut Leg<Offerer>> {
        match self {
            Self::Single(_) => None,
            Self::Dual { subscriber, .. } => subscriber.as_deref_mut(),
        }
    }

    pub(crate) fn transports(&self) -> impl Iterator<Item = TransportId> {
        let (first, second) = match self {
            Self::Single(leg) => (Some(leg.transport), None),
            Self::Dual {
                publisher,
                subscriber,
                ..
            } => (
                publisher.as_ref().map(|leg| leg.transport),
                subscriber.as_ref().map(|leg| leg.transport),
            ),
        };
        first.into_iter().chain(second)
    }

    pub(crate) fn bind(&mut self, track: OutgoingTrack) -> Result<(), NegotiationError> {
        match self {
            Self::Single(leg) => leg.negotiation.bind(track),
            Self::Dual {
                subscriber: Some(leg),
                ..
            } => leg.negotiation.bind(track),
            Self::Dual { .. } => Err(NegotiationError::OutOfOrder {
                called: "bind",
                state: "there is no subscriber connection",
            }),
        }
    }

    /// Whether the client's description must be renewed.
    pub(crate) fn set_codecs(&mut self, subscription: SubscriptionId, codecs: &[Codec]) -> bool {
        match self {
            Self::Single(leg) => leg.negotiation.set_codecs(subscription, codecs),
            Self::Dual {
                subscriber: Some(leg),
                ..
            } => leg.negotiation.set_codecs(subscription, codecs),
            Self::Dual { .. } => false,
        }
    }

    /// Whether the client's description must be renewed.
    pub(crate) fn unbind(&mut self, subscription: SubscriptionId) -> bool {
        match self {
            Self::Single(leg) => leg.negotiation.unbind(subscription),
            Self::Dual {
                subscriber: Some(leg),
                ..
            } => leg.negotiation.unbind(subscription),
            Self::Dual { .. } => false,
        }
    }

    pub(crate) fn set_candidates(&mut self, candidates: &[Candidate]) {
        if let Some(leg) = self.answerer() {
            leg.negotiation.set_candidates(candidates);
        }
        if let Some(leg) = self.offerer() {
            leg.negotiation.set_candidates(candidates);
        }
    }
}

/// Which tracks a participant wants.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    /// Asked for or refused by name; others follow `auto_subscribe`.
    pub(crate) explicit: BTreeMap<TrackSid, bool>,
    /// Asked for, but not there; since when.
    pub(crate) unknown: BTreeMap<TrackSid, Timestamp>,
}

/// Faults that a client asked for (protocol.md 9.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ResumeFault {
    #[default]
    None,
    /// The next resume's socket is closed after the first messages.
    AfterMessages,
    /// The next resume's socket is closed at once.
    BeforeMessages,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Participant {
    pub(crate) id: ParticipantId,
    pub(crate) sid: ParticipantSid,
    /// Its place on the member.
    pub(crate) _place: Option<Place>,
    /// The token's, with all changes since.
    pub(crate) grants: Grants,
    /// The changes alone.
    pub(crate) overrides: ParticipantOverrides,
    pub(crate) phase: Phase,
    pub(crate) client: proto::ClientInfo,
    pub(crate) settings: ConnectionSettings,
    pub(crate) shard: ShardId,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) joined_at_unix_ms: i64,
    pub(crate) joined: Timestamp,
    /// It has got others' media, or joined where there was none.
    pub(crate) has_media: bool,
    /// Of its `ParticipantInfo`.
    pub(crate) version: u32,
    /// Of its updates to others.
    pub(crate) pace: Pace,
    pub(crate) was_active: bool,
    /// Since when its media has worked.
    pub(crate) media_since: Option<Timestamp>,
    pub(crate) peer: Peer,
    /// Our last request to offer, or offer.
    pub(crate) last_negotiation: Option<Timestamp>,

    /// Requests that wait for their section, oldest first.
    pub(crate) pending: Vec<PendingTrack>,
    /// Requests whose `cid` is pending already.
    pub(crate) queued: VecDeque<proto::AddTrackRequest>,
    /// Sections that wait for their request.
    pub(crate) unmatched: Vec<UnmatchedReceiver>,
    /// Its published tracks by section.
    pub(crate) tracks: BTreeMap<Mid, TrackId>,
    /// Sections with the second codec of one of its tracks.
    pub(crate) backups: BTreeMap<Mid, TrackId>,
    /// Who may subscribe to its tracks.
    pub(crate) policy: SubscriptionPolicy,

    pub(crate) interest: Interest,
    pub(crate) subscriptions: BTreeMap<TrackId, SubscriptionId>,
    /// Wanted, but the publisher doesn't allow it; the client knows.
    pub(crate) denied: BTreeSet<TrackId>,
    /// The client can't take them; it knows.
    pub(crate) refused: BTreeSet<TrackId>,
    /// Wanted, but over a limit; it knows. They wait for a place.
    pub(crate) short: BTreeMap<TrackId, Short>,
    /// Settings by track: they may come before the track, and survive its subscription.
    pub(crate) track_settings: BTreeMap<TrackSid, TrackSettings>,

    pub(crate) data: DataSide,
    pub(crate) blobs: DataBlobs,
    /// Last in-order reliable data message that has come from it.
    pub(crate) last_data_sequence: u32,
    /// By Transport, since each direction of dual mode has its own.
    pub(crate) link: BTreeMap<TransportId, LinkQuality>,
    /// As it was judged last.
    pub(crate) quality: Option<proto::ConnectionQuality>,
    /// Whose quality it shall be told even if that doesn't change.
    pub(crate) untold_quality: BTreeSet<ParticipantId>,
    pub(crate) resume_fault: ResumeFault,
    /// When its signal connection was lost.
    pub(crate) away_since: Timestamp,
}

impl Participant {
    pub(crate) const fn connection(&self) -> Option<ConnectionId> {
        match self.phase {
            Phase::Joined(connection) | Phase::Active(connection) | Phase::Closing(connection) => {
                Some(connection)
            }
            Phase::Away | Phase::Lost(_) => None,
        }
    }

    pub(crate) const fn identity(&self) -> &ParticipantIdentity {
        &self.grants.identity
    }

    pub(crate) const fn hidden(&self) -> bool {
        self.grants.permissions.hidden
    }

    pub(crate) const fn is_lost(&self) -> bool {
        matches!(self.phase, Phase::Lost(_))
    }

    /// Serves others and keeps no room open: agents, recorders.
    pub(crate) const fn is_dependent(&self) -> bool {
        use crate::ParticipantKind::{Agent, Egress};
        matches!(self.grants.kind, Agent | Egress) || self.grants.permissions.recorder
    }

    pub(crate) const fn state(&self) -> proto::participant_info::State {
        match self.phase {
            Phase::Joined(_) => proto::participant_info::State::Joined,
            _ => proto::participant_info::State::Active,
        }
    }

    /// Wants this track, if it may have it.
    pub(crate) fn wants(&self, track: &TrackSid) -> bool {
        self.interest
            .explicit
            .get(track)
            .copied()
            .unwrap_or(self.settings.auto_subscribe)
    }
}
