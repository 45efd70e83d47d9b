//! What is kept of what a client says about itself: others are told parts of it, in each update.

use livekit_protocol::{
    self as proto,
    client_info::{Capability, Sdk},
};

/// Bytes of one text. Names and versions of browsers and systems have a few dozen.
const MAX_TEXT_BYTES: usize = 256;

/// The first protocol whose clients know streams that have several tracks.
const GROUPED_STREAMS: i32 = 10;

/// Texts of bounded length, and only values that every client can read: one that doesn't know a value can't read the
/// message that holds it.
pub(crate) fn bounded(client: &proto::ClientInfo) -> proto::ClientInfo {
    let mut capabilities: Vec<_> = client
        .capabilities
        .iter()
        .copied()
        .filter(|capability| Capability::try_from(*capability).is_ok())
        .collect();
    capabilities.sort_unstable();
    capabilities.dedup();
    proto::ClientInfo {
        sdk: Sdk::try_from(client.sdk).unwrap_or_default() as i32,
        version: text(&client.version),
        protocol: client.protocol,
        os: text(&client.os),
        os_version: text(&client.os_version),
        device_model: text(&client.device_model),
        browser: text(&client.browser),
        browser_version: text(&client.browser_version),
        address: text(&client.address),
        network: text(&client.network),
        other_sdks: text(&client.other_sdks),
        client_protocol: client.client_protocol,
        capabilities,
    }
}

/// Whether a client on two connections knows a track by the second part of its msid, so that the stream may have the name of
/// a group (protocol.md 2). Only clients of which tests show it; Firefox makes up names of tracks by itself.
pub(crate) fn knows_tracks_in_grouped_streams(client: &proto::ClientInfo) -> bool {
    let sdk = Sdk::try_from(client.sdk).unwrap_or_default();
    client.protocol >= GROUPED_STREAMS
        && match sdk {
            Sdk::Js => !client.browser.eq_ignore_ascii_case("firefox"),
            Sdk::Rust | Sdk::Python | Sdk::Node => true,
            _ => false,
        }
}

fn text(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    text.get(..end).unwrap_or_default().to_owned()
}
