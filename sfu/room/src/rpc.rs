//! PerformRpc: the server calls a method of a participant and gives its answer to the caller.

use std::time::Duration;

use livekit_protocol as proto;
use plenum_types::{ParticipantId, RpcAnswer, RpcId, ShardCommand, ShardId};
use prost::Message as _;

use crate::{
    ApiCallId, ApiError, ApiErrorCode, ApiResponse, Room, RoomOutput, sids, timers::TimerKind,
};

/// How long a participant may take to say that it has the call: what newer SDKs give a slow link.
const ACKNOWLEDGED: Duration = Duration::from_secs(7);
/// How long an answer may take where the caller doesn't say; the SDKs' own default.
const ANSWERED: Duration = Duration::from_secs(10);
/// Longest that a caller may ask to wait: what HTTP clients and proxies bear.
pub const MAX_RPC_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a payload: the protocol's own bound, which the participants' SDKs hold too.
const MAX_PAYLOAD: usize = 15 * 1024;
/// Bytes of a method's name; SDKs allow 64.
const MAX_METHOD: usize = 64;
/// Calls that wait in one room. Each may hold an answer of 15 KiB.
const MAX_CALLS: usize = 256;
/// The only version whose answers are plain text.
const VERSION: u32 = 1;

/// Why a call fails, in the codes that SDKs know (`livekit.RpcError.code`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    ConnectionTimeout,
    ResponseTimeout,
    RecipientDisconnected,
    ResponseUnreadable,
    RequestTooLarge,
}

impl Fault {
    const fn number(self) -> u32 {
        match self {
            Self::ConnectionTimeout => 1501,
            Self::ResponseTimeout => 1502,
            Self::RecipientDisconnected => 1503,
            Self::ResponseUnreadable => 1504,
            Self::RequestTooLarge => 1402,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::ConnectionTimeout => "Connection timeout",
            Self::ResponseTimeout => "Response timeout",
            Self::RecipientDisconnected => "Recipient disconnected",
            Self::ResponseUnreadable => "Response payload too large",
            Self::RequestTooLarge => "Request payload too large",
        }
    }

    fn error(self) -> ApiError {
        rpc_error(self.number(), self.text(), "")
    }
}

/// An error of a call in Twirp's words. Its number stays in the text, where callers of the reference look for it.
fn rpc_error(number: u32, text: &str, data: &str) -> ApiError {
    let code = match number {
        1400 => ApiErrorCode::InvalidArgument,
        1401 => ApiErrorCode::NotFound,
        1402 => ApiErrorCode::Malformed,
        1403 | 1404 => ApiErrorCode::Unimplemented,
        1501 | 1502 => ApiErrorCode::Canceled,
        1503 => ApiErrorCode::Unavailable,
        _ => ApiErrorCode::Internal,
    };
    let mut message = format!("RpcError {number}: {text}");
    if !data.is_empty() {
        message.push_str(": ");
        message.push_str(data);
    }
    ApiError { code, message }
}

/// A call that waits for its answer.
#[derive(Debug)]
pub(crate) struct PendingRpc {
    call: ApiCallId,
    to: ParticipantId,
    shard: ShardId,
}

/// How long the answer to a call is waited for.
#[must_use]
pub const fn rpc_timeout(response_timeout_ms: u32) -> Duration {
    match response_timeout_ms {
        0 => ANSWERED,
        milliseconds => Duration::from_millis(milliseconds as u64),
    }
}

impl Room {
    /// Calls a method; the answer to `call` comes later, unless the call is refused.
    pub(crate) fn perform_rpc(&mut self, call: ApiCallId, request: &proto::PerformRpcRequest) {
        if let Err(error) = self.start_rpc(call, request) {
            self.push(RoomOutput::Api {
                call,
                result: Err(error),
            });
        }
    }

