//! What clients negotiate: tracks and subscriptions.

use plenum_types::{
    Codec, EncodingParams, ExtensionIds, LayerTarget, MediaKind, PayloadType, ReceiverCodec,
    ReceiverParams, Rid, RtpExtension, SenderParams, ShardCommand, Sink, Ssrc, SubscriptionId,
    TrackId,
};

use super::{
    CAPTURE_ID, Call, DEPENDENCY_ID, LEVEL_ID, MID_ID, OPUS, OUT_OPUS, OUT_RED, OUT_RTX, OUT_VP8,
    REPAIRED_RID_ID, RID_ID, SEND_TIME_ID, TWCC_ID, VP8, VP8_RTX,
};

impl Call {
    pub fn receiver_extensions() -> ExtensionIds {
        let mut ids = ExtensionIds::default();
        ids.set(RtpExtension::Mid, MID_ID);
        ids.set(RtpExtension::Rid, RID_ID);
        ids.set(RtpExtension::RepairedRid, REPAIRED_RID_ID);
        ids.set(RtpExtension::TransportWideCc, TWCC_ID);
        ids.set(RtpExtension::AudioLevel, LEVEL_ID);
        ids.set(RtpExtension::AbsCaptureTime, CAPTURE_ID);
        ids.set(RtpExtension::DependencyDescriptor, DEPENDENCY_ID);
        ids
    }

    /// A VP8 track with announced SSRCs: layer n has `ssrc + n`, its retransmissions `ssrc + 100 + n`.
    pub fn add_video(&mut self, client: usize, layers: u8, ssrc: u32) -> TrackId {
        self.add_track(client, MediaKind::Video, Self::announced(layers, ssrc))
    }

    fn announced(layers: u8, ssrc: u32) -> smallvec::SmallVec<[EncodingParams; 3]> {
        (0..layers)
            .map(|layer| EncodingParams {
                rid: None,
                ssrc: Some(Ssrc(ssrc + u32::from(layer))),
                rtx_ssrc: Some(Ssrc(ssrc + 100 + u32::from(layer))),
                spatial: layer,
            })
            .collect()
    }

    /// A track in other codecs, each under its payload type, with SSRCs as [`add_video`](Self::add_video) announces them.
    pub fn add_track_in(
        &mut self,
        client: usize,
        codecs: &[(PayloadType, Codec)],
        layers: u8,
        ssrc: u32,
    ) -> TrackId {
        let track = TrackId(self.id());
        let kind = codecs[0].1.kind();
        let mut receiver = Self::params(track, kind, Self::announced(layers, ssrc));
        receiver.codecs = codecs
            .iter()
            .map(|(payload_type, codec)| ReceiverCodec {
                payload_type: *payload_type,
                codec: *codec,
                rtx: None,
                nack: false,
                transport_cc: false,
            })
            .collect();
        self.command(ShardCommand::AddTrack {
            track,
            transport: self.clients[client].transport,
            participant: self.clients[client].participant,
            receiver,
        });
        track
    }

    /// What [`add_video`](Self::add_video) announced, to be changed.
    pub fn video_params(&self, track: TrackId, layers: u8, ssrc: u32) -> ReceiverParams {
        Self::params(track, MediaKind::Video, Self::announced(layers, ssrc))
    }

    /// A VP8 track whose layers are known by rid only.
    pub fn add_video_by_rid(&mut self, client: usize, rids: &[&str]) -> TrackId {
        let encodings = rids
            .iter()
            .enumerate()
            .map(|(spatial, rid)| EncodingParams {
                rid: Some(Rid::from(*rid)),
                ssrc: None,
                rtx_ssrc: None,
                spatial: spatial as u8,
            })
            .collect();
        self.add_track(client, MediaKind::Video, encodings)
    }

    pub fn add_audio(&mut self, client: usize, ssrc: u32) -> TrackId {
        let encodings = [EncodingParams {
            rid: None,
            ssrc: Some(Ssrc(ssrc)),
            rtx_ssrc: None,
            spatial: 0,
        }]
        .into_iter()
        .collect();
        self.add_track(client, MediaKind::Audio, encodings)
    }

    pub fn add_track(
        &mut self,
        client: usize,
        kind: MediaKind,
        encodings: smallvec::SmallVec<[EncodingParams; 3]>,
    ) -> TrackId {
        let track = TrackId(self.id());
        self.command(ShardCommand::AddTrack {
            track,
            transport: self.clients[client].transport,
            participant: self.clients[client].participant,
            receiver: Self::params(track, kind, encodings),
        });
        track
    }

    fn params(
        track: TrackId,
        kind: MediaKind,
        encodings: smallvec::SmallVec<[EncodingParams; 3]>,
    ) -> ReceiverParams {
        let (payload_type, codec, rtx) = match kind {
            MediaKind::Video => (VP8, Codec::Vp8, Some(VP8_RTX)),
            MediaKind::Audio => (OPUS, Codec::Opus, None),
        };
        ReceiverParams {
            mid: format!("{}", track.0).as_str().into(),
            kind,
            codecs: [ReceiverCodec {
                payload_type,
                codec,
                rtx,
                nack: kind == MediaKind::Video,
                transport_cc: true,
            }]
            .into_iter()
            .collect(),
            extensions: Self::receiver_extensions(),
            encodings,
        }
    }

    /// Subscribes with media SSRC `5,000 + id` and retransmissions at `9,000 + id`.
    pub fn subscribe(
        &mut self,
        client: usize,
        track: TrackId,
        codec: Codec,
        target: LayerTarget,
    ) -> (SubscriptionId, Ssrc) {
        let subscription = SubscriptionId(self.id());
        let sender = Self::sender_params(subscription, codec);
        let ssrc = sender.ssrc;
        self.command(ShardCommand::AddSubscription {
            subscription,
            track,
            sink: Sink::Transport(self.clients[client].transport),
            sender,
            target,
        });
        (subscription, ssrc)
    }

    /// What [`subscribe`](Self::subscribe) negotiates, to be changed.
    pub fn sender_params(subscription: SubscriptionId, codec: Codec) -> SenderParams {
        let SubscriptionId(id) = subscription;
        let video = codec.kind() == MediaKind::Video;
        let mut extensions = ExtensionIds::default();
        extensions.set(RtpExtension::Mid, MID_ID);
        extensions.set(RtpExtension::AbsSendTime, SEND_TIME_ID);
        extensions.set(RtpExtension::AbsCaptureTime, CAPTURE_ID);
        if codec == Codec::Av1 {
            extensions.set(RtpExtension::DependencyDescriptor, DEPENDENCY_ID);
        }
        if !video {
            extensions.set(RtpExtension::AudioLevel, LEVEL_ID);
        }
        SenderParams {
            mid: format!("{id}").as_str().into(),
            ssrc: Ssrc(5_000 + id as u32),
            rtx_ssrc: video.then(|| Ssrc(9_000 + id as u32)),
            codec,
            payload_type: match codec {
                Codec::Opus => OUT_OPUS,
                Codec::Red => OUT_RED,
                _ => OUT_VP8,
            },
            opus_payload_type: (codec == Codec::Red).then_some(OUT_OPUS),
            rtx_payload_type: video.then_some(OUT_RTX),
            nack: true,
            extensions,
        }
    }

    pub fn set_target(&mut self, subscription: SubscriptionId, target: LayerTarget) {
        self.command(ShardCommand::SetSubscriptionTarget {
            subscription,
            target,
        });
    }
}
