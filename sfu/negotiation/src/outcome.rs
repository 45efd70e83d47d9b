//! What goes into a negotiation and what comes out of it.

use smallvec::SmallVec;

use plenum_types::{
    Codec, IceCredentials, MediaKind, Mid, ReceiverParams, RemoteParams, SenderParams,
    SubscriptionId, TrackSid,
};

/// A track that we want to send to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingTrack {
    /// Its id in this room.
    pub subscription: SubscriptionId,
    /// What it is published in, best first; all of one kind. The first one that the client takes is sent.
    pub codecs: SmallVec<[Codec; 2]>,
    /// First part of `a=msid`: `<PA_sid>|<group or TR_sid>` (protocol.md 2).
    pub stream_id: String,
    /// Second part of `a=msid`, and the value in `mid_to_track_id`.
    pub track: TrackSid,
    /// The publisher sends stereo: announced as `sprop-stereo=1`, which makes clients decode it so.
    pub stereo: bool,
}

/// A track in a section: goes to the Shard as `AddSubscription` or `UpdateSubscription`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// Whose.
    pub subscription: SubscriptionId,
    /// How its packets look.
    pub params: SenderParams,
}

/// A section on which the client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// For the Shard. Encodings are in the order of spatial layers: `q`, `h`, `f`, or `2`, `1`, `0`, else as the client lists
    /// them.
    pub params: ReceiverParams,
    /// First part of the client's `a=msid`.
    pub stream_id: Option<String>,
    /// Second part of the client's `a=msid`: usually the `cid` of the `AddTrackRequest` (protocol.md 5.2).
    pub cid: Option<String>,
}

/// New ICE credentials of both sides; goes to the Shard as `RestartIce`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceRestart {
    /// Ours.
    pub local: IceCredentials,
    /// The client's.
    pub remote: IceCredentials,
}

/// What an offer of the client changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferOutcome {
    /// Set by the first offer only: goes to the Shard as `ConnectTransport`. It always has SCTP parameters, since a data
    /// section may come in a later offer.
    pub remote: Option<RemoteParams>,
    /// The client restarts ICE.
    pub ice_restart: Option<IceRestart>,
    /// Sections on which the client starts to send.
    pub added: Vec<Receiver>,
    /// Sections whose parameters are other than in the offer before.
    pub changed: Vec<Receiver>,
    /// Sections on which the client stopped sending: its track is unpublished. A mid in both `removed` and `added` carries
    /// another track now.
    pub removed: Vec<Mid>,
}

/// What the client is told, and what the Shard must know before that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The id of the offer, to be echoed.
    pub id: u32,
    /// `type: "answer"`.
    pub sdp: String,
    /// `mid_to_track_id`: every section that sends.
    pub mid_to_track: Vec<(Mid, TrackSid)>,
    /// Subscriptions that got a section with this answer.
    pub started: Vec<Sending>,
    /// Subscriptions whose parameters changed; the SSRCs stay.
    pub updated: Vec<Sending>,
    /// Bound tracks whose codec the client can't decode on any section that it has offered so far. Forgotten here.
    pub refused: Vec<SubscriptionId>,
}

/// An offer of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// Grows with each offer, from 1.
    pub id: u32,
    /// `type: "offer"`.
    pub sdp: String,
    /// `mid_to_track_id`: every section that sends.
    pub mid_to_track: Vec<(Mid, TrackSid)>,
}

/// What an answer of the client settled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnswerOutcome {
    /// Set by the first answer only: goes to the Shard as `ConnectTransport`.
    pub remote: Option<RemoteParams>,
    /// Both sides have new ICE credentials.
    pub ice_restart: Option<IceRestart>,
    /// Subscriptions that may be sent from now on.
    pub started: Vec<Sending>,
    /// Subscriptions whose parameters changed; the SSRCs stay.
    pub updated: Vec<Sending>,
    /// Tracks that the client refused. Forgotten here.
    pub refused: Vec<SubscriptionId>,
    /// Something changed while the offer was out: write another one.
    pub offer_again: bool,
}

/// `media_sections_requirement`: how many more recvonly sections the client shall add. Clients offer anew on any such
/// message, also on `{0, 0}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SectionsRequirement {
    /// `num_audios`
    pub audios: u32,
    /// `num_videos`
    pub videos: u32,
}

impl SectionsRequirement {
    /// Nothing is missing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.audios == 0 && self.videos == 0
    }
}

/// How a published Opus track shall be sent to us (protocol.md 4c).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioPolicy {
    /// Discontinuous transmission: silence costs nothing.
    pub dtx: bool,
    /// Music: two channels, high bitrate.
    pub stereo: bool,
    /// Lost packets are made up for by their successors (RFC 2198), if the client can.
    pub red: bool,
}

impl OutgoingTrack {
    /// Audio or video.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.codecs
            .first()
            .map_or(MediaKind::Video, |codec| codec.kind())
    }
}

impl Default for AudioPolicy {
    /// Speech.
    fn default() -> Self {
        Self {
            dtx: true,
            stereo: false,
            red: true,
        }
    }
}
