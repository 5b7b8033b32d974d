//! Where the packets of a socket come from: address, interface, firewall mark.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use model::check::Source;
use rustix::net::{
    AddressFamily, Protocol, SocketFlags, SocketType, netdevice, socket_with, sockopt,
};

use crate::sockopt as raw;

/// A new socket for `target`, close-on-exec and non-blocking, bound as `source` says but for the
/// address, which is [`bind`]'s. A mark needs CAP_NET_ADMIN.
pub(super) fn open(
    target: SocketAddr,
    kind: SocketType,
    protocol: Protocol,
    source: &Source,
) -> io::Result<OwnedFd> {
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, kind, flags, Some(protocol))?;
    if let Some(interface) = &source.interface {
        raw::set_bytes(&socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, interface.as_bytes())?;
    }
    if source.mark != 0 {
        raw::set(&socket, libc::SOL_SOCKET, libc::SO_MARK, source.mark.cast_signed())?;
    }
    Ok(socket)
}

/// Connects a socket to `target`. EINPROGRESS means that the end of it is to be waited for.
pub(super) fn connect(socket: &OwnedFd, target: SocketAddr, source: &Source) -> io::Result<()> {
    Ok(rustix::net::connect(socket, &scoped(socket, target, source)?)?)
}

/// A link-local address of IPv6 means nothing without its interface, which is the source's.
fn scoped(socket: &OwnedFd, address: SocketAddr, source: &Source) -> io::Result<SocketAddr> {
    match (address, &source.interface) {
        (SocketAddr::V6(mut address), Some(interface))
            if address.ip().is_unicast_link_local() && address.scope_id() == 0 =>
        {
            address.set_scope_id(netdevice::name_to_index(socket, interface)?);
            Ok(address.into())
        }
        (SocketAddr::V4(_) | SocketAddr::V6(_), _) => Ok(address),
    }
}

/// Binds a socket to the source's address and port.
pub(super) fn bind(socket: &OwnedFd, source: &Source) -> io::Result<()> {
    let Some(address) = source.bind else { return Ok(()) };
    match address.port() {
        // The kernel chooses the port when the socket connects, by the target too: otherwise all
        // targets together could have no more connections than there are ports.
        0 => raw::set(socket, libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?,
        // The last connection's TIME_WAIT, or another probe with this port, must not keep it.
        _ => sockopt::set_socket_reuseaddr(socket, true)?,
    }
    bind_exactly(socket, address, source)
}

/// The same for sockets whose port has a meaning of its own.
pub(super) fn bind_exactly(
    socket: &OwnedFd,
    address: SocketAddr,
    source: &Source,
) -> io::Result<()> {
    Ok(rustix::net::bind(socket, &scoped(socket, address, source)?)?)
}

/// Errors that routers and the target send back (ICMP) are reported by the socket's next read,
/// all of them.
pub(super) fn report_errors(socket: &OwnedFd, target: SocketAddr) -> io::Result<()> {
    match target {
        SocketAddr::V4(_) => raw::set(socket, libc::SOL_IP, libc::IP_RECVERR, 1),
        SocketAddr::V6(_) => raw::set(socket, libc::SOL_IPV6, libc::IPV6_RECVERR, 1),
    }
}
