//! The socket of a connection: datagrams, or frames on a TCP connection that the Peer opens.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use rtc::shared::{TransportContext, TransportProtocol};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
};

/// What a Peer may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Datagrams alone.
    Udp,
    /// TCP alone, as behind a firewall that drops all datagrams.
    Tcp,
}

/// Longest datagram that is read.
const MAX_DATAGRAM: usize = 2_048;
/// Port of candidates that only open connections (RFC 6544 section 4.5).
const DISCARD: u16 = 9;

/// Cuts a stream into frames: a length of two bytes before each (RFC 4571).
#[derive(Debug, Default)]
pub(crate) struct Frames(Vec<u8>);

impl Frames {
    fn next(&mut self) -> Option<Vec<u8>> {
        let (header, rest) = self.0.split_first_chunk::<2>()?;
        let frame = rest
            .get(..usize::from(u16::from_be_bytes(*header)))?
            .to_vec();
        self.0.drain(..2 + frame.len());
        Some(frame)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) enum Link {
    Udp(UdpSocket),
    Tcp {
        host: IpAddr,
        stream: Option<TcpStream>,
        frames: Frames,
    },
}

impl Link {
    pub(crate) async fn open(network: Network, host: IpAddr) -> io::Result<Self> {
        Ok(match network {
            Network::Udp => Self::Udp(UdpSocket::bind((host, 0)).await?),
            Network::Tcp => Self::Tcp {
                host,
                stream: None,
                frames: Frames::default(),
            },
        })
    }

    /// Where our candidate says that we are.
    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp { host, .. } => Ok(SocketAddr::new(*host, DISCARD)),
        }
    }

    /// Opens the connection to the first TCP candidate of a description, if that is what this link is.
    pub(crate) async fn dial(&mut self, sdp: &str) -> anyhow::Result<()> {
        let Self::Tcp {
            stream: stream @ None,
            ..
        } = self
        else {
            return Ok(());
        };
        let passive = sdp
            .lines()
            .filter(|line| line.starts_with("a=candidate:") && line.contains("tcptype passive"))
            .find_map(|line| {
                let mut words = line.split(' ').skip(4);
                let ip: IpAddr = words.next()?.parse().ok()?;
                Some(SocketAddr::new(ip, words.next()?.parse().ok()?))
            });
        if let Some(address) = passive {
            let opened = TcpStream::connect(address).await?;
            opened.set_nodelay(true)?;
            *stream = Some(opened);
        }
        Ok(())
    }

    pub(crate) async fn send(&mut self, to: SocketAddr, packet: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => {
                // The server may be gone: ICE finds out.
                let _ = socket.send_to(packet, to).await;
            }
            Self::Tcp {
                stream: Some(stream),
                ..
            } => {
                let len = u16::try_from(packet.len()).map_err(io::Error::other)?;
                let mut frame = len.to_be_bytes().to_vec();
                frame.extend_from_slice(packet);
                let _ = stream.write_all(&frame).await;
            }
            Self::Tcp { stream: None, .. } => {}
        }
        Ok(())
    }

    /// The next packet. May be dropped while it waits.
    pub(crate) async fn receive(&mut self) -> io::Result<(Vec<u8>, TransportContext)> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; MAX_DATAGRAM];
                let (len, peer_addr) = socket.recv_from(&mut buffer).await?;
                buffer.truncate(len);
                let local_addr = socket.local_addr()?;
                Ok((
                    buffer,
                    context(local_addr, peer_addr, TransportProtocol::UDP),
                ))
            }
            Self::Tcp {
                stream: Some(stream),
                frames,
                ..
            } => {
                let (local_addr, peer_addr) = (stream.local_addr()?, stream.peer_addr()?);
                let mut buffer = [0; MAX_DATAGRAM];
                loop {
                    if let Some(frame) = frames.next() {
                        let context = context(local_addr, peer_addr, TransportProtocol::TCP);
                        return Ok((frame, context));
                    }
                    match stream.read(&mut buffer).await? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        bytes => frames.0.extend_from_slice(&buffer[..bytes]),
                    }
                }
            }
            Self::Tcp { stream: None, .. } => std::future::pending().await,
        }
    }
}

fn context(
    local_addr: SocketAddr,
    peer_addr: SocketAddr,
    transport_protocol: TransportProtocol,
) -> TransportContext {
    TransportContext {
        local_addr,
        peer_addr,
        transport_protocol,
        ecn: None,
    }
}
