//! How many parts a call's body may have, counted before it is decoded.
//!
//! Two bytes of it can be an empty entry of a list, which takes up to 300 bytes once it is decoded. Most calls name a room and
//! what in it; a few have lists.

use super::{Code, Encoding, Method, TwirpError};
use crate::signal::parts;

/// Of calls without lists.
const FEW: usize = 64;
/// Of calls with attributes or agents: those of a participant may have 64 KiB.
const SOME: usize = 2_000;

impl Method {
    const fn max_parts(self) -> usize {
        match self {
            Self::ListRooms | Self::UpdateSubscriptions | Self::SendData => parts::MAX_PARTS,
            Self::CreateRoom | Self::UpdateParticipant | Self::CreateDispatch => SOME,
            _ => FEW,
        }
    }

    /// Fields of its request that are messages with lists of their own.
    const fn nested(self) -> &'static [(u64, Nested)] {
        match self {
            // egress, agents
            Self::CreateRoom => &[(6, Nested::Deep), (14, Nested::Fields)],
            // participant_tracks
            Self::UpdateSubscriptions => &[(5, Nested::Fields)],
            _ => &[],
        }
    }
}

/// What counts of a field that is a message.
#[derive(Debug, Clone, Copy)]
enum Nested {
    /// Its own fields. Its texts may look like anything.
    Fields,
    /// Whatever looks like a field at any depth.
    Deep,
}

/// Whether a body may be decoded.
pub(super) fn check(method: Method, encoding: Encoding, body: &[u8]) -> Result<(), TwirpError> {
    let limit = method.max_parts();
    let parts = match encoding {
        Encoding::Protobuf => of_protobuf(method, body),
        // What is no text is no JSON either, as whoever decodes it says.
        Encoding::Json => str::from_utf8(body).map_or(Some(0), parts::of_json),
    };
    if parts.is_some_and(|parts| parts <= limit) {
        return Ok(());
    }
    Err(TwirpError::new(
        Code::ResourceExhausted,
        format!(
            "the body has more than {limit} parts (lists, objects and what is in them), which is the limit for {}",
            method.name()
        ),
    ))
}

/// `None` if there are more than [`parts::MAX_PARTS`].
fn of_protobuf(method: Method, body: &[u8]) -> Option<usize> {
    let mut count = 0;
    for (field, content) in parts::fields(body) {
        count += 1;
        let nested = method.nested().iter().find(|(number, _)| *number == field);
        count += match nested {
            Some((_, Nested::Fields)) => parts::fields(content).take(parts::MAX_PARTS + 1).count(),
            Some((_, Nested::Deep)) => parts::of_protobuf(content)?,
            None => 0,
        };
        if count > parts::MAX_PARTS {
            return None;
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use livekit_protocol as proto;
    use prost::Message as _;

    fn refused(method: Method, encoding: Encoding, body: &[u8]) -> Option<String> {
        let error = check(method, encoding, body).err()?;
        assert_eq!(error.code, Code::ResourceExhausted);
        Some(error.message)
    }

    #[test]
    fn lists_of_empty_entries_are_refused_with_the_limit_of_their_method() {
        // A field of each call, over and over: agents, names, track_sids.
        for (method, tag, limit) in [
            (Method::CreateRoom, 14 << 3 | 2, "2000 parts"),
            (Method::ListRooms, 1 << 3 | 2, "20000 parts"),
            (Method::UpdateSubscriptions, 3 << 3 | 2, "20000 parts"),
            (Method::DeleteRoom, 1 << 3 | 2, "64 parts"),
        ] {
            let body = [tag, 0].repeat(super::super::MAX_BODY / 2);
            let message = refused(method, Encoding::Protobuf, &body).unwrap();
            assert!(
                message.contains(limit) && message.contains(method.name()),
                "{message}"
            );
        }
        let body = format!(r#"{{"agents":[{}{{}}]}}"#, "{},".repeat(600_000));
        let message = refused(Method::CreateRoom, Encoding::Json, body.as_bytes()).unwrap();
        assert!(message.contains("2000 parts"), "{message}");
    }

    #[test]
    fn lists_in_entries_of_lists_count_too() {
        let nested = proto::CreateRoomRequest {
            agents: vec![
                proto::RoomAgentDispatch {
                    attributes: (0..100).map(|n| (n.to_string(), String::new())).collect(),
                    ..Default::default()
                };
                30
            ],
            ..Default::default()
        };
        assert!(
            refused(
                Method::CreateRoom,
                Encoding::Protobuf,
                &nested.encode_to_vec()
            )
            .is_some()
        );
        let tracks = proto::UpdateSubscriptionsRequest {
            participant_tracks: vec![proto::ParticipantTracks {
                track_sids: vec![String::new(); 20_000],
                ..Default::default()
            }],
            ..Default::default()
        };
        let body = tracks.encode_to_vec();
        assert!(refused(Method::UpdateSubscriptions, Encoding::Protobuf, &body).is_some());
        // `egress.room.file_outputs`
        let mut outputs = vec![0x32];
        prost::encoding::encode_varint(40_004, &mut outputs);
        outputs.push(0x0a);
        prost::encoding::encode_varint(40_000, &mut outputs);
        outputs.extend([0x5a, 0x00].repeat(20_000));
        assert!(refused(Method::CreateRoom, Encoding::Protobuf, &outputs).is_some());
    }

    #[test]
    fn what_back_ends_send_is_fine() {
        // Texts that look like fields.
        for text in ["\n", "b", "{\"a\":1},", "\u{2}\u{1}"] {
            let metadata = text.repeat(500_000 / text.len());
            let room = proto::CreateRoomRequest {
                name: "lobby".to_owned(),
                metadata: metadata.clone(),
                agents: vec![
                    proto::RoomAgentDispatch {
                        agent_name: "a".to_owned(),
                        metadata: text.repeat(3_000 / text.len()),
                        attributes: [("k".to_owned(), "v".to_owned())].into(),
                        ..Default::default()
                    };
                    32
                ],
                ..Default::default()
            };
            let update = proto::UpdateRoomMetadataRequest {
                room: "lobby".to_owned(),
                metadata,
            };
            for (method, protobuf, json) in [
                (
                    Method::CreateRoom,
                    room.encode_to_vec(),
                    serde_json::to_vec(&room),
                ),
                (
                    Method::UpdateRoomMetadata,
                    update.encode_to_vec(),
                    serde_json::to_vec(&update),
                ),
            ] {
                assert_eq!(refused(method, Encoding::Protobuf, &protobuf), None);
                assert_eq!(refused(method, Encoding::Json, &json.unwrap()), None);
            }
        }
        let subscriptions = proto::UpdateSubscriptionsRequest {
            track_sids: vec!["TR_AMxxxxxxxxxxxx".to_owned(); 10_000],
            ..Default::default()
        };
        let body = subscriptions.encode_to_vec();
        assert_eq!(
            refused(Method::UpdateSubscriptions, Encoding::Protobuf, &body),
            None
        );
    }
}
