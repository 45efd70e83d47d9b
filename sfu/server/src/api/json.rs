//! JSON as the reference server writes it: field names of the .proto files, unset fields written out.
//!
//! The generated JSON has lowerCamelCase names and leaves unset fields out. Both forms are correct protobuf-JSON, but
//! scripts read what the reference gives them, so answers are rewritten by the shapes of their messages.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// What a field looks like when it is unset, and how its value is rewritten.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Text,
    Number,
    /// 64 bits: a text in protobuf-JSON.
    Long,
    Flag,
    /// Name of the value with number 0.
    Enum(&'static str),
    Message(Fields),
    List(&'static Shape),
    /// Keys are the user's.
    Map,
}

type Fields = &'static [(&'static str, Shape)];

use Shape::{Enum, Flag, List, Long, Map as Keyed, Message, Number, Text};

const VERSION: Shape = Message(&[("unix_micro", Long), ("ticks", Number)]);

const CODEC: Shape = Message(&[("mime", Text), ("fmtp_line", Text)]);

pub(super) const RPC_ANSWER: Shape = Message(&[("payload", Text)]);

pub(super) const ROOM: Shape = Message(&[
    ("sid", Text),
    ("name", Text),
    ("empty_timeout", Number),
    ("departure_timeout", Number),
    ("max_participants", Number),
    ("creation_time", Long),
    ("creation_time_ms", Long),
    ("turn_password", Text),
    ("enabled_codecs", List(&CODEC)),
    ("metadata", Text),
    ("num_participants", Number),
    ("num_publishers", Number),
    ("active_recording", Flag),
    ("version", VERSION),
]);

const LAYER: Shape = Message(&[
    ("quality", Enum("LOW")),
    ("width", Number),
    ("height", Number),
    ("bitrate", Number),
    ("ssrc", Number),
    ("spatial_layer", Number),
    ("rid", Text),
    ("repair_ssrc", Number),
]);

const SIMULCAST_CODEC: Shape = Message(&[
    ("mime_type", Text),
    ("mid", Text),
    ("cid", Text),
    ("layers", List(&LAYER)),
    ("video_layer_mode", Enum("MODE_UNUSED")),
    ("sdp_cid", Text),
]);

pub(super) const TRACK: Shape = Message(&[
    ("sid", Text),
    ("type", Enum("AUDIO")),
    ("name", Text),
    ("muted", Flag),
    ("width", Number),
    ("height", Number),
    ("simulcast", Flag),
    ("disable_dtx", Flag),
    ("source", Enum("UNKNOWN")),
    ("layers", List(&LAYER)),
    ("mime_type", Text),
    ("mid", Text),
    ("codecs", List(&SIMULCAST_CODEC)),
    ("stereo", Flag),
    ("disable_red", Flag),
    ("encryption", Enum("NONE")),
    ("stream", Text),
    ("version", VERSION),
    ("audio_features", List(&Text)),
    ("backup_codec_policy", Enum("PREFER_REGRESSION")),
    ("packet_trailer_features", List(&Text)),
]);

const PERMISSION: Shape = Message(&[
    ("can_subscribe", Flag),
    ("can_publish", Flag),
    ("can_publish_data", Flag),
    ("can_publish_sources", List(&Text)),
    ("hidden", Flag),
    ("recorder", Flag),
    ("can_update_metadata", Flag),
    ("agent", Flag),
    ("can_subscribe_metrics", Flag),
    ("can_manage_agent_session", Flag),
]);

pub(super) const PARTICIPANT: Shape = Message(&[
    ("sid", Text),
    ("identity", Text),
    ("state", Enum("JOINING")),
    ("tracks", List(&TRACK)),
    ("metadata", Text),
    ("joined_at", Long),
    ("joined_at_ms", Long),
    ("name", Text),
    ("version", Number),
    ("permission", PERMISSION),
    ("region", Text),
    ("is_publisher", Flag),
    ("kind", Enum("STANDARD")),
    ("attributes", Keyed),
    ("disconnect_reason", Enum("UNKNOWN_REASON")),
    ("kind_details", List(&Text)),
    ("data_tracks", List(&Text)),
    ("client_protocol", Number),
    ("capabilities", List(&Text)),
]);

