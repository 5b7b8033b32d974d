//! Receiving.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use model::Time;
use model::vrrp::Family;

use super::{SOCKET_BUFFER, ipv4};
use crate::control::{self, Control};
use crate::{clock, sockopt};

/// Longest packet received whole: an advert of 255 IPv6 addresses has 4,088 bytes, and an
/// authentication trailer.
const PACKET_MAX: usize = 8192;

/// A packet as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Source address.
    pub source: IpAddr,
    /// Where it was sent.
    pub destination: IpAddr,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// The whole IPv4 header; empty for IPv6.
    pub ipv4_header: &'a [u8],
    /// What follows the IP header.
    pub payload: &'a [u8],
    /// When the kernel received it. Not after the present, and not before everything that arrived
    /// earlier was read, whatever became of the wall clock meanwhile.
    pub arrived: Time,
}

/// A raw socket that hears one protocol of one family, on one interface, in one routing domain,
/// or everywhere. Non-blocking. Needs CAP_NET_RAW.
pub struct Receiver {
    socket: OwnedFd,
    family: Family,
    buffer: Box<[u8; PACKET_MAX]>,
    /// When nothing waited in it last: what comes after has arrived since.
    empty: Time,
}

impl Receiver {
    /// Opens it. `device` is the name of an interface or of a VRF. It hears what is sent to this
    /// machine's own addresses; groups are [joined](Self::join).
    pub fn open(family: Family, protocol: u8, device: Option<&str>) -> io::Result<Receiver> {
        let domain = match family {
            Family::Ipv4 => libc::AF_INET,
            Family::Ipv6 => libc::AF_INET6,
        };
        let socket = sockopt::socket(domain, libc::SOCK_RAW, protocol.into())?;
        if let Some(device) = device {
            let name = device.as_bytes();
            sockopt::set_bytes(&socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name)?;
        }
        sockopt::set(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        sockopt::set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, SOCKET_BUFFER)?;
        match family {
            Family::Ipv4 => {
                sockopt::set(&socket, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 0)?;
            }
            Family::Ipv6 => {
                sockopt::set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_ALL, 0)?;
                sockopt::set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
                sockopt::set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)?;
            }
        }
        let buffer = Box::new([0; PACKET_MAX]);
        Ok(Receiver { socket, family, buffer, empty: clock::now() })
    }

    /// Joins a group on an interface. One that is joined already stays.
    pub fn join(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        match self.membership(group, interface, true) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => Ok(()),
            done => done,
        }
    }

    /// Leaves a group on an interface.
    pub fn leave(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        self.membership(group, interface, false)
    }

    fn membership(&self, group: IpAddr, interface: u32, member: bool) -> io::Result<()> {
        let index = interface.to_ne_bytes();
        match group {
            IpAddr::V4(group) => {
                // ip_mreqn: group, address of the interface, its index.
                let mut request = [0; 12];
                request[..4].copy_from_slice(&group.octets());
                request[8..].copy_from_slice(&index);
                let option =
                    if member { libc::IP_ADD_MEMBERSHIP } else { libc::IP_DROP_MEMBERSHIP };
                sockopt::set_bytes(&self.socket, libc::IPPROTO_IP, option, &request)
            }
            IpAddr::V6(group) => {
                // ipv6_mreq: group, index of the interface.
                let mut request = [0; 20];
                request[..16].copy_from_slice(&group.octets());
                request[16..].copy_from_slice(&index);
                let option =
                    if member { libc::IPV6_ADD_MEMBERSHIP } else { libc::IPV6_DROP_MEMBERSHIP };
                sockopt::set_bytes(&self.socket, libc::IPPROTO_IPV6, option, &request)
            }
        }
    }

    /// The next packet that has arrived, if any. Malformed ones are skipped. It does not
    /// allocate.
    pub fn receive(&mut self) -> io::Result<Option<Packet<'_>>> {
        let (length, meta) = loop {
            let Some((length, meta)) = self.next()? else { return Ok(None) };
            let whole = match self.family {
                Family::Ipv4 => ipv4::dissect(&self.buffer[..length]).is_some(),
                Family::Ipv6 => true,
            };
            if whole {
                break (length, meta);
            }
        };
        let bytes = &self.buffer[..length];
        Ok(match self.family {
            Family::Ipv4 => ipv4::dissect(bytes).map(|parts| Packet {
                source: IpAddr::V4(parts.source),
                destination: IpAddr::V4(parts.destination),
                ttl: parts.header[8],
                ipv4_header: parts.header,
                payload: parts.payload,
                arrived: meta.arrived,
            }),
            Family::Ipv6 => Some(Packet {
                source: IpAddr::V6(meta.source),
                destination: IpAddr::V6(meta.destination),
                ttl: meta.hops,
                ipv4_header: &[],
                payload: bytes,
                arrived: meta.arrived,
            }),
        })
    }

    /// Length of the next packet in the buffer, and what came beside it.
    fn next(&mut self) -> io::Result<Option<(usize, Meta)>> {
        loop {
            // SAFETY: all-zero bytes are a valid sockaddr_in6.
            let mut name: libc::sockaddr_in6 = unsafe { MaybeUninit::zeroed().assume_init() };
            let mut space = control::Space::new();
            let before = clock::now();
            let received = control::receive(
                self.socket.as_raw_fd(),
                &mut self.buffer[..],
                &mut name,
                &mut space,
            );
            match received {
                Ok(Some((length, false))) => {
                    let mut meta = Meta::of(self.family, &name, &space);
                    meta.arrived = meta.arrived.max(self.empty);
                    return Ok(Some((length, meta)));
                }
                // Cut off: longer than any advert.
                Ok(Some((_, true))) => {}
                Ok(None) => {
                    self.empty = before;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What the kernel tells beside a packet; the addresses are those of IPv6 only.
struct Meta {
    arrived: Time,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hops: u8,
}

impl Meta {
    fn of(family: Family, name: &libc::sockaddr_in6, space: &control::Space) -> Meta {
        let source = match family {
            Family::Ipv4 => Ipv6Addr::UNSPECIFIED,
            Family::Ipv6 => Ipv6Addr::from(name.sin6_addr.s6_addr),
        };
        let (destination, hops) = (Ipv6Addr::UNSPECIFIED, 0);
        let mut meta = Meta { arrived: clock::now(), source, destination, hops };
        for control in space.iter() {
            match control {
                Control::Stamp(stamp) => meta.arrived = clock::from_wall(stamp),
                Control::Destination(IpAddr::V6(destination)) => meta.destination = destination,
                Control::Destination(IpAddr::V4(_)) => {}
                Control::Hops(hops) => meta.hops = hops,
            }
        }
        meta
    }
}

/// The unspecified address of a family.
pub(crate) fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
