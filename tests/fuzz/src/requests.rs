//! What comes over HTTP and WebSockets.

use std::{io::Write as _, sync::OnceLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use livekit_protocol as proto;
use plenum_negotiation::{Answerer, LocalParams, Offerer, OutgoingTrack, limits};
use plenum_server::{
    api::{Call, Encoding, Method},
    auth::{Claims, Keys, VideoGrant},
    signal::{JoinContext, SignalVersion},
};
use plenum_types::{Candidate, Codec, Fingerprint, MediaPolicy, ShardId, SubscriptionId, TrackSid};
use prost::Message as _;

fn local() -> LocalParams {
    LocalParams {
        shard: ShardId(3),
        fingerprint: Fingerprint([0xab; 32]),
        candidates: vec![Candidate::udp("127.0.0.1:7882".parse().unwrap())],
        media: MediaPolicy::default(),
        seed: [42; 32],
    }
}

fn video() -> OutgoingTrack {
    OutgoingTrack {
        subscription: SubscriptionId(1),
        codecs: [Codec::Vp8].into_iter().collect(),
        stream_id: "PA_1|camera".to_owned(),
        track: TrackSid::from("TR_1".to_owned()),
        stereo: false,
    }
}

/// An offer, and our answer to it, which is a description too.
pub(crate) fn sdp(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut answerer = Answerer::single(local());
    answerer.bind(video()).unwrap();
    let Ok(outcome) = answerer.accept_offer(text, 1) else {
        return;
    };
    assert!(outcome.added.len() <= limits::MAX_SECTIONS);
    let answer = answerer
        .write_answer()
        .expect("a good offer has an answer")
        .sdp;
    // A section of ours has some 900 bytes; the shortest of an offer some 20.
    assert!(
        answer.len() <= 4096 + 100 * text.len(),
        "{} bytes",
        answer.len()
    );
    assert_eq!(
        answer.matches("\r\nm=").count(),
        text.lines().filter(|line| line.starts_with("m=")).count()
    );
    assert!(
        answer
            .lines()
            .all(|line| line.as_bytes().get(1) == Some(&b'=')),
        "{answer}"
    );
    // The same offer again changes nothing.
    answerer
        .accept_offer(text, 2)
        .expect("an offer that was good is good again");
}

/// An answer to an offer of ours.
pub(crate) fn answer(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut offerer = Offerer::subscriber(local());
    offerer.bind(video()).unwrap();
    offerer.write_offer().unwrap();
    let _ = offerer.accept_answer(text, 0);
}

fn keys() -> &'static (Keys, String) {
    static KEYS: OnceLock<(Keys, String)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let keys = Keys::new([("devkey".to_owned(), "secret".to_owned())]);
        let claims = Claims {
            iss: "devkey".to_owned(),
            sub: "ada".to_owned(),
            exp: 4_000_000_000,
            video: VideoGrant::join("lobby"),
            ..Claims::default()
        };
        let token = keys.sign(&claims).unwrap();
        (keys, token)
    })
}

/// The query of a join: as text, and with its wrapping done, so that what is inside comes through.
pub(crate) fn join(bytes: &[u8]) {
    use proto::wrapped_join_request::Compression;
    let (keys, token) = keys();
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let wrapped = |compression: Compression, join_request: Vec<u8>| {
        let wrapped = proto::WrappedJoinRequest {
            compression: compression as i32,
            join_request,
        };
        URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec())
    };
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (version, name, value) = match choice % 6 {
        0 => (
            SignalVersion::V1,
            "join_request",
            wrapped(Compression::None, bytes.to_vec()),
        ),
        1 => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(bytes).unwrap();
            (
                SignalVersion::V1,
                "join_request",
                wrapped(Compression::Gzip, gzip.finish().unwrap()),
            )
        }
        2 => (
            SignalVersion::V1,
            "join_request",
            wrapped(Compression::Gzip, bytes.to_vec()),
        ),
        3 => (
            SignalVersion::V1,
            "join_request",
            URL_SAFE_NO_PAD.encode(bytes),
        ),
        4 => (SignalVersion::V1, "join_request", text),
        _ => (
            SignalVersion::V0,
            "attributes",
            URL_SAFE_NO_PAD.encode(bytes),
        ),
    };
    let query = [(name.to_owned(), value)];
    match JoinContext::read(keys, version, Some(token), &query) {
        // Another member gets it as it is here.
        Ok(context) => plenum_server::fuzzing::carried(&context),
        Err(error) => assert!(error.to_string().len() < 300, "{error}"),
    }
}

/// A token of nobody: with our header and claims of a stranger, signed with a wrong key, and as text.
pub(crate) fn token(bytes: &[u8]) {
    let (keys, _) = keys();
    let text = String::from_utf8_lossy(bytes);
    assert!(keys.verify(&text).is_err());
    let forged = format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
        URL_SAFE_NO_PAD.encode(bytes),
        URL_SAFE_NO_PAD.encode([7; 32])
    );
    let error = keys.verify(&forged).expect_err("its signature is a guess");
    assert!(error.to_string().len() < 200);
}

/// A frame of a client, binary and as JSON.
pub(crate) fn signal(bytes: &[u8]) {
    plenum_server::fuzzing::signal(bytes);
}

/// What a member reads first on a hop, at both ends.
pub(crate) fn hop(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        plenum_server::fuzzing::hop(text);
    }
}

/// The body of a server API call; the first byte says of which method.
pub(crate) fn twirp(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else {
        return;
    };
    let method = Method::ALL[usize::from(*choice >> 1) % Method::ALL.len()];
    let encoding = match choice & 1 {
        0 => Encoding::Json,
        _ => Encoding::Protobuf,
    };
    match Call::read(method, encoding, body) {
        Ok(call) => {
            // Nobody's token: whatever the body says, it is refused.
            assert!(call.check(&Claims::default()).is_err());
        }
        Err(error) => drop(error),
    }
}
