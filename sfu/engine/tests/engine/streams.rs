//! TCP: the port that all Shards share.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use plenum_engine::{Clock, Engine, ServeUntil};
use plenum_transport::{FrameReader, frame_header};
use plenum_types::ShardId;

use crate::world::{BINDING_SUCCESS, check, config, free_tcp_port, open_transport, wait_for};

/// Longer than a connection may wait with its first frame.
const TOO_LONG: Duration = Duration::from_secs(8);

struct Client {
    io: TcpStream,
    reader: FrameReader,
}

impl Client {
    fn connect(port: u16) -> Self {
        let io = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        io.set_read_timeout(Some(TOO_LONG)).unwrap();
        Self {
            io,
            reader: FrameReader::default(),
        }
    }

    fn send(&mut self, packet: &[u8]) {
        let mut frame = frame_header(packet.len()).unwrap().to_vec();
        frame.extend_from_slice(packet);
        self.io.write_all(&frame).unwrap();
    }

    /// `None` once the server has closed.
    fn receive(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = self.reader.next_frame().unwrap() {
                return Some(frame.to_vec());
            }
            match self.io.read(self.reader.space()) {
                Ok(0) => return None,
                Ok(bytes) => self.reader.filled(bytes),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }
}

fn engine_with_tcp(shards: u16) -> (Engine, u16) {
    let tcp_port = free_tcp_port();
    let mut config = config(shards, ServeUntil::forever());
    config.tcp_port = tcp_port;
    let (engine, _news) = Engine::start(&config, Clock::start()).unwrap();
    (engine, tcp_port)
}

#[test]
fn the_first_frame_finds_the_shard_and_answers_come_on_the_same_connection() {
    let (engine, port) = engine_with_tcp(2);
    for shard in [ShardId(1), ShardId(0)] {
        let local = open_transport(&engine, shard);
        let mut client = Client::connect(port);
        for _ in 0..3 {
            client.send(&check(&local));
            assert_eq!(client.receive().unwrap()[..2], BINDING_SUCCESS);
        }
        wait_for("the gauge", || {
            engine.status()[usize::from(shard.0)].io.streams == 1
        });
        drop(client);
        wait_for("the connection to be forgotten", || {
            engine.status()[usize::from(shard.0)].io.streams == 0
        });
    }
    assert_eq!(engine.acceptor_stats().handed_over, 2);
    engine.stop();
}

#[test]
fn a_check_that_comes_byte_by_byte_is_read() {
    let (engine, port) = engine_with_tcp(1);
    let local = open_transport(&engine, ShardId(0));
    let mut client = Client::connect(port);
    client.io.set_nodelay(true).unwrap();
    for _ in 0..2 {
        let packet = check(&local);
        let mut frame = frame_header(packet.len()).unwrap().to_vec();
        frame.extend(packet);
        for byte in frame {
            client.io.write_all(&[byte]).unwrap();
        }
        assert_eq!(client.receive().unwrap()[..2], BINDING_SUCCESS);
    }
    engine.stop();
}

#[test]
fn strangers_are_closed_at_their_first_frame() {
    let (engine, port) = engine_with_tcp(1);
    let known = open_transport(&engine, ShardId(0));
    let mut stranger = known.clone();
    stranger.ufrag.replace_range(4..8, "zzzz");
    let mut other_shard = known.clone();
    other_shard.ufrag.replace_range(..4, "0007");
    let mut wrong_password = known;
    wrong_password.pwd.push('x');
    for packet in [
        check(&stranger),
        check(&other_shard),
        check(&wrong_password),
        b"GET / HTTP/1.1".to_vec(),
        vec![22, 254, 253, 0, 0, 0],
    ] {
        let mut client = Client::connect(port);
        client.send(&packet);
        // A refusal of a wrong password may come first.
        while client.receive().is_some() {}
    }
    let mut client = Client::connect(port);
    client.io.write_all(&[0xff; 64]).unwrap();
    assert_eq!(client.receive(), None);
    wait_for("the counters", || {
        engine.status()[0].io.streams == 0 && engine.acceptor_stats().refused == 4
    });
    engine.stop();
}

#[test]
fn silent_connections_are_bounded_in_time_and_number() {
    let (engine, port) = engine_with_tcp(1);
    let silent: Vec<_> = (0..600).map(|_| Client::connect(port)).collect();
    // The newest still get their turn.
    let local = open_transport(&engine, ShardId(0));
    let mut client = Client::connect(port);
    client.send(&check(&local));
    assert!(client.receive().is_some());
    wait_for("room to be made", || {
        engine.acceptor_stats().displaced >= 88
    });
    for mut silent in silent {
        assert_eq!(silent.receive(), None);
    }
    let stats = engine.acceptor_stats();
    assert_eq!(stats.displaced + stats.timed_out, 600);
    assert_eq!(stats.handed_over, 1);
    engine.stop();
}
