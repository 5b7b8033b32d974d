//! Where packets to an address go: the kernel's route lookup.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

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
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => route.interface = *index,
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => route.next_hop = *gateway,
            RouteAttribute::PrefSource(RouteAddress::Inet(source)) => route.source = Some(*source),
            _ => {}
        }
    }
    (route.interface != 0).then_some(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_local() {
        let route = lookup(&mut Socket::open().unwrap(), Ipv4Addr::LOCALHOST).unwrap();
        assert!(route.local);
        assert_eq!(route.next_hop, Ipv4Addr::LOCALHOST);
    }
}
