//! PerformRpc.

use std::time::Duration;

use livekit_protocol as proto;
use plenum_room::{
    ApiCallId, ApiError, ApiErrorCode, ApiRequest, ApiResponse, RoomInput, RoomOutput,
};
use plenum_types::{RpcAnswer, RpcId, ShardCommand, ShardEvent};
use prost::Message as _;

use crate::world::World;

const CALL: ApiCallId = ApiCallId(1_000_000);

fn request(identity: &str, timeout_ms: u32) -> proto::PerformRpcRequest {
    proto::PerformRpcRequest {
        room: "lobby".to_owned(),
        destination_identity: identity.to_owned(),
        method: "greet".to_owned(),
        payload: "hi".to_owned(),
        response_timeout_ms: timeout_ms,
    }
}

fn call(world: &mut World, request: proto::PerformRpcRequest) {
    world.input(RoomInput::Api {
        call: CALL,
        request: Box::new(ApiRequest::PerformRpc(request)),
    });
}

fn result(world: &World) -> Option<Result<ApiResponse, ApiError>> {
    world.others.iter().find_map(|output| match output {
        RoomOutput::Api { call: CALL, result } => Some(result.clone()),
        _ => None,
    })
}

fn code(world: &World) -> Option<ApiErrorCode> {
    result(world)?.err().map(|error| error.code)
}

fn sent(world: &World) -> (RpcId, proto::RpcRequest) {
    world
        .commands
        .iter()
        .find_map(|command| match command {
            ShardCommand::SendRpc { rpc, packet, .. } => {
                let packet = proto::DataPacket::decode(packet.as_slice()).unwrap();
                match packet.value {
                    Some(proto::data_packet::Value::RpcRequest(request)) => Some((*rpc, request)),
                    _ => None,
                }
            }
            _ => None,
        })
        .expect("a call")
}

#[test]
fn the_answer_of_a_participant_is_the_callers() {
    let mut world = World::default();
    world.join("ada");
    call(&mut world, request("ada", 0));
    let (rpc, asked) = sent(&world);
    assert_eq!(
        (asked.method.as_str(), asked.payload.as_str()),
        ("greet", "hi")
    );
    assert_eq!((asked.response_timeout_ms, asked.version), (10_000, 1));
    assert_eq!(result(&world), None);
    world.shard(ShardEvent::RpcAcknowledged { rpc });
    world.shard(ShardEvent::RpcAnswered {
        rpc,
        answer: RpcAnswer::Payload("hello".to_owned()),
    });
    assert_eq!(
        result(&world),
        Some(Ok(ApiResponse::RpcPayload("hello".to_owned())))
    );
}

#[test]
fn errors_of_participants_keep_their_number_and_get_twirps_codes() {
    for (number, expected) in [
        (1400, ApiErrorCode::InvalidArgument),
        (1500, ApiErrorCode::Internal),
        (4711, ApiErrorCode::Internal),
    ] {
        let mut world = World::default();
        world.join("ada");
        call(&mut world, request("ada", 0));
        let (rpc, _) = sent(&world);
        world.shard(ShardEvent::RpcAnswered {
            rpc,
            answer: RpcAnswer::Error {
                code: number,
                message: "why".to_owned(),
                data: String::new(),
            },
        });
        let error = result(&world).unwrap().unwrap_err();
        assert_eq!(error.code, expected);
        assert_eq!(error.message, format!("RpcError {number}: why"));
    }
}

#[test]
fn a_call_that_is_not_acknowledged_ends_before_one_that_is_not_answered() {
    for (acknowledged, seconds, number) in [(false, 7, "1501"), (true, 10, "1502")] {
        let mut world = World::default();
        world.join("ada");
        call(&mut world, request("ada", 0));
        let (rpc, _) = sent(&world);
        if acknowledged {
            world.shard(ShardEvent::RpcAcknowledged { rpc });
        }
        world.advance(Duration::from_secs(seconds) - Duration::from_millis(1));
        assert_eq!(result(&world), None);
        world.advance(Duration::from_millis(1));
        let error = result(&world).unwrap().unwrap_err();
        assert_eq!(error.code, ApiErrorCode::Canceled);
        assert!(error.message.contains(number));
        assert!(
            world
                .commands
                .iter()
                .any(|command| matches!(command, ShardCommand::ForgetRpc { .. }))
        );
    }
}

#[test]
fn who_leaves_answers_no_more() {
    let mut world = World::default();
    let ada = world.join("ada");
    call(&mut world, request("ada", 0));
    world.say(
        &ada,
        proto::signal_request::Message::Leave(proto::LeaveRequest::default()),
    );
    assert_eq!(code(&world), Some(ApiErrorCode::Unavailable));
}

#[test]
fn calls_that_can_not_be_made_are_refused_at_once() {
    let mut world = World::default();
    world.join("ada");
    for (request, expected) in [
        (request("nobody", 0), ApiErrorCode::NotFound),
        (request("ada", 60_001), ApiErrorCode::InvalidArgument),
        (
            proto::PerformRpcRequest {
                method: String::new(),
                ..request("ada", 0)
            },
            ApiErrorCode::InvalidArgument,
        ),
        (
            proto::PerformRpcRequest {
                payload: "x".repeat(15 * 1024 + 1),
                ..request("ada", 0)
            },
            ApiErrorCode::Malformed,
        ),
    ] {
        world.others.clear();
        call(&mut world, request);
        assert_eq!(code(&world), Some(expected));
    }
}

#[test]
fn calls_that_wait_are_bounded() {
    let mut world = World::default();
    world.join("ada");
    for n in 0..256 {
        world.input(RoomInput::Api {
            call: ApiCallId(2_000_000 + n),
            request: Box::new(ApiRequest::PerformRpc(request("ada", 0))),
        });
    }
    call(&mut world, request("ada", 0));
    assert_eq!(code(&world), Some(ApiErrorCode::ResourceExhausted));
}