const JOB_STATE: Shape = Message(&[
    ("status", Enum("JS_PENDING")),
    ("error", Text),
    ("started_at", Long),
    ("ended_at", Long),
    ("updated_at", Long),
    ("participant_identity", Text),
    ("worker_id", Text),
    ("agent_id", Text),
]);

const JOB: Shape = Message(&[
    ("id", Text),
    ("dispatch_id", Text),
    ("type", Enum("JT_ROOM")),
    ("room", ROOM),
    ("participant", PARTICIPANT),
    ("namespace", Text),
    ("metadata", Text),
    ("agent_name", Text),
    ("state", JOB_STATE),
    ("enable_recording", Flag),
    ("deployment", Text),
    ("attributes", Keyed),
    ("enable_redaction", Flag),
]);

pub(super) const DISPATCH: Shape = Message(&[
    ("id", Text),
    ("agent_name", Text),
    ("room", Text),
    ("metadata", Text),
    (
        "state",
        Message(&[
            ("jobs", List(&JOB)),
            ("created_at", Long),
            ("deleted_at", Long),
        ]),
    ),
    ("restart_policy", Enum("JRP_ON_FAILURE")),
    ("deployment", Text),
    ("attributes", Keyed),
]);

pub(super) const DISPATCHES: Shape = Message(&[("agent_dispatches", List(&DISPATCH))]);
pub(super) const ROOMS: Shape = Message(&[("rooms", List(&ROOM))]);
pub(super) const PARTICIPANTS: Shape = Message(&[("participants", List(&PARTICIPANT))]);
pub(super) const TRACK_ANSWER: Shape = Message(&[("track", TRACK)]);
pub(super) const EMPTY: Shape = Message(&[]);

/// A message as the reference writes it.
pub(super) fn write(message: &impl Serialize, shape: Shape) -> Vec<u8> {
    let generated = serde_json::to_value(message).unwrap_or_default();
    rewrite(generated, shape).to_string().into_bytes()
}

fn rewrite(value: Value, shape: Shape) -> Value {
    match (shape, value) {
        (Message(fields), Value::Object(mut set)) => {
            let mut written = Map::new();
            for (name, shape) in fields {
                let value = match set.remove(&camel_case(name)) {
                    Some(value) => rewrite(value, *shape),
                    None => unset(*shape),
                };
                written.insert((*name).to_owned(), value);
            }
            // Fields of a later protocol than the shapes above.
            written.extend(set);
            Value::Object(written)
        }
        (List(item), Value::Array(items)) => items
            .into_iter()
            .map(|value| rewrite(value, *item))
            .collect(),
        (_, value) => value,
    }
}

