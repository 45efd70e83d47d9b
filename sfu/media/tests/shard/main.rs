//! One Shard with clients around it, without a network, on a clock that the test moves. One program: linking is what many
//! small ones cost.

mod common;

mod budget;
mod encrypted;
mod feedback;
mod full_socket;
mod handshakes;
mod hostile_datagrams;
mod insiders;
mod inspect;
mod late_subscriber_gets_a_key_frame;
mod layer_switch;
mod limits;
mod moving;
mod payloads;
mod retransmission;
mod routing;
mod speakers;
