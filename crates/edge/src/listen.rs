//! Listening TCP sockets: made by the supervisor, served by the proxy.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel completes before they are accepted; the kernel lowers it to
/// net.core.somaxconn.
const BACKLOG: i32 = 16_384;

/// Binds `count` sockets to one address (SO_REUSEPORT spreads connections over them) and listens
/// on each, non-blocking and close-on-exec.
///
/// `freebind` permits an address that no interface holds yet (IP_FREEBIND). The error of an
/// address somebody else listens on is `AddrInUse`.
pub fn tcp(address: SocketAddr, count: usize, freebind: bool) -> io::Result<Vec<OwnedFd>> {
    if count > 0 {
        // SO_REUSEPORT would share the port with another process of the same user unnoticed.
        drop(bound(address, freebind, false)?);
    }
    tcp_more(address, count, freebind)
}

/// Like [`tcp`] for an address on which sockets made by it listen already.
pub fn tcp_more(address: SocketAddr, count: usize, freebind: bool) -> io::Result<Vec<OwnedFd>> {
    (0..count)
        .map(|_| {
            let socket = bound(address, freebind, true)?;
            socket.listen(BACKLOG)?;
            Ok(OwnedFd::from(socket))
        })
        .collect()
}

fn bound(address: SocketAddr, freebind: bool, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    match address {
        SocketAddr::V4(_) if freebind => socket.set_freebind_v4(true)?,
        SocketAddr::V4(_) => {}
        SocketAddr::V6(_) if freebind => socket.set_freebind_v6(true)?,
        SocketAddr::V6(_) => {}
    }
    // Accepted sockets inherit it, which saves one system call each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn a_port_somebody_else_listens_on_is_refused() {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let error = tcp(other.local_addr().unwrap(), 2, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_address_nobody_holds_needs_freebind() {
        let absent = SocketAddr::from(([198, 51, 100, 77], 40_404));
        assert_eq!(tcp(absent, 1, false).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
        assert_eq!(tcp(absent, 2, true).unwrap().len(), 2);
    }
}