fn unset(shape: Shape) -> Value {
    match shape {
        Text => json!(""),
        Number => json!(0),
        Long => json!("0"),
        Flag => json!(false),
        Enum(first) => json!(first),
        Message(_) => Value::Null,
        List(_) => json!([]),
        Keyed => json!({}),
    }
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut characters = part.chars();
        out.extend(characters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(characters.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use livekit_protocol as proto;

    fn written(message: &impl Serialize, shape: Shape) -> Value {
        serde_json::from_slice(&write(message, shape)).unwrap()
    }

    /// covers: twirp.json, edge.twirp_json_shapes
    #[test]
    fn unset_fields_are_written_and_names_are_those_of_the_proto_files() {
        let participant = proto::ParticipantInfo {
            joined_at_ms: 5,
            attributes: [("someKey".to_owned(), "v".to_owned())].into(),
            tracks: vec![proto::TrackInfo {
                r#type: proto::TrackType::Video as i32,
                ..Default::default()
            }],
            ..Default::default()
        };
        let json = written(
            &proto::ListParticipantsResponse {
                participants: vec![participant],
            },
            PARTICIPANTS,
        );
        let first = &json["participants"][0];
        assert_eq!(first["joined_at_ms"], "5");
        assert_eq!(first["joined_at"], "0");
        assert_eq!(first["state"], "JOINING");
        assert_eq!(first["attributes"]["someKey"], "v");
        assert_eq!(first["permission"], Value::Null);
        assert_eq!(first["tracks"][0]["type"], "VIDEO");
        assert_eq!(first["tracks"][0]["mime_type"], "");
        assert_eq!(
            written(&proto::ListRoomsResponse::default(), ROOMS),
            json!({"rooms": []})
        );
    }

    #[test]
    #[allow(deprecated)] // the deprecated fields are part of the shapes
    fn no_set_field_is_missing_from_the_shapes() {
        fn only_snake_case(value: &Value) {
            match value {
                Value::Object(fields) => {
                    for (name, value) in fields {
                        assert!(!name.contains(char::is_uppercase), "{name}");
                        only_snake_case(value);
                    }
                }
                Value::Array(items) => items.iter().for_each(only_snake_case),
                _ => {}
            }
        }
        let track = proto::TrackInfo {
            disable_dtx: true,
            mime_type: "x".to_owned(),
            disable_red: true,
            audio_features: vec![1],
            backup_codec_policy: 1,
            packet_trailer_features: vec![0],
            version: Some(proto::TimedVersion {
                unix_micro: 1,
                ticks: 1,
            }),
            codecs: vec![proto::SimulcastCodecInfo {
                mime_type: "x".to_owned(),
                sdp_cid: "x".to_owned(),
                video_layer_mode: 1,
                layers: vec![proto::VideoLayer {
                    spatial_layer: 1,
                    repair_ssrc: 1,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        only_snake_case(&written(&track, TRACK));
        let participant = proto::ParticipantInfo {
            joined_at: 1,
            joined_at_ms: 1,
            is_publisher: true,
            disconnect_reason: 1,
            kind_details: vec![0],
            client_protocol: 1,
            capabilities: vec![1],
            permission: Some(proto::ParticipantPermission {
                can_subscribe: true,
                can_publish: true,
                can_publish_data: true,
                can_publish_sources: vec![1],
                can_update_metadata: true,
                can_subscribe_metrics: true,
                can_manage_agent_session: true,
                ..Default::default()
            }),
            ..Default::default()
        };
        only_snake_case(&written(&participant, PARTICIPANT));
        let room = proto::Room {
            empty_timeout: 1,
            departure_timeout: 1,
            max_participants: 1,
            creation_time: 1,
            creation_time_ms: 1,
            turn_password: "x".to_owned(),
            enabled_codecs: vec![proto::Codec {
                mime: "x".to_owned(),
                fmtp_line: "x".to_owned(),
            }],
            num_participants: 1,
            num_publishers: 1,
            active_recording: true,
            ..Default::default()
        };
        only_snake_case(&written(&room, ROOM));
        let dispatch = proto::AgentDispatch {
            agent_name: "x".to_owned(),
            restart_policy: 1,
            state: Some(proto::AgentDispatchState {
                created_at: 1,
                deleted_at: 1,
                jobs: vec![proto::Job {
                    dispatch_id: "x".to_owned(),
                    agent_name: "x".to_owned(),
                    enable_recording: true,
                    enable_redaction: true,
                    state: Some(proto::JobState {
                        started_at: 1,
                        ended_at: 1,
                        updated_at: 1,
                        participant_identity: "x".to_owned(),
                        worker_id: "x".to_owned(),
                        agent_id: "x".to_owned(),
                        ..Default::default()
                    }),
                    ..Default::default()
                }],
            }),
            ..Default::default()
        };
        only_snake_case(&written(&dispatch, DISPATCH));
    }
}
