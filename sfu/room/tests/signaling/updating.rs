//! What publishers change about their tracks.

use livekit_protocol::{
    self as proto, AudioTrackFeature, VideoQuality, request_response::Reason,
    signal_request::Message as Request, signal_response::Message,
};

use crate::world::*;

fn refused(messages: &[Message]) -> Vec<i32> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::RequestResponse(response) => Some(response.reason),
            _ => None,
        })
        .collect()
}

fn track(world: &mut World, viewer: &Client, sid: &str) -> proto::TrackInfo {
    updates(&world.take(viewer))
        .pop()
        .expect("an update")
        .tracks
        .into_iter()
        .find(|track| track.sid == sid)
        .unwrap()
}

/// covers: in.update_audio_track
#[test]
fn features_of_sound_reach_the_others() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    let (sid, _) = world.publish(&ada);
    world.forget_all();
    let before = AudioTrackFeature::TfNoiseSuppression as i32;
    world.say(
        &ada,
        Request::UpdateAudioTrack(proto::UpdateLocalAudioTrack {
            track_sid: sid.clone(),
            features: vec![before, before, 4_711],
        }),
    );
    let seen = track(&mut world, &bob, &sid);
    assert_eq!(seen.audio_features, [before]);
    assert!(refused(&world.seen(&ada)).is_empty());
}

/// covers: in.update_video_track
#[test]
fn a_new_size_reaches_the_others_with_its_layers() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    let (_, sid) = world.publish(&ada);
    world.forget_all();
    world.say(
        &ada,
        Request::UpdateVideoTrack(proto::UpdateLocalVideoTrack {
            track_sid: sid.clone(),
            width: 640,
            height: 360,
        }),
    );
    let seen = track(&mut world, &bob, &sid);
    assert_eq!((seen.width, seen.height), (640, 360));
    let widths: Vec<_> = seen.codecs[0]
        .layers
        .iter()
        .map(|layer| layer.width)
        .collect();
    assert_eq!(widths.last(), Some(&640));
    assert!(widths.is_sorted());
}

/// covers: in.update_layers
#[test]
#[allow(deprecated)] // update_layers: old clients send it
fn layers_that_an_old_client_describes_anew_reach_the_others() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    let (_, sid) = world.publish(&ada);
    world.forget_all();
    let layer = |quality: VideoQuality, width, height| proto::VideoLayer {
        quality: quality as i32,
        width,
        height,
        bitrate: 1_000,
        ..Default::default()
    };
    world.say(
        &ada,
        Request::UpdateLayers(proto::UpdateVideoLayers {
            track_sid: sid.clone(),
            layers: vec![
                layer(VideoQuality::Low, 160, 90),
                layer(VideoQuality::High, 640, 360),
                layer(VideoQuality::Off, 9, 9),
            ],
        }),
    );
    let seen = track(&mut world, &bob, &sid);
    assert_eq!((seen.width, seen.height), (640, 360));
    let sizes: Vec<_> = seen.layers.iter().map(|layer| layer.width).collect();
    // The one in the middle was not described anew.
    assert_eq!(sizes, [160, 640, 640]);
}

/// covers: out.request_response
#[test]
#[allow(deprecated)] // update_layers: old clients send it
fn nobody_changes_what_is_not_its_own() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    let (microphone, camera) = world.publish(&ada);
    world.forget_all();
    world.say(
        &bob,
        Request::UpdateAudioTrack(proto::UpdateLocalAudioTrack {
            track_sid: microphone.clone(),
            features: Vec::new(),
        }),
    );
    world.say(
        &bob,
        Request::UpdateVideoTrack(proto::UpdateLocalVideoTrack {
            track_sid: camera.clone(),
            width: 1,
            height: 1,
        }),
    );
    world.say(
        &bob,
        Request::Mute(proto::MuteTrackRequest {
            sid: microphone,
            muted: true,
        }),
    );
    world.say(
        &bob,
        Request::UpdateLayers(proto::UpdateVideoLayers {
            track_sid: camera,
            layers: Vec::new(),
        }),
    );
    assert_eq!(refused(&world.seen(&bob)), [Reason::NotFound as i32; 3]);
    assert!(updates(&world.seen(&ada)).is_empty());
}
