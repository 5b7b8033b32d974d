//! UDP sockets that know the TTL or hop limit of every datagram, as BFD needs them (RFC 5881 5).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use model::vrrp::Family;
use socket2::{Domain, Protocol, Socket, Type};

use crate::control::{self, Control};
use crate::raw::unspecified;
use crate::sockopt;

/// Longest datagram received whole.
const DATAGRAM_MAX: usize = 512;
/// Class selector 6, network control, as routing protocols use.
const NETWORK_CONTROL: i32 = 0xc0;
/// Room for what anybody may send to a well-known port, in bytes as the kernel counts them.
const ROOM: i32 = 1 << 20;
/// The queueing priority that goes with it (TC_PRIO_CONTROL).
const PRIORITY_CONTROL: i32 = 7;

/// A datagram as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Its sender.
    pub source: SocketAddr,
    /// The address it was sent to.
    pub destination: IpAddr,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Its content.
    pub payload: &'a [u8],
}

/// A UDP socket of one family. Non-blocking.
pub struct TtlSocket {
    socket: Socket,
    family: Family,
    buffer: Box<[u8; DATAGRAM_MAX]>,
}

impl TtlSocket {
    /// One that hears a port on every address.
    pub fn listen(family: Family, port: u16) -> io::Result<TtlSocket> {
        let socket = TtlSocket::open(family)?;
        // Without the privilege the default has to do.
        let _ = sockopt::set(&socket.socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, ROOM);
        match family {
            Family::Ipv4 => {
                sockopt::set(&socket.socket, libc::IPPROTO_IP, libc::IP_RECVTTL, 1)?;
                sockopt::set(&socket.socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
            }
            Family::Ipv6 => {
                sockopt::set(&socket.socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)?;
                sockopt::set(&socket.socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            }
        }
        socket.socket.bind(&SocketAddr::new(unspecified(family), port).into())?;
        Ok(socket)
    }

    /// One that sends from an address (any, when absent) and the first free of these ports, with
    /// this TTL or hop limit. An address that this machine does not have yet will do; until then
    /// sending fails.
    pub fn speak(
        family: Family,
        source: Option<IpAddr>,
        ports: impl IntoIterator<Item = u16>,
        ttl: u8,
    ) -> io::Result<TtlSocket> {
        let socket = TtlSocket::open(family)?;
        let ttl = i32::from(ttl);
        match family {
            Family::Ipv4 => {
                socket.socket.set_freebind_v4(true)?;
                sockopt::set(&socket.socket, libc::IPPROTO_IP, libc::IP_TTL, ttl)?;
                sockopt::set(&socket.socket, libc::IPPROTO_IP, libc::IP_TOS, NETWORK_CONTROL)?;
            }
            Family::Ipv6 => {
                let level = libc::IPPROTO_IPV6;
                socket.socket.set_freebind_v6(true)?;
                sockopt::set(&socket.socket, level, libc::IPV6_UNICAST_HOPS, ttl)?;
                sockopt::set(&socket.socket, level, libc::IPV6_TCLASS, NETWORK_CONTROL)?;
            }
        }
        let level = libc::SOL_SOCKET;
        sockopt::set(&socket.socket, level, libc::SO_PRIORITY, PRIORITY_CONTROL)?;
        let address = source.unwrap_or_else(|| unspecified(family));
        let mut last = io::ErrorKind::AddrInUse.into();
        for port in ports {
            match socket.socket.bind(&SocketAddr::new(address, port).into()) {
                Ok(()) => return Ok(socket),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn open(family: Family) -> io::Result<TtlSocket> {
        let domain = match family {
            Family::Ipv4 => Domain::IPV4,
            Family::Ipv6 => Domain::IPV6,
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if family == Family::Ipv6 {
            socket.set_only_v6(true)?;
        }
        Ok(TtlSocket { socket, family, buffer: Box::new([0; DATAGRAM_MAX]) })
    }

    /// The port it is bound to.
    pub fn port(&self) -> io::Result<u16> {
        let address = self.socket.local_addr()?;
        Ok(address.as_socket().map_or(0, |address| address.port()))
    }

    /// Sends a datagram; never waits.
    pub fn send(&self, to: SocketAddr, payload: &[u8]) -> io::Result<()> {
        self.socket.send_to(payload, &to.into()).map(drop)
    }

    /// The next datagram that has arrived, if any. Longer ones than 512 bytes are skipped.
    pub fn receive(&mut self) -> io::Result<Option<Datagram<'_>>> {
        let mut space = control::Space::new();
        // SAFETY: all-zero bytes are a valid sockaddr_in6.
        let mut name: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
        let socket = self.socket.as_raw_fd();
        let length = loop {
            match control::receive(socket, &mut self.buffer[..], &mut name, &mut space)? {
                Some((length, false)) => break length,
                Some((_, true)) => {}
                None => return Ok(None),
            }
        };
        let source = source(self.family, &name);
        let (destination, ttl) = (unspecified(self.family), 0);
        let payload = &self.buffer[..length];
        let mut datagram = Datagram { source, destination, ttl, payload };
        for control in space.iter() {
            match control {
                Control::Stamp(_) => {}
                Control::Destination(destination) => datagram.destination = destination,
                Control::Hops(ttl) => datagram.ttl = ttl,
            }
        }
        Ok(Some(datagram))
    }
}

/// The sender's address: a sockaddr_in has port and address where a sockaddr_in6 has port and
/// flow label.
fn source(family: Family, name: &libc::sockaddr_in6) -> SocketAddr {
    let port = u16::from_be(name.sin6_port);
    match family {
        Family::Ipv4 => (name.sin6_flowinfo.to_ne_bytes(), port).into(),
        Family::Ipv6 => (name.sin6_addr.s6_addr, port).into(),
    }
}

impl AsFd for TtlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn a_datagram_tells_its_ttl_and_where_it_was_sent() {
        for (family, address) in [
            (Family::Ipv4, IpAddr::V4(Ipv4Addr::LOCALHOST)),
            (Family::Ipv6, IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ] {
            let mut listener = TtlSocket::listen(family, 0).unwrap();
            let port = listener.port().unwrap();
            let speaker = TtlSocket::speak(family, Some(address), 49_152..=65_535, 254).unwrap();
            speaker.send((address, port).into(), b"hello").unwrap();
            let datagram = loop {
                if let Some(datagram) = listener.receive().unwrap() {
                    break datagram;
                }
            };
            assert_eq!((datagram.source.ip(), datagram.destination), (address, address));
            assert!(datagram.source.port() >= 49_152);
            assert_eq!((datagram.ttl, datagram.payload), (254, &b"hello"[..]));
            assert!(listener.receive().unwrap().is_none());
        }
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let address = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let first = TtlSocket::speak(Family::Ipv4, address, 50_000..=65_535, 255).unwrap();
        let taken = first.port().unwrap();
        let second = TtlSocket::speak(Family::Ipv4, address, taken..=65_535, 255).unwrap();
        assert!(second.port().unwrap() > taken);
        assert!(TtlSocket::speak(Family::Ipv4, address, [taken], 255).is_err());
    }
}
