//! Where packets to an address go: the kernel's route lookup.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_core::NLM_F_REQUEST;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::Socket;

/// What the kernel answers to "how do I reach this address?"
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Interface that packets leave by.
    pub interface: u32,
    /// Who gets them: the gateway, or the address itself.
    pub next_hop: Ipv4Addr,
    /// The source address the kernel would choose.
    pub source: Option<Ipv4Addr>,
    /// The address is one of this machine's own.
    pub local: bool,
    /// Largest IP packet in bytes, where the route says less than its interface.
    pub mtu: Option<u32>,
}

/// Looks a destination up. An unreachable one is the kernel's error (ENETUNREACH, EHOSTUNREACH).
pub fn lookup(socket: &mut Socket, destination: Ipv4Addr) -> io::Result<Route> {
    let mut question = RouteMessage::default();
    question.header.address_family = AddressFamily::Inet;
    question.header.destination_prefix_length = 32;
    question.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(destination)));
    let answer = socket.request(RouteNetlinkMessage::GetRoute(question), 0)?;
    let route = answer.into_iter().find_map(|message| match message {
        RouteNetlinkMessage::NewRoute(route) => read(&route, destination),
        _ => None,
    });
    route.ok_or_else(|| io::Error::from_raw_os_error(libc::ENETUNREACH))
}

/// Looks many destinations up, in few system calls; none for those that cannot be reached. An
/// error is one of the socket.
pub fn lookup_many(
    socket: &mut Socket,
    destinations: &[Ipv4Addr],
) -> io::Result<Vec<Option<Route>>> {
    let mut routes = Vec::with_capacity(destinations.len());
    for together in destinations.chunks(LOOKUPS_TOGETHER) {
        let first = socket.sequence.wrapping_add(1);
        let mut questions = Vec::with_capacity(together.len() * QUESTION);
        for destination in together {
            socket.sequence = socket.sequence.wrapping_add(1);
            questions.extend_from_slice(&question(*destination, socket.sequence));
        }
        send(&socket.socket, &questions, SendFlags::empty())?;
        let begin = routes.len();
        routes.resize(begin + together.len(), None);
        let mut missing = together.len();
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
                let Some(destination) = together.get(place) else { continue };
                missing -= 1;
                if kind == libc::RTM_NEWROUTE {
                    routes[begin + place] = read_raw(payload, *destination);
                }
            }
        }
    }
    Ok(routes)
}

/// Header, `struct rtmsg` and the attribute of the destination.
const QUESTION: usize = 16 + 12 + 8;
/// Questions sent at once: their answers must fit into the socket's receive buffer together.
const LOOKUPS_TOGETHER: usize = 100;

fn question(destination: Ipv4Addr, sequence: u32) -> [u8; QUESTION] {
    let mut bytes = [0; QUESTION];
    bytes[..4].copy_from_slice(&(QUESTION as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&libc::RTM_GETROUTE.to_ne_bytes());
    bytes[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    bytes[16] = libc::AF_INET as u8;
    bytes[17] = 32;
    bytes[28..30].copy_from_slice(&8u16.to_ne_bytes());
    bytes[30..32].copy_from_slice(&libc::RTA_DST.to_ne_bytes());
    bytes[32..].copy_from_slice(&destination.octets());
    bytes
}

/// Sequence number, type and payload of each message in a datagram.
fn messages(datagram: &[u8]) -> impl Iterator<Item = (u32, u16, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header = rest.first_chunk::<16>()?;
        let field = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        let length = u32::from_ne_bytes(field(0)) as usize;
        let payload = rest.get(16..length)?;
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        Some((u32::from_ne_bytes(field(8)), u16::from_ne_bytes([header[4], header[5]]), payload))
    })
}

/// As [`read`], from the kernel's bytes: `struct rtmsg`, then attributes.
fn read_raw(payload: &[u8], destination: Ipv4Addr) -> Option<Route> {
    let (header, mut rest) = payload.split_first_chunk::<12>()?;
    let kind = header[7];
    if kind != libc::RTN_UNICAST && kind != libc::RTN_LOCAL {
        return None;
    }
    let local = kind == libc::RTN_LOCAL;
    let mut route = Route { interface: 0, next_hop: destination, source: None, local, mtu: None };
    while let Some([a, b, c, d]) = rest.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        let value = rest.get(4..length)?;
        let address = || value.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets));
        match u16::from_ne_bytes([*c, *d]) {
            libc::RTA_OIF => route.interface = u32::from_ne_bytes(*value.first_chunk::<4>()?),
            libc::RTA_GATEWAY => route.next_hop = address()?,
            libc::RTA_PREFSRC => route.source = address(),
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

fn read(message: &RouteMessage, destination: Ipv4Addr) -> Option<Route> {
    let RouteHeader { kind, .. } = message.header;
    if kind != RouteType::Unicast && kind != RouteType::Local {
        return None;
    }
    let mut route = Route {
        interface: 0,
        next_hop: destination,
        source: None,
        local: kind == RouteType::Local,
        mtu: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => route.interface = *index,
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => route.next_hop = *gateway,
            RouteAttribute::PrefSource(RouteAddress::Inet(source)) => route.source = Some(*source),
            RouteAttribute::Metrics(metrics) => {
                route.mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    (route.interface != 0).then_some(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lookups_answer_as_one_does() {
        let addresses: Vec<Ipv4Addr> =
            (0..500).map(|n| Ipv4Addr::from_bits(0x7f00_0001 + (n % 7) * 0x0913_1771)).collect();
        let mut socket = Socket::open().unwrap();
        let many = lookup_many(&mut socket, &addresses).unwrap();
        let one = |address: &Ipv4Addr| lookup(&mut socket, *address).ok();
        assert_eq!(many, addresses.iter().map(one).collect::<Vec<_>>());
        assert!(many[0].is_some_and(|route| route.local));
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
    fn no_answer_panics() {
        let whole = question(Ipv4Addr::LOCALHOST, 7);
        assert_eq!(messages(&whole).map(|one| one.0).collect::<Vec<_>>(), [7]);
        for length in 0..whole.len() {
            assert_eq!(messages(&whole[..length]).count(), 0);
        }
        let mut payload = [0; 24];
        payload[7] = libc::RTN_UNICAST;
        for (length, kind) in [(0, 4), (3, 4), (5, 4), (255, 5), (8, 5), (8, 7)] {
            payload[12] = length;
            payload[14] = kind;
            assert_eq!(read_raw(&payload, Ipv4Addr::LOCALHOST), None);
        }
    }

    #[test]
    fn the_loopback_address_is_local() {
        let route = lookup(&mut Socket::open().unwrap(), Ipv4Addr::LOCALHOST).unwrap();
        assert!(route.local);
        assert_eq!(route.next_hop, Ipv4Addr::LOCALHOST);
    }
}
