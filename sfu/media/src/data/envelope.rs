//! `livekit.DataPacket`, read and rewritten by hand: only the envelope matters, and its content may be megabytes.

use smallvec::SmallVec;

/// `DataPacket.participant_identity`.
const PARTICIPANT_IDENTITY: u32 = 4;
/// `DataPacket.destination_identities`.
const DESTINATION_IDENTITIES: u32 = 5;
/// `DataPacket.sequence`.
const SEQUENCE: u32 = 16;
/// `DataPacket.participant_sid`.
const PARTICIPANT_SID: u32 = 17;
/// `DataPacket.user`.
const USER: u32 = 2;
/// `UserPacket.participant_sid`.
const USER_SID: u32 = 1;
/// `UserPacket.destination_sids`.
const USER_DESTINATION_SIDS: u32 = 3;
/// `UserPacket.participant_identity`.
const USER_IDENTITY: u32 = 5;
/// `UserPacket.destination_identities`.
const USER_DESTINATION_IDENTITIES: u32 = 6;
/// `DataPacket.stream_header`.
const STREAM_HEADER: u32 = 13;
/// `DataStream.Header.text_header`.
const TEXT_HEADER: u32 = 9;
/// Destinations of a message; more than any room has on one server.
const MAX_DESTINATIONS: usize = 4_096;

/// What a message carries, as far as routing needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Anything that goes to everyone it is addressed to.
    Plain,
    /// Text for which an agent may speak under another identity: chat, streams.
    Text,
    /// Only from agents.
    Transcription,
    /// Only to those who may see metrics.
    Metrics,
    /// Says that a call has come.
    RpcAck,
    /// Answers a call.
    RpcResponse,
}

fn content_of(number: u32, body: &[u8]) -> Option<Content> {
    Some(match number {
        STREAM_HEADER if !has_text_header(body) => Content::Plain,
        // user, sip_dtmf, rpc_request, encrypted_packet
        2 | 6 | 10 | 18 => Content::Plain,
        11 => Content::RpcAck,
        12 => Content::RpcResponse,
        // chat_message, stream_header, stream_chunk, stream_trailer
        9 | 13 | 14 | 15 => Content::Text,
        7 => Content::Transcription,
        8 => Content::Metrics,
        _ => return None,
    })
}

/// A stream of text, not of bytes.
fn has_text_header(header: &[u8]) -> bool {
    (Fields { rest: header })
        .flatten()
        .any(|field| field.number == TEXT_HEADER)
}

/// One field of a message in protobuf's encoding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    /// Tag and value.
    raw: &'a [u8],
    pub(super) value: Value<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// Walks fields; `Err` once if the bytes are no message.
pub(super) struct Fields<'a> {
    pub(super) rest: &'a [u8],
}

/// The bytes are no protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, place + 1));
        }
    }
    None
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<Field<'a>> {
        let (tag, tag_len) = varint(self.rest)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
        let after = self.rest.get(tag_len..)?;
        let (value, len) = match tag & 7 {
            0 => {
                let (value, len) = varint(after)?;
                (Value::Varint(value), len)
            }
            1 => (Value::Fixed, 8),
            2 => {
                let (length, len) = varint(after)?;
                let end = len.checked_add(usize::try_from(length).ok()?)?;
                (Value::Bytes(after.get(len..end)?), end)
            }
            5 => (Value::Fixed, 4),
            _ => return None,
        };
        let (raw, rest) = self.rest.split_at_checked(tag_len.checked_add(len)?)?;
        self.rest = rest;
        Some(Field { number, raw, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some(self.field().ok_or_else(|| {
            self.rest = &[];
            Malformed
        }))
    }
}

