//! What tests/fuzz feeds with bytes of strangers. Not there in any other build.
#![allow(clippy::expect_used, reason = "a panic is a finding")]

use livekit_protocol as proto;
use prost::Message as _;

use crate::{
    hop::{Hello, Welcome},
    signal::{self, JoinContext},
};

/// A frame of a client, as a socket and a room read it: binary, and as JSON.
pub fn signal(frame: &[u8]) {
    if let Some(parts) = signal::of_protobuf(frame) {
        assert!(parts <= signal::MAX_PARTS);
        // What passes is what a room's quota counts; what does not is never decoded.
        drop(proto::SignalRequest::decode(frame));
    }
    if let Ok(text) = std::str::from_utf8(frame)
        && signal::of_json(text).is_some()
        && let Ok(request) = serde_json::from_str::<proto::SignalRequest>(text)
    {
        let encoded = request.encode_to_vec();
        drop(proto::SignalRequest::decode(encoded.as_slice()).expect("what was written is read"));
    }
}

/// A message on a hop, as home and edge read it.
pub fn hop(text: &str) {
    if let Ok(hello) = serde_json::from_str::<Hello>(text) {
        let text = serde_json::to_string(&hello).expect("names of fields are texts");
        let again: Hello = serde_json::from_str(&text).expect("what was written is read");
        assert_eq!(again.to, hello.to);
        assert_eq!(again.context, hello.context);
    }
    drop(serde_json::from_str::<Welcome>(text));
}

/// A hello carries what a client says unchanged.
pub fn carried(context: &JoinContext) {
    let text = serde_json::to_string(context).expect("names of fields are texts");
    let again: JoinContext = serde_json::from_str(&text).expect("what was written is read");
    assert_eq!(&again, context);
}
