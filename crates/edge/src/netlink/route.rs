//! Where packets to an address go: the kernel's route lookup.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::NLM_F_REQUEST;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::Socket;
use super::address::family_number;

/// What the kernel answers to "how do I reach this address?"
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Interface that packets leave by.
    pub interface: u32,
    /// Who gets them: the gateway, or the address itself. The gateway of an IPv4 route may have
    /// an IPv6 address (RFC 8950).
    pub next_hop: IpAddr,
    /// The source address the kernel would choose.
    pub source: Option<IpAddr>,
    /// The address is one of this machine's own.
    pub local: bool,
    /// Largest IP packet in bytes, where the route says less than its interface.
    pub mtu: Option<u32>,
}

/// Looks a destination up. An unreachable one is the kernel's error (ENETUNREACH, EHOSTUNREACH).
pub fn lookup(socket: &mut Socket, destination: IpAddr) -> io::Result<Route> {
    lookup_on(socket, destination, 0)
}

/// As [`lookup`], by way of this interface: what a link-local address needs.
pub fn lookup_on(socket: &mut Socket, destination: IpAddr, interface: u32) -> io::Result<Route> {
    let answers = ask(socket, &[destination], interface)?;
    answers[0].map_err(io::Error::from_raw_os_error)
}

/// Looks many destinations up, in few system calls; none for those that cannot be reached. An
/// error is one of the socket.
pub fn lookup_many(socket: &mut Socket, destinations: &[IpAddr]) -> io::Result<Vec<Option<Route>>> {
    let mut routes = Vec::with_capacity(destinations.len());
    for together in destinations.chunks(LOOKUPS_TOGETHER) {
        routes.extend(ask(socket, together, 0)?.into_iter().map(Result::ok));
    }
    Ok(routes)
}

/// The answer to each, or the kernel's errno.
fn ask(
    socket: &mut Socket,
    destinations: &[IpAddr],
    interface: u32,
) -> io::Result<Vec<Result<Route, i32>>> {
    let first = socket.sequence.wrapping_add(1);
    let mut questions = Vec::with_capacity(destinations.len() * QUESTION_MAX);
    for destination in destinations {
        socket.sequence = socket.sequence.wrapping_add(1);
        write_question(&mut questions, *destination, interface, socket.sequence);
    }
    send(&socket.socket, &questions, SendFlags::empty())?;
    let mut answers = vec![Err(libc::ENETUNREACH); destinations.len()];
    let mut missing = destinations.len();
    while missing > 0 {
        let count = match recv(&socket.socket, &mut socket.buffer, RecvFlags::empty()) {
            Ok((_, count)) => count,
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error.into()),
        };
        for (sequence, kind, payload) in messages(&socket.buffer[..count]) {
            let place = sequence.wrapping_sub(first) as usize;
            // Anything else answers an earlier request that timed out.
            let Some(answer) = answers.get_mut(place) else { continue };
            missing = missing.saturating_sub(1);
            *answer = read_answer(kind, payload, destinations[place]);
        }
    }
    Ok(answers)
}

fn read_answer(kind: u16, payload: &[u8], destination: IpAddr) -> Result<Route, i32> {
    if kind == libc::RTM_NEWROUTE {
        return read(payload, destination).ok_or(libc::ENETUNREACH);
    }
    // NLMSG_ERROR: the negative errno.
    let error = payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    Err(if error < 0 { -error } else { libc::ENETUNREACH })
}

const HEADER: usize = 16;
/// Header, `struct rtmsg`, the attributes of an IPv6 destination and of an interface.
const QUESTION_MAX: usize = HEADER + 12 + 20 + 8;
/// Questions sent at once: their answers must fit into the socket's receive buffer together.
const LOOKUPS_TOGETHER: usize = 100;

fn write_question(to: &mut Vec<u8>, destination: IpAddr, interface: u32, sequence: u32) {
    let (v4, v6);
    let address: &[u8] = match destination {
        IpAddr::V4(address) => {
            v4 = address.octets();
            &v4
        }
        IpAddr::V6(address) => {
            v6 = address.octets();
            &v6
        }
    };
    let begin = to.len();
    to.extend_from_slice(&[0; HEADER + 12]);
    to.extend_from_slice(&(4 + address.len() as u16).to_ne_bytes());
    to.extend_from_slice(&libc::RTA_DST.to_ne_bytes());
    to.extend_from_slice(address);
    if interface != 0 {
        to.extend_from_slice(&8u16.to_ne_bytes());
        to.extend_from_slice(&libc::RTA_OIF.to_ne_bytes());
        to.extend_from_slice(&interface.to_ne_bytes());
    }
    let message = &mut to[begin..];
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message[4..6].copy_from_slice(&libc::RTM_GETROUTE.to_ne_bytes());
    message[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    message[8..12].copy_from_slice(&sequence.to_ne_bytes());
    message[HEADER] = family_number(destination);
    message[HEADER + 1] = 8 * address.len() as u8;
}

/// Sequence number, type and payload of each message in a datagram.
fn messages(datagram: &[u8]) -> impl Iterator<Item = (u32, u16, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header = rest.first_chunk::<HEADER>()?;
        let field = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        let length = u32::from_ne_bytes(field(0)) as usize;
        let payload = rest.get(HEADER..length)?;
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        Some((u32::from_ne_bytes(field(8)), u16::from_ne_bytes([header[4], header[5]]), payload))
    })
}