/// The envelope of a message.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    message: &'a [u8],
    pub(crate) content: Content,
    /// The message inside.
    pub(super) body: &'a [u8],
    /// Number of a reliable message of its sender, from 1; 0 if it has none.
    pub(crate) sequence: u32,
    /// The sender as the message itself says.
    pub(crate) claimed_identity: &'a str,
    /// Identities that it is for; with no sids either, it is for everyone.
    pub(crate) identities: SmallVec<[&'a str; 4]>,
    /// Participant sids that it is for (legacy).
    pub(crate) sids: SmallVec<[&'a str; 4]>,
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

impl<'a> Envelope<'a> {
    /// Reads an encoded `livekit.DataPacket`. `Ok(None)`: it carries nothing that is routed.
    pub(crate) fn read(message: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut content = None;
        let mut envelope = Self {
            message,
            content: Content::Plain,
            body: &[],
            sequence: 0,
            claimed_identity: "",
            identities: SmallVec::new(),
            sids: SmallVec::new(),
        };
        for field in (Fields { rest: message }) {
            let field = field?;
            match (field.number, field.value) {
                (PARTICIPANT_IDENTITY, Value::Bytes(bytes)) => {
                    envelope.claimed_identity = text(bytes)?;
                }
                (DESTINATION_IDENTITIES, Value::Bytes(bytes)) => {
                    envelope.identities.push(text(bytes)?);
                }
                (SEQUENCE, Value::Varint(value)) => envelope.sequence = value as u32,
                (number, Value::Bytes(bytes)) => {
                    if number == USER {
                        for field in (Fields { rest: bytes }) {
                            let field = field?;
                            match (field.number, field.value) {
                                (USER_DESTINATION_SIDS, Value::Bytes(sid)) => {
                                    envelope.sids.push(text(sid)?);
                                }
                                (USER_DESTINATION_IDENTITIES, Value::Bytes(identity)) => {
                                    envelope.identities.push(text(identity)?);
                                }
                                _ => {}
                            }
                        }
                    }
                    // The last member of a oneof wins.
                    if let Some(known) = content_of(number, bytes) {
                        content = Some(known);
                        envelope.body = bytes;
                    }
                }
                _ => {}
            }
            if envelope.identities.len() + envelope.sids.len() > MAX_DESTINATIONS {
                return Err(Malformed);
            }
        }
        Ok(content.map(|content| {
            envelope.content = content;
            envelope
        }))
    }

    /// The message as receivers see it: with the sender that the server knows (none if hidden), everything else as it was.
    pub(crate) fn rewrite(&self, identity: &str, sid: &str) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(self.message.len() + 2 * (identity.len() + sid.len()) + 16);
        // Fields of one number are merged by who reads them, the last value counts: each of them would swell a message of
        // nothing but short ones.
        let is_user =
            |field: &Field<'_>| matches!((field.number, field.value), (USER, Value::Bytes(_)));
        let fields = (Fields { rest: self.message }).flatten();
        let mut users = fields.filter(is_user).count();
        for field in (Fields { rest: self.message }).flatten() {
            match (field.number, field.value) {
                (PARTICIPANT_IDENTITY | PARTICIPANT_SID, _) => {}
                (USER, Value::Bytes(user)) => {
                    let mut nested =
                        Vec::with_capacity(user.len() + identity.len() + sid.len() + 4);
                    for field in (Fields { rest: user }).flatten() {
                        if !matches!(field.number, USER_SID | USER_IDENTITY) {
                            nested.extend_from_slice(field.raw);
                        }
                    }
                    users = users.saturating_sub(1);
                    if users == 0 {
                        put_text(&mut nested, USER_SID, sid);
                        put_text(&mut nested, USER_IDENTITY, identity);
                    }
                    put_bytes(&mut out, USER, &nested);
                }
                _ => out.extend_from_slice(field.raw),
            }
        }
        put_text(&mut out, PARTICIPANT_IDENTITY, identity);
        put_text(&mut out, PARTICIPANT_SID, sid);
        out
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, (u64::from(number) << 3) | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Empty text is left out, as protobuf does.
fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(out, number, text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use livekit_protocol::{DataPacket, UserPacket, data_packet::Value as PacketValue};
    use prost::Message;

    fn user_packet() -> DataPacket {
        #[expect(deprecated, reason = "legacy fields must be rewritten too")]
        DataPacket {
            participant_identity: "forged".into(),
            participant_sid: "PA_forged".into(),
            destination_identities: vec!["bob".into()],
            sequence: 300,
            value: Some(PacketValue::User(UserPacket {
                participant_sid: "PA_forged".into(),
                participant_identity: "forged".into(),
                payload: vec![7; 500],
                destination_sids: vec!["PA_carol".into()],
                topic: Some("chat".into()),
                ..Default::default()
            })),
            ..Default::default()
        }
    }

    #[test]
    #[expect(deprecated, reason = "legacy fields must be rewritten too")]
    fn the_sender_is_the_one_the_server_knows() {
        let encoded = user_packet().encode_to_vec();
        let envelope = Envelope::read(&encoded).unwrap().unwrap();
        assert_eq!(envelope.sequence, 300);
        assert_eq!(envelope.claimed_identity, "forged");
        assert_eq!(envelope.identities.as_slice(), ["bob"]);
        assert_eq!(envelope.sids.as_slice(), ["PA_carol"]);
        let read = DataPacket::decode(envelope.rewrite("alice", "PA_alice").as_slice()).unwrap();
        let mut expected = user_packet();
        expected.participant_identity = "alice".into();
        expected.participant_sid = "PA_alice".into();
        if let Some(PacketValue::User(user)) = &mut expected.value {
            user.participant_sid = "PA_alice".into();
            user.participant_identity = "alice".into();
        }
        assert_eq!(read, expected);
    }

    #[test]
    fn a_message_without_content_is_not_routed() {
        let packet = DataPacket {
            participant_identity: "alice".into(),
            ..Default::default()
        };
        assert!(Envelope::read(&packet.encode_to_vec()).unwrap().is_none());
    }

    #[test]
    fn mutated_messages_never_panic() {
        let good = user_packet().encode_to_vec();
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..50_000 {
            let mut bytes = good.clone();
            for _ in 0..random.usize(1..5) {
                let place = random.usize(..bytes.len());
                bytes[place] = random.u8(..);
            }
            bytes.truncate(random.usize(..=bytes.len()));
            if let Ok(Some(envelope)) = Envelope::read(&bytes) {
                envelope.rewrite("a", "b");
            }
        }
    }

    #[test]
    fn a_message_has_at_most_so_many_destinations() {
        let to = |count: usize| {
            let mut packet = user_packet();
            packet.destination_identities = (1..count).map(|n| format!("guest {n}")).collect();
            packet.encode_to_vec()
        };
        // One more is in the old place.
        assert!(Envelope::read(&to(MAX_DESTINATIONS)).is_ok());
        assert!(Envelope::read(&to(MAX_DESTINATIONS + 1)).is_err());
    }

    #[test]
    fn a_message_of_many_short_parts_does_not_swell() {
        let bytes = [0x12, 0x00].repeat(1_000);
        let envelope = Envelope::read(&bytes).unwrap().unwrap();
        let identity = "i".repeat(256);
        let rewritten = envelope.rewrite(&identity, "PA_alice");
        assert!(rewritten.len() < bytes.len() + 3 * identity.len());
        let read = DataPacket::decode(rewritten.as_slice()).unwrap();
        let Some(PacketValue::User(user)) = read.value else {
            panic!("{:?}", read.value);
        };
        #[expect(deprecated, reason = "legacy fields must be rewritten too")]
        let sender = user.participant_identity;
        assert_eq!(sender, identity);
    }
}
