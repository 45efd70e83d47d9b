//! A participant goes to another room of the Shard with its Transport and its tracks.

use crate::common::{Call, Camera, MID_ID, RID_ID};
use plenum_types::{
    Codec, FailureCause, LayerTarget, RoomHandle, ShardCommand, ShardEvent, TransportId,
    TransportState,
};

const OTHER: RoomHandle = RoomHandle(2);

#[test]
fn media_goes_on_in_the_other_room_and_stops_in_the_old_one() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video_by_rid(alice, &["q", "h"]);
    let (_, in_old_room) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    let mut camera = Camera::new(alice, 2, 3_000);
    camera.extensions = vec![
        (MID_ID, track.0.to_string().into_bytes()),
        (RID_ID, b"h".to_vec()),
    ];
    camera.shoot(&mut call, 1, true, 2);
    assert!(!call.take(bob, in_old_room).is_empty());
    // From here on only the SSRC tells whose packets these are.
    camera.extensions.clear();

    call.room = OTHER;
    let carol = call.join();
    let transport = call.clients[alice].transport;
    call.command(ShardCommand::AdoptTransport {
        from: crate::common::ROOM,
        transport,
    });
    let (_, in_new_room) = call.subscribe(carol, track, Codec::Vp8, LayerTarget::HIGHEST);
    call.settle();
    assert!(!call.take_plis(alice).is_empty());
    camera.shoot(&mut call, 1, true, 2);
    assert_eq!(call.take(carol, in_new_room).len(), 2);
    assert!(call.take(bob, in_old_room).is_empty());

    // The end of the old room is none of its concern any more.
    call.room = crate::common::ROOM;
    call.command(ShardCommand::CloseRoom);
    call.room = OTHER;
    camera.shoot(&mut call, 1, false, 2);
    assert_eq!(call.take(carol, in_new_room).len(), 2);
    call.command(ShardCommand::CloseRoom);
    assert_eq!(call.shard.stats().transports, 0);
    assert_eq!(call.shard.stats().tracks, 0);
}

#[test]
fn a_room_hears_that_whom_it_takes_in_is_gone() {
    let mut call = Call::new();
    call.join();
    call.room = OTHER;
    call.join();
    call.events.clear();
    let transport = TransportId(4_711);
    call.command(ShardCommand::AdoptTransport {
        from: crate::common::ROOM,
        transport,
    });
    call.settle();
    assert_eq!(
        call.events,
        [ShardEvent::TransportState {
            transport,
            state: TransportState::Failed(FailureCause::Closed)
        }]
    );
}
