//! UDP sockets of a Shard: one port, one socket per bound address.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use quinn_udp::{UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

/// Socket buffers that are asked for: 250 ms of 128 Mbit/s, which a Shard may be late without loss.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// A bound socket with its offload state.
pub(crate) struct MediaSocket {
    pub(crate) io: mio::net::UdpSocket,
    pub(crate) state: UdpSocketState,
    pub(crate) local: SocketAddr,
}

/// No port could be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Every port of the range is taken or refused.
    #[error(
        "no UDP port from {first} to {last} can be bound for media: {last_error}; set RTC_MIN_PORT and RTC_MAX_PORT to free ports"
    )]
    NoPort {
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
        /// What the system said last.
        last_error: io::Error,
    },
    /// The TCP port is taken or refused.
    #[error(
        "TCP port {port} can't be bound for media: {source}; set rtc.tcp_port (RTC_TCP_PORT) to a free port, or to 0 for UDP only"
    )]
    TcpPort {
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The machine has none of the addresses.
    #[error(
        "none of the addresses {addresses:?} can be bound: {source}; set PLENUM_BIND to addresses of this machine"
    )]
    NoAddress {
        /// What was asked for.
        addresses: Vec<IpAddr>,
        /// What the system said.
        source: io::Error,
    },
    /// The socket can't be prepared.
    #[error("a media socket can't be set up: {0}")]
    Setup(#[from] io::Error),
}

/// Binds the first free port of the range on all addresses. A wildcard address whose family the machine lacks is left out.
pub(crate) fn bind_port(
    addresses: &[IpAddr],
    ports: RangeInclusive<u16>,
) -> Result<(u16, Vec<Socket>), BindError> {
    let (first, last) = (*ports.start(), *ports.end());
    let mut last_error = io::Error::from(io::ErrorKind::AddrInUse);
    for port in ports {
        let mut sockets = Vec::with_capacity(addresses.len());
        let mut failed = None;
        for address in addresses {
            match bind(SocketAddr::new(*address, port)) {
                Ok(socket) => sockets.push(socket),
                Err(error) if address.is_unspecified() && family_missing(&error) => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        match failed {
            None if sockets.is_empty() => {
                return Err(BindError::NoAddress {
                    addresses: addresses.to_vec(),
                    source: io::Error::from(io::ErrorKind::AddrNotAvailable),
                });
            }
            None => return Ok((port, sockets)),
            Some(source) if source.kind() == io::ErrorKind::AddrNotAvailable => {
                return Err(BindError::NoAddress {
                    addresses: addresses.to_vec(),
                    source,
                });
            }
            Some(error) => last_error = error,
        }
    }
    Err(BindError::NoPort {
        first,
        last,
        last_error,
    })
}

pub(crate) fn family_missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        // Each family has its own socket, so that an address is always written the same way.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl MediaSocket {
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        // Asked for before the state is made, which reads nothing of it.
        let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(BUFFER_BYTES);
        // The kernel says twice what it was asked for, since it counts its own bookkeeping.
        let (receive, send) = (socket.recv_buffer_size()?, socket.send_buffer_size()?);
        if receive.min(send) < BUFFER_BYTES {
            tracing::warn!(
                receive,
                send,
                wanted = BUFFER_BYTES,
                "the kernel gives media sockets small buffers: bursts will be lost; raise net.core.rmem_max and net.core.wmem_max"
            );
        }
        let socket: std::net::UdpSocket = socket.into();
        let local = socket.local_addr()?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self {
            io: mio::net::UdpSocket::from_std(socket),
            state,
            local,
        })
    }

    /// Rebuilds the offload state: one error turns GSO off for good on a state.
    pub(crate) fn renew_offload(&mut self) {
        if let Ok(state) = UdpSocketState::new(UdpSockRef::from(&self.io)) {
            self.state = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_taken_port_is_skipped() {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (first, _held) = bind_port(&[local], 40_100..=40_400).unwrap();
        let (second, _) = bind_port(&[local], first..=40_400).unwrap();
        assert!(second > first);
        let error = bind_port(&[local], first..=first).unwrap_err().to_string();
        assert!(error.contains("RTC_MIN_PORT"), "{error}");
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let foreign: IpAddr = "203.0.113.9".parse().unwrap();
        let error = bind_port(&[foreign], 40_500..=40_501)
            .unwrap_err()
            .to_string();
        assert!(error.contains("203.0.113.9"), "{error}");
    }
}
