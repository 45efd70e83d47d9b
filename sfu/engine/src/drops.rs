//! What the kernel dropped before a socket was read. The one place of this crate that calls the system directly.
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;

/// Numbers that `SO_MEMINFO` gives, and which of them counts drops (`linux/sock_diag.h`).
const MEMINFO_NUMBERS: usize = 9;
const MEMINFO_DROPS: usize = 8;

/// Datagrams that found the receive buffer full since the socket was made; wraps. `None` where the kernel can't say.
pub(crate) fn receive_drops(socket: &impl AsRawFd) -> Option<u32> {
    let mut numbers = [0u32; MEMINFO_NUMBERS];
    let mut length = libc::socklen_t::try_from(size_of_val(&numbers)).ok()?;
    // SAFETY: `numbers` and `length` live through the call, and the kernel writes at most `length` bytes to `numbers`,
    // for which every bit pattern is valid.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    (failed == 0).then(|| numbers.get(MEMINFO_DROPS).copied())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, UdpSocket};

    #[test]
    fn what_does_not_fit_the_receive_buffer_is_counted() {
        let unread = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_eq!(receive_drops(&unread), Some(0));
        socket2::SockRef::from(&unread)
            .set_recv_buffer_size(4096)
            .unwrap();
        for _ in 0..100 {
            unread
                .send_to(&[0; 1200], unread.local_addr().unwrap())
                .unwrap();
        }
        assert!(receive_drops(&unread).unwrap() > 50);
    }
}
