//! Calls of the server to participants (PerformRpc). Their acknowledgements and answers are told to the room and go to
//! nobody else. The room bounds how many there are, and forgets those that take too long.

use hashbrown::HashMap;
use plenum_types::{ParticipantId, RpcAnswer, RpcId, ShardEvent};

use super::envelope::{Content, Envelope, Fields, Value};

/// `RpcAck.request_id` and `RpcResponse.request_id`.
const REQUEST_ID: u32 = 1;
/// `RpcResponse.payload`.
const PAYLOAD: u32 = 2;
/// `RpcResponse.error`.
const ERROR: u32 = 3;
/// `RpcError.code`.
const ERROR_CODE: u32 = 1;
/// `RpcError.message`.
const ERROR_MESSAGE: u32 = 2;
/// `RpcError.data`.
const ERROR_DATA: u32 = 3;
/// Bytes of an answer's payload, and of the data of an error: the protocol's own bound.
const MAX_PAYLOAD: usize = 15 * 1024;
/// Bytes of an error's message: the protocol's own bound.
const MAX_MESSAGE: usize = 256;

/// Calls that wait for something, by the id that the participant knows.
#[derive(Debug, Default)]
pub(crate) struct ServerRpcs(HashMap<String, Pending>);

#[derive(Debug, Clone, Copy)]
struct Pending {
    rpc: RpcId,
    to: ParticipantId,
}

impl ServerRpcs {
    /// A call is about to be sent.
    pub(crate) fn expect(&mut self, rpc: RpcId, request_id: String, to: ParticipantId) {
        self.0.insert(request_id, Pending { rpc, to });
    }

    /// Nobody waits for its answer.
    pub(crate) fn forget(&mut self, rpc: RpcId) {
        self.0.retain(|_, pending| pending.rpc != rpc);
    }

    /// What a message means for a call of the server; `None` if it is for another participant. Only who was called can
    /// answer.
    pub(super) fn claim(
        &mut self,
        from: ParticipantId,
        envelope: &Envelope<'_>,
    ) -> Option<ShardEvent> {
        if self.0.is_empty() {
            return None;
        }
        let acknowledged = match envelope.content {
            Content::RpcAck => true,
            Content::RpcResponse => false,
            _ => return None,
        };
        let request_id = text_of(envelope.body, REQUEST_ID)?;
        let pending = *self.0.get(request_id).filter(|known| known.to == from)?;
        if acknowledged {
            return Some(ShardEvent::RpcAcknowledged { rpc: pending.rpc });
        }
        self.0.remove(request_id);
        Some(ShardEvent::RpcAnswered {
            rpc: pending.rpc,
            answer: answer(envelope.body).unwrap_or(RpcAnswer::Unreadable),
        })
    }
}

/// The last field of this number; empty if there is none, as protobuf has it.
fn text_of(message: &[u8], number: u32) -> Option<&str> {
    let mut found: &[u8] = &[];
    for field in (Fields { rest: message }) {
        let field = field.ok()?;
        if let (true, Value::Bytes(bytes)) = (field.number == number, field.value) {
            found = bytes;
        }
    }
    std::str::from_utf8(found).ok()
}

fn answer(response: &[u8]) -> Option<RpcAnswer> {
    let mut last = None;
    for field in (Fields { rest: response }) {
        let field = field.ok()?;
        // Compressed payloads are not for us: our calls say version 1, which has none.
        if field.number >= PAYLOAD {
            last = Some(field);
        }
    }
    let field = last?;
    let Value::Bytes(bytes) = field.value else {
        return None;
    };
    match field.number {
        PAYLOAD if bytes.len() <= MAX_PAYLOAD => Some(RpcAnswer::Payload(
            std::str::from_utf8(bytes).ok()?.to_owned(),
        )),
        ERROR => {
            let mut code = 0;
            for field in (Fields { rest: bytes }) {
                let field = field.ok()?;
                if let (ERROR_CODE, Value::Varint(value)) = (field.number, field.value) {
                    code = u32::try_from(value).ok()?;
                }
            }
            Some(RpcAnswer::Error {
                code,
                message: bounded(text_of(bytes, ERROR_MESSAGE)?, MAX_MESSAGE),
                data: bounded(text_of(bytes, ERROR_DATA)?, MAX_PAYLOAD),
            })
        }
        _ => None,
    }
}

fn bounded(text: &str, limit: usize) -> String {
    text.get(..text.floor_char_boundary(limit))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use livekit_protocol::{
        DataPacket, RpcAck, RpcError, RpcResponse, data_packet::Value as PacketValue, rpc_response,
    };
    use prost::Message;

    const BOB: ParticipantId = ParticipantId(2);

    fn said(value: PacketValue) -> Vec<u8> {
        DataPacket {
            value: Some(value),
            ..Default::default()
        }
        .encode_to_vec()
    }

    fn claim(rpcs: &mut ServerRpcs, from: ParticipantId, message: &[u8]) -> Option<ShardEvent> {
        rpcs.claim(from, &Envelope::read(message).unwrap().unwrap())
    }

    fn answer_with(value: rpc_response::Value) -> Vec<u8> {
        said(PacketValue::RpcResponse(RpcResponse {
            request_id: "call".into(),
            value: Some(value),
        }))
    }

    fn called() -> ServerRpcs {
        let mut rpcs = ServerRpcs::default();
        rpcs.expect(RpcId(7), "call".into(), BOB);
        rpcs
    }

    #[test]
    fn acknowledgement_and_answer_are_the_rooms() {
        let mut rpcs = called();
        let ack = said(PacketValue::RpcAck(RpcAck {
            request_id: "call".into(),
        }));
        assert_eq!(
            claim(&mut rpcs, BOB, &ack),
            Some(ShardEvent::RpcAcknowledged { rpc: RpcId(7) })
        );
        let answer = answer_with(rpc_response::Value::Payload("hello".into()));
        assert_eq!(
            claim(&mut rpcs, BOB, &answer),
            Some(ShardEvent::RpcAnswered {
                rpc: RpcId(7),
                answer: RpcAnswer::Payload("hello".into())
            })
        );
        assert_eq!(claim(&mut rpcs, BOB, &answer), None);
    }

    #[test]
    fn errors_keep_their_code_and_what_is_too_long_is_unreadable() {
        let error = answer_with(rpc_response::Value::Error(RpcError {
            code: 1400,
            message: "no such method".into(),
            data: "more".into(),
        }));
        assert!(matches!(
            claim(&mut called(), BOB, &error),
            Some(ShardEvent::RpcAnswered { answer: RpcAnswer::Error { code: 1400, message, data }, .. })
                if message == "no such method" && data == "more"
        ));
        for unreadable in [
            rpc_response::Value::Payload("x".repeat(MAX_PAYLOAD + 1)),
            rpc_response::Value::CompressedPayload(vec![1, 2, 3]),
        ] {
            assert!(matches!(
                claim(&mut called(), BOB, &answer_with(unreadable)),
                Some(ShardEvent::RpcAnswered {
                    answer: RpcAnswer::Unreadable,
                    ..
                })
            ));
        }
    }

    #[test]
    fn nobody_answers_for_another_and_late_answers_go_nowhere() {
        let mut rpcs = called();
        let answer = answer_with(rpc_response::Value::Payload("hello".into()));
        assert_eq!(claim(&mut rpcs, ParticipantId(3), &answer), None);
        rpcs.forget(RpcId(7));
        assert_eq!(claim(&mut rpcs, BOB, &answer), None);
    }
}
