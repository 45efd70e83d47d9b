//! `livekit.TrackInfo`: from what a client announces, completed by what it negotiates.
#![allow(deprecated)] // old clients read the deprecated fields

use livekit_protocol::{self as proto, AudioTrackFeature, VideoQuality, video_layer::Mode};
use plenum_negotiation::Receiver;
use plenum_types::{Codec, EncodingParams, MediaKind, TrackSid};

/// Layers and codecs of one track that are kept.
const MAX_LAYERS: usize = 4;
/// Codecs of one track beside its first: what clients can publish.
const MAX_BACKUPS: usize = 1;
/// A description's id of a track that others are told; browsers write UUIDs.
const MAX_SDP_CID_BYTES: usize = 256;

/// What a request announces; `None` for data.
pub(crate) fn kind_of(request: &proto::AddTrackRequest) -> Option<MediaKind> {
    match proto::TrackType::try_from(request.r#type) {
        Ok(proto::TrackType::Audio) => Some(MediaKind::Audio),
        Ok(proto::TrackType::Video) => Some(MediaKind::Video),
        Ok(proto::TrackType::Data) | Err(_) => None,
    }
}

/// Cameras and screens are video, microphones and what a screen plays are audio.
pub(crate) fn source_fits(source: proto::TrackSource, kind: i32) -> bool {
    let of_source = match source {
        proto::TrackSource::Camera | proto::TrackSource::ScreenShare => proto::TrackType::Video,
        proto::TrackSource::Microphone | proto::TrackSource::ScreenShareAudio => {
            proto::TrackType::Audio
        }
        proto::TrackSource::Unknown => return true,
    };
    kind == of_source as i32
}

/// The request with unknown values replaced by the protocol's zeros, lists sorted and each value once: a client that
/// doesn't know a value can't read the message that holds it.
pub(crate) fn normalised(mut request: proto::AddTrackRequest) -> proto::AddTrackRequest {
    request.source = known::<proto::TrackSource>(request.source);
    request.encryption = known::<proto::encryption::Type>(request.encryption);
    request.backup_codec_policy = known::<proto::BackupCodecPolicy>(request.backup_codec_policy);
    let features = &mut request.packet_trailer_features;
    features.retain(|feature| proto::PacketTrailerFeature::try_from(*feature).is_ok());
    features.sort_unstable();
    features.dedup();
    let features = &mut request.audio_features;
    features.retain(|feature| AudioTrackFeature::try_from(*feature).is_ok());
    features.sort_unstable();
    features.dedup();
    let codecs = request.simulcast_codecs.iter_mut();
    for codec in codecs {
        codec.video_layer_mode = known::<Mode>(codec.video_layer_mode);
        for layer in &mut codec.layers {
            layer.quality = known::<VideoQuality>(layer.quality);
        }
    }
    for layer in &mut request.layers {
        layer.quality = known::<VideoQuality>(layer.quality);
    }
    request
}

/// Bytes of the longest of a request's texts.
pub(crate) fn longest_text(request: &proto::AddTrackRequest) -> usize {
    let codecs = &request.simulcast_codecs;
    let layers = codecs.iter().flat_map(|codec| &codec.layers);
    [&request.cid, &request.name, &request.stream]
        .into_iter()
        .chain(codecs.iter().flat_map(|codec| [&codec.cid, &codec.codec]))
        .chain(request.layers.iter().chain(layers).map(|layer| &layer.rid))
        .map(String::len)
        .max()
        .unwrap_or_default()
}

fn known<E: TryFrom<i32> + Default + Into<i32>>(value: i32) -> i32 {
    E::try_from(value).unwrap_or_default().into()
}