fn read_address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into()),
        _ => None,
    }
}

/// From the kernel's bytes: `struct rtmsg`, then attributes. `None` for what is no way: those that
/// refuse, and multicast.
fn read(payload: &[u8], destination: IpAddr) -> Option<Route> {
    let (header, mut rest) = payload.split_first_chunk::<12>()?;
    let local = match header[7] {
        libc::RTN_UNICAST => false,
        // Of IPv6: an anycast address of this machine.
        libc::RTN_LOCAL | libc::RTN_ANYCAST => true,
        _ => return None,
    };
    let mut route = Route { interface: 0, next_hop: destination, source: None, local, mtu: None };
    while let Some([a, b, c, d]) = rest.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        let value = rest.get(4..length)?;
        match u16::from_ne_bytes([*c, *d]) {
            libc::RTA_OIF => route.interface = u32::from_ne_bytes(*value.first_chunk::<4>()?),
            libc::RTA_GATEWAY => route.next_hop = read_address(value)?,
            // struct rtvia: the family in two bytes, then the address.
            libc::RTA_VIA => route.next_hop = read_address(value.get(2..)?)?,
            libc::RTA_PREFSRC => route.source = read_address(value),
            libc::RTA_METRICS => route.mtu = read_mtu(value),
            _ => {}
        }
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
    (route.interface != 0).then_some(route)
}

/// Metric of a route that bounds its packets. Kernel: linux/rtnetlink.h.
const RTAX_MTU: u16 = 2;

fn read_mtu(mut metrics: &[u8]) -> Option<u32> {
    while let Some([a, b, c, d]) = metrics.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        let value = metrics.get(4..length)?;
        if u16::from_ne_bytes([*c, *d]) == RTAX_MTU {
            return value.first_chunk::<4>().map(|mtu| u32::from_ne_bytes(*mtu));
        }
        metrics = &metrics[length.next_multiple_of(4).min(metrics.len())..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lookups_answer_as_one_does() {
        let mixed = |n: u32| match n % 3 {
            0 => IpAddr::from(Ipv6Addr::from_bits(u128::from(n) % 7 + 1)),
            _ => IpAddr::from(Ipv4Addr::from_bits(0x7f00_0001 + (n % 7) * 0x0913_1771)),
        };
        let addresses: Vec<IpAddr> = (1..500).map(mixed).collect();
        let mut socket = Socket::open().unwrap();
        let many = lookup_many(&mut socket, &addresses).unwrap();
        let one = |address: &IpAddr| lookup(&mut socket, *address).ok();
        assert_eq!(many, addresses.iter().map(one).collect::<Vec<_>>());
        assert!(many[6].is_some_and(|route| route.local), "127.0.0.1");
    }

    #[test]
    fn the_mtu_of_a_route_is_among_its_metrics() {
        // advmss 1460, then mtu 1400.
        let metrics = [[8, 0, 8, 0], 1460u32.to_ne_bytes(), [8, 0, 2, 0], 1400u32.to_ne_bytes()];
        assert_eq!(read_mtu(metrics.as_flattened()), Some(1400));
        for length in 0..16 {
            assert_eq!(read_mtu(&metrics.as_flattened()[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn the_gateway_of_an_ipv4_route_may_have_an_ipv6_address() {
        let gateway: Ipv6Addr = "fe80::1".parse().unwrap();
        let mut payload = vec![0; 12];
        payload[7] = libc::RTN_UNICAST;
        payload.extend([8, 0, 4, 0, 3, 0, 0, 0]);
        payload.extend([22, 0, 18, 0, 10, 0]);
        payload.extend(gateway.octets());
        payload.extend([0; 2]);
        let destination = IpAddr::from([198, 51, 100, 7]);
        let route = read(&payload, destination).unwrap();
        assert_eq!((route.interface, route.next_hop), (3, gateway.into()));
    }

    #[test]
    fn no_answer_panics() {
        let mut whole = Vec::new();
        write_question(&mut whole, Ipv6Addr::LOCALHOST.into(), 3, 7);
        assert_eq!(whole.len(), QUESTION_MAX);
        assert_eq!(messages(&whole).map(|one| one.0).collect::<Vec<_>>(), [7]);
        for length in 0..whole.len() {
            assert_eq!(messages(&whole[..length]).count(), 0);
        }
        let mut payload = [0; 24];
        payload[7] = libc::RTN_UNICAST;
        for (length, kind) in [(0, 4), (3, 4), (5, 4), (255, 5), (8, 5), (8, 7), (5, 18)] {
            payload[12] = length;
            payload[14] = kind;
            assert_eq!(read(&payload, Ipv4Addr::LOCALHOST.into()), None);
        }
    }

    #[test]
    fn the_loopback_addresses_are_local() {
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let route = lookup(&mut Socket::open().unwrap(), address).unwrap();
            assert!(route.local);
            assert_eq!(route.next_hop, address);
        }
    }

    #[test]
    fn what_cannot_be_reached_is_the_kernels_error() {
        let error =
            lookup_on(&mut Socket::open().unwrap(), Ipv4Addr::LOCALHOST.into(), 0x7fff_fff0);
        assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }
}