    fn start_rpc(
        &mut self,
        call: ApiCallId,
        request: &proto::PerformRpcRequest,
    ) -> Result<(), ApiError> {
        let to = self.find(&request.destination_identity)?;
        let Some(participant) = self.participants.get(&to).filter(|p| !p.is_lost()) else {
            return Err(Fault::RecipientDisconnected.error());
        };
        let shard = participant.shard;
        if request.payload.len() > MAX_PAYLOAD {
            return Err(Fault::RequestTooLarge.error());
        }
        if request.method.is_empty() || request.method.len() > MAX_METHOD {
            return Err(ApiError::invalid(format!(
                "the method's name has {} bytes; 1 to {MAX_METHOD} are allowed",
                request.method.len()
            )));
        }
        let timeout = rpc_timeout(request.response_timeout_ms);
        if timeout > MAX_RPC_TIMEOUT {
            return Err(ApiError::invalid(format!(
                "response_timeout_ms is {}; at most {} are waited",
                request.response_timeout_ms,
                MAX_RPC_TIMEOUT.as_millis()
            )));
        }
        if self.rpcs.len() >= MAX_CALLS {
            return Err(ApiError {
                code: ApiErrorCode::ResourceExhausted,
                message: format!(
                    "{MAX_CALLS} calls wait for participants of this room, which is the limit"
                ),
            });
        }
        // The Shard must know who is called.
        self.push_data_policy();
        let rpc = RpcId(self.allocate_id());
        let request_id = sids::rpc_request_id(&mut self.rng);
        let packet = rpc_packet(&request_id, request, timeout).encode_to_vec();
        self.rpcs.insert(rpc, PendingRpc { call, to, shard });
        self.timers
            .set(TimerKind::RpcAck(rpc), self.now + ACKNOWLEDGED.min(timeout));
        self.timers.set(TimerKind::Rpc(rpc), self.now + timeout);
        self.command(
            shard,
            ShardCommand::SendRpc {
                rpc,
                request_id,
                to,
                packet,
            },
        );
        Ok(())
    }

    /// The participant has the call and works on it.
    pub(crate) fn rpc_acknowledged(&mut self, rpc: RpcId) {
        self.timers.clear(TimerKind::RpcAck(rpc));
    }

    pub(crate) fn rpc_answered(&mut self, rpc: RpcId, answer: RpcAnswer) {
        let result = match answer {
            RpcAnswer::Payload(payload) => Ok(ApiResponse::RpcPayload(payload)),
            RpcAnswer::Error {
                code,
                message,
                data,
            } => Err(rpc_error(code, &message, &data)),
            RpcAnswer::Unreadable => Err(Fault::ResponseUnreadable.error()),
        };
        self.end_rpc(rpc, result);
    }

    pub(crate) fn rpc_not_acknowledged(&mut self, rpc: RpcId) {
        self.give_up_rpc(rpc, Fault::ConnectionTimeout);
    }

    pub(crate) fn rpc_not_answered(&mut self, rpc: RpcId) {
        self.give_up_rpc(rpc, Fault::ResponseTimeout);
    }

    /// A participant is gone: it answers no call.
    pub(crate) fn abandon_rpcs(&mut self, to: ParticipantId) {
        let calls: Vec<_> = self
            .rpcs
            .iter()
            .filter(|(_, pending)| pending.to == to)
            .map(|(rpc, _)| *rpc)
            .collect();
        for rpc in calls {
            self.give_up_rpc(rpc, Fault::RecipientDisconnected);
        }
    }

    fn give_up_rpc(&mut self, rpc: RpcId, fault: Fault) {
        if let Some(shard) = self.rpcs.get(&rpc).map(|pending| pending.shard) {
            self.command(shard, ShardCommand::ForgetRpc { rpc });
            self.end_rpc(rpc, Err(fault.error()));
        }
    }

    fn end_rpc(&mut self, rpc: RpcId, result: Result<ApiResponse, ApiError>) {
        self.timers.clear(TimerKind::RpcAck(rpc));
        self.timers.clear(TimerKind::Rpc(rpc));
        if let Some(PendingRpc { call, .. }) = self.rpcs.remove(&rpc) {
            self.push(RoomOutput::Api { call, result });
        }
    }
}

#[allow(deprecated)] // DataPacket.kind: old clients read it
fn rpc_packet(
    request_id: &str,
    request: &proto::PerformRpcRequest,
    timeout: Duration,
) -> proto::DataPacket {
    proto::DataPacket {
        kind: proto::data_packet::Kind::Reliable as i32,
        // The participant answers to whoever is named here. No participant has this name.
        participant_identity: request_id.to_owned(),
        value: Some(proto::data_packet::Value::RpcRequest(proto::RpcRequest {
            id: request_id.to_owned(),
            method: request.method.clone(),
            payload: request.payload.clone(),
            response_timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
            version: VERSION,
            ..Default::default()
        })),
        ..Default::default()
    }
}