/// What is known before any media.
pub(crate) fn from_request(
    request: &proto::AddTrackRequest,
    kind: MediaKind,
    sid: &TrackSid,
    version: proto::TimedVersion,
) -> proto::TrackInfo {
    let codec = request.simulcast_codecs.first();
    let mut layers = match codec {
        Some(codec) if !codec.layers.is_empty() => codec.layers.clone(),
        _ => request.layers.clone(),
    };
    layers.truncate(MAX_LAYERS);
    layers.sort_by_key(|layer| layer.quality);
    let mime_type = codec
        .filter(|codec| !codec.codec.is_empty())
        .map(|codec| mime(kind, &codec.codec))
        .unwrap_or_default();
    let stream = if request.stream.is_empty() {
        match proto::TrackSource::try_from(request.source) {
            Ok(proto::TrackSource::Camera | proto::TrackSource::Microphone) => "camera",
            Ok(proto::TrackSource::ScreenShare | proto::TrackSource::ScreenShareAudio) => {
                "screen_share"
            }
            _ => "",
        }
        .to_owned()
    } else {
        request.stream.clone()
    };
    let mut info = proto::TrackInfo {
        sid: sid.to_string(),
        r#type: request.r#type,
        name: request.name.clone(),
        muted: request.muted,
        width: request.width,
        height: request.height,
        simulcast: kind == MediaKind::Video && layers.len() > 1,
        disable_dtx: false,
        source: request.source,
        layers,
        mime_type,
        mid: String::new(),
        codecs: Vec::new(),
        stereo: false,
        disable_red: request.disable_red,
        encryption: request.encryption,
        stream,
        version: Some(version),
        audio_features: Vec::new(),
        backup_codec_policy: request.backup_codec_policy,
        packet_trailer_features: request.packet_trailer_features.clone(),
    };
    if kind == MediaKind::Audio {
        let mut features = request.audio_features.clone();
        if request.stereo {
            features.push(AudioTrackFeature::TfStereo as i32);
        }
        if request.disable_dtx {
            features.push(AudioTrackFeature::TfNoDtx as i32);
        }
        set_audio_features(&mut info, features);
    }
    let mode = match codec.map(proto::SimulcastCodec::video_layer_mode) {
        Some(asked) if asked != Mode::Unused => asked,
        _ if Codec::named(&info.mime_type).is_some_and(Codec::is_svc) && info.layers.len() > 1 => {
            Mode::MultipleSpatialLayersPerStream
        }
        _ => Mode::OneSpatialLayerPerStream,
    };
    set_codec(&mut info, &request.cid, mode);
    // Those that the publisher can send too, when they are asked for.
    let more = request.simulcast_codecs.iter().skip(1);
    for codec in more
        .filter(|codec| !codec.codec.is_empty())
        .take(MAX_BACKUPS)
    {
        info.codecs.push(proto::SimulcastCodecInfo {
            mime_type: mime(kind, &codec.codec),
            cid: codec.cid.clone(),
            video_layer_mode: Mode::OneSpatialLayerPerStream as i32,
            ..Default::default()
        });
    }
    info
}

fn mime(kind: MediaKind, codec: &str) -> String {
    let known = Codec::named(codec)
        .filter(|known| known.kind() == kind)
        .map(Codec::mime);
    match (known, kind) {
        (Some(mime), _) => mime.to_owned(),
        (None, MediaKind::Audio) => format!("audio/{codec}"),
        (None, MediaKind::Video) => format!("video/{codec}"),
    }
}

/// What a track will be sent in: what its request asks for, if its section has it, else the section's first. Of two profiles
/// it is the one that the client prefers.
pub(crate) fn chosen_codec(info: &proto::TrackInfo, receiver: &Receiver) -> Option<Codec> {
    let offered = &receiver.params.codecs;
    let wanted = match receiver.params.kind {
        MediaKind::Audio if info.disable_red || is_stereo(info) => Some(Codec::Opus),
        MediaKind::Audio => Some(Codec::Red),
        MediaKind::Video => Codec::named(&info.mime_type),
    };
    offered
        .iter()
        .map(|offered| offered.codec)
        .find(|codec| wanted.is_some_and(|wanted| wanted.name() == codec.name()))
        .or_else(|| offered.first().map(|first| first.codec))
}

/// Adds what the description says.
pub(crate) fn complete(info: &mut proto::TrackInfo, codec: Codec, receiver: &Receiver) {
    codec.mime().clone_into(&mut info.mime_type);
    info.mid = receiver.params.mid.to_string();
    let mut mode = Mode::OneSpatialLayerPerStream;
    if codec.kind() == MediaKind::Video {
        let encodings = &receiver.params.encodings;
        info.simulcast = encodings.len() > 1;
        if info.layers.is_empty() {
            info.layers = layers_by_halving(encodings.len(), info.width, info.height);
        }
        let shared = codec.is_svc() && encodings.len() == 1 && info.layers.len() > 1;
        if shared {
            for (spatial, layer) in (0..).zip(&mut info.layers) {
                layer.spatial_layer = spatial;
            }
            mode = Mode::MultipleSpatialLayersPerStream;
        }
        for (layer, encoding) in info.layers.iter_mut().zip(encodings) {
            set_encoding(layer, encoding);
        }
    }
    let cid = info
        .codecs
        .first()
        .map(|codec| codec.cid.clone())
        .unwrap_or_default();
    set_codec(info, &cid, mode);
    if let Some(codec) = info.codecs.first_mut() {
        set_sdp_cid(codec, receiver);
    }
}

