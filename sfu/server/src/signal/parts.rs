//! How many parts a message has, counted before it is decoded.
//!
//! Two bytes of protobuf, or three of JSON, can be an empty message in a list, which takes 300 bytes once it is decoded: a
//! frame of 2 MiB would take 300 MB. Counting walks over the bytes and keeps nothing.

/// Most parts of one message. The largest that clients have a reason for names 2,000 subscribers with five tracks each.
pub(crate) const MAX_PARTS: usize = 20_000;
/// What a part may take once it is decoded: a `livekit.TrackInfo` is the largest that comes in lists.
pub(crate) const PART_BYTES: usize = 300;
/// How deep messages nest: a layer in a codec in a track in a publication in a sync state in a request, and two more.
const MAX_DEPTH: u32 = 8;

/// Length-delimited fields of a protobuf message and of all messages in it; `None` if there are more than [`MAX_PARTS`].
///
/// Texts can't be told from messages without their schema, so that what looks like fields in them counts too: at most
/// two for each twelve of their bytes. What is no message counts up to where it stops being one, as a decoder would
/// allocate it.
#[must_use]
pub(crate) fn of_protobuf(message: &[u8]) -> Option<usize> {
    let mut parts = 0;
    count(message, MAX_DEPTH, &mut parts);
    (parts <= MAX_PARTS).then_some(parts)
}

fn count(mut bytes: &[u8], depth: u32, parts: &mut usize) {
    let mut groups = 0_u32;
    while *parts <= MAX_PARTS
        && let Some((tag, rest)) = varint(bytes)
    {
        let rest = match tag & 7 {
            0 => varint(rest).map(|(_, rest)| rest),
            1 => rest.get(8..),
            2 => {
                *parts += 1;
                let Some((length, content)) = varint(rest) else {
                    return;
                };
                // A decoder stops at one that is cut short.
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let Some((content, rest)) = content.split_at_checked(length) else {
                    return;
                };
                if depth > 0 {
                    count(content, depth - 1, parts);
                }
                Some(rest)
            }
            // Begin and end of a group, by which old messages nest: nobody decodes what is in it.
            3 => {
                groups += 1;
                Some(rest)
            }
            4 if groups > 0 => {
                groups -= 1;
                Some(rest)
            }
            5 => rest.get(4..),
            _ => None,
        };
        let Some(rest) = rest else { return };
        bytes = rest;
    }
}

/// The length-delimited fields of a message itself, by number, up to where it stops being one.
pub(crate) fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            let (tag, rest) = varint(bytes)?;
            if tag & 7 == 2 {
                let (length, content) = varint(rest)?;
                let (content, rest) =
                    content.split_at_checked(usize::try_from(length).unwrap_or(usize::MAX))?;
                bytes = rest;
                return Some((tag >> 3, content));
            }
            bytes = match tag & 7 {
                0 => varint(rest)?.1,
                1 => rest.get(8..)?,
                // Groups: nobody decodes what is in them.
                3 | 4 => rest,
                5 => rest.get(4..)?,
                _ => return None,
            };
        }
    })
}

/// A number in base 128, and what follows it (protobuf encoding, "Base 128 Varints").
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Objects, lists and their entries in a JSON text; `None` if there are more than [`MAX_PARTS`].
#[must_use]
pub(crate) fn of_json(text: &str) -> Option<usize> {
    let mut parts = 0;
    let mut bytes = text.bytes();
    let mut in_string = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                bytes.next();
            }
            b'{' | b'[' | b',' if !in_string => parts += 1,
            _ => {}
        }
    }
    (parts <= MAX_PARTS).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use livekit_protocol::{self as proto, signal_request::Message as Request};
    use prost::Message as _;

    fn encoded(message: Request) -> Vec<u8> {
        proto::SignalRequest {
            message: Some(message),
        }
        .encode_to_vec()
    }

    fn sync_state(tracks: usize) -> Vec<u8> {
        encoded(Request::SyncState(proto::SyncState {
            publish_tracks: vec![Default::default(); tracks],
            ..Default::default()
        }))
    }

    #[test]
    fn lists_of_empty_messages_are_counted_at_every_depth() {
        assert_eq!(of_protobuf(&sync_state(3)), Some(4));
        assert_eq!(of_protobuf(&sync_state(MAX_PARTS - 1)), Some(MAX_PARTS));
        assert_eq!(of_protobuf(&sync_state(MAX_PARTS)), None);
        let layers = proto::TrackInfo {
            codecs: vec![proto::SimulcastCodecInfo {
                layers: vec![Default::default(); MAX_PARTS],
                ..Default::default()
            }],
            ..Default::default()
        };
        let deep = encoded(Request::SyncState(proto::SyncState {
            publish_tracks: vec![proto::TrackPublishedResponse {
                track: Some(layers),
                ..Default::default()
            }],
            ..Default::default()
        }));
        assert_eq!(of_protobuf(&deep), None);
    }

    #[test]
    fn what_breaks_off_counts_up_to_there() {
        let mut cut = sync_state(MAX_PARTS);
        cut.pop();
        assert_eq!(of_protobuf(&cut), Some(1));
        let mut spoilt = sync_state(MAX_PARTS);
        spoilt.extend([0xff; 11]);
        assert_eq!(of_protobuf(&spoilt), None);
        assert_eq!(of_protobuf(&[0xff; 100]), Some(0));
    }

    #[test]
    fn texts_and_long_lists_of_names_are_fine() {
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n".repeat(32 * 1024);
        let offer = encoded(Request::Offer(proto::SessionDescription {
            sdp,
            ..Default::default()
        }));
        assert!(of_protobuf(&offer).unwrap() < 100);
        for text in ["\n", "b", "{\"a\":1},", "aé,", "\u{2}\u{1}"] {
            let metadata = text.repeat(64_000 / text.len());
            let update = encoded(Request::UpdateMetadata(proto::UpdateParticipantMetadata {
                metadata,
                ..Default::default()
            }));
            assert!(of_protobuf(&update).is_some(), "{text:?}");
        }
        let permissions = encoded(Request::SubscriptionPermission(
            proto::SubscriptionPermission {
                all_participants: false,
                track_permissions: (0..2000)
                    .map(|index| proto::TrackPermission {
                        participant_identity: format!("guest {index}"),
                        track_sids: vec!["TR_AMxxxxxxxxxxxx".to_owned(); 5],
                        ..Default::default()
                    })
                    .collect(),
            },
        ));
        assert!(of_protobuf(&permissions).is_some());
    }

    #[test]
    fn json_counts_what_is_outside_of_texts() {
        assert_eq!(of_json(r#"{"a":[{},{}],"b":"{,[\",{"}"#), Some(6));
        let many = format!("[{}{{}}]", "{},".repeat(MAX_PARTS));
        assert_eq!(of_json(&many), None);
    }
}