/// Adds what request and description say of the second codec.
pub(crate) fn complete_backup(
    info: &mut proto::TrackInfo,
    request: &proto::TrackInfo,
    receiver: &Receiver,
) {
    let Some(codec) = info.codecs.get_mut(1) else {
        return;
    };
    codec.mid = receiver.params.mid.to_string();
    if let Some(asked) = request.codecs.first() {
        codec.cid.clone_from(&asked.cid);
    }
    codec.layers.clone_from(&request.layers);
    for (layer, encoding) in codec.layers.iter_mut().zip(&receiver.params.encodings) {
        set_encoding(layer, encoding);
    }
    set_sdp_cid(codec, receiver);
}

fn set_sdp_cid(codec: &mut proto::SimulcastCodecInfo, receiver: &Receiver) {
    if let Some(sdp_cid) = &receiver.cid
        && sdp_cid.len() <= MAX_SDP_CID_BYTES
    {
        codec.sdp_cid.clone_from(sdp_cid);
    }
}

fn set_encoding(layer: &mut proto::VideoLayer, encoding: &EncodingParams) {
    layer.spatial_layer = i32::from(encoding.spatial);
    layer.rid = encoding
        .rid
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    layer.ssrc = encoding.ssrc.map_or(0, |ssrc| ssrc.0);
    layer.repair_ssrc = encoding.rtx_ssrc.map_or(0, |ssrc| ssrc.0);
}

/// What browsers send when nobody says otherwise: each layer has half the width and height of the next.
fn layers_by_halving(count: usize, width: u32, height: u32) -> Vec<proto::VideoLayer> {
    let qualities: &[VideoQuality] = match count {
        0 | 1 => &[VideoQuality::High],
        2 => &[VideoQuality::Low, VideoQuality::Medium],
        _ => &[VideoQuality::Low, VideoQuality::Medium, VideoQuality::High],
    };
    qualities
        .iter()
        .enumerate()
        .map(|(index, quality)| {
            let halvings = qualities.len() - 1 - index;
            proto::VideoLayer {
                quality: *quality as i32,
                width: width >> halvings,
                height: height >> halvings,
                ..Default::default()
            }
        })
        .collect()
}

fn set_codec(info: &mut proto::TrackInfo, cid: &str, mode: Mode) {
    let codec = proto::SimulcastCodecInfo {
        mime_type: info.mime_type.clone(),
        mid: info.mid.clone(),
        cid: cid.to_owned(),
        layers: info.layers.clone(),
        video_layer_mode: if info.r#type == proto::TrackType::Video as i32 {
            mode as i32
        } else {
            Mode::Unused as i32
        },
        sdp_cid: String::new(),
    };
    match info.codecs.first_mut() {
        Some(first) => *first = codec,
        None => info.codecs.push(codec),
    }
}

/// Features, and the older fields that say the same.
pub(crate) fn set_audio_features(info: &mut proto::TrackInfo, mut features: Vec<i32>) {
    features.retain(|feature| AudioTrackFeature::try_from(*feature).is_ok());
    features.sort_unstable();
    features.dedup();
    info.stereo = features.contains(&(AudioTrackFeature::TfStereo as i32));
    info.disable_dtx = features.contains(&(AudioTrackFeature::TfNoDtx as i32));
    info.audio_features = features;
}

/// Layers of the same quality get another size and rate; the track is as large as its largest.
#[allow(deprecated)] // `layers`: the same as those of the first codec
pub(crate) fn set_layers(info: &mut proto::TrackInfo, layers: &[proto::VideoLayer]) {
    let codecs = info.codecs.iter_mut().flat_map(|codec| &mut codec.layers);
    for layer in info.layers.iter_mut().chain(codecs) {
        if let Some(new) = layers.iter().find(|new| new.quality == layer.quality) {
            layer.width = new.width;
            layer.height = new.height;
            layer.bitrate = new.bitrate;
        }
    }
    if let Some(largest) = info.layers.iter().max_by_key(|layer| layer.width) {
        info.width = largest.width;
        info.height = largest.height;
    }
}

/// A new size; layers keep their share of it.
pub(crate) fn set_dimensions(info: &mut proto::TrackInfo, width: u32, height: u32) {
    let (old_width, old_height) = (info.width, info.height);
    info.width = width;
    info.height = height;
    let scale = |value: u32, new: u32, old: u32| {
        if old == 0 {
            return value;
        }
        let scaled = u64::from(value) * u64::from(new) / u64::from(old);
        u32::try_from(scaled).unwrap_or(u32::MAX)
    };
    let codecs = info.codecs.iter_mut().flat_map(|codec| &mut codec.layers);
    for layer in info.layers.iter_mut().chain(codecs) {
        layer.width = scale(layer.width, width, old_width);
        layer.height = scale(layer.height, height, old_height);
    }
}

pub(crate) fn is_stereo(info: &proto::TrackInfo) -> bool {
    info.stereo
}

pub(crate) fn no_dtx(info: &proto::TrackInfo) -> bool {
    info.disable_dtx
}
