//! Sending.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::OwnedFd;

use super::{INTERNETWORK_CONTROL, PRIORITY_CONTROL, SOCKET_BUFFER, ipv4};
use crate::batch::{Address, Batch, Control, HEAD_MAX, Message};
use crate::sockopt;

/// A packet to send. Both addresses are of one family; IPv6 packets carry the protocol that the
/// sender was opened with.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Index of the interface it leaves by; zero for the one that the route names.
    pub interface: u32,
    /// Source address; any, also one that is not ours.
    pub source: IpAddr,
    /// Destination, multicast or unicast.
    pub destination: IpAddr,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Protocol number, of IPv4 packets.
    pub protocol: u8,
    /// Identification of an IPv4 packet; zero for one that the kernel chooses.
    pub id: u16,
    /// What follows the IP header.
    pub payload: &'a [u8],
}

/// Sends packets of one protocol on any interface, and receives none. What it sends is not heard
/// by this machine. Needs CAP_NET_RAW and CAP_NET_ADMIN.
pub struct Sender {
    v4: OwnedFd,
    /// Absent where the kernel has no IPv6.
    v6: Option<OwnedFd>,
    batch: Batch,
}

impl Sender {
    /// Opens it in this thread's network namespace.
    pub fn open(protocol: u8) -> io::Result<Sender> {
        // IPPROTO_RAW: we write the header, and receive nothing.
        let v4 = sockopt::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
        sockopt::set(&v4, libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP, 0)?;
        prepare(&v4)?;
        let v6 = match sockopt::socket(libc::AF_INET6, libc::SOCK_RAW, protocol.into()) {
            Ok(v6) => Some(v6),
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(error) => return Err(error),
        };
        if let Some(v6) = &v6 {
            prepare_v6(v6)?;
        }
        Ok(Sender { v4, v6, batch: Batch::new() })
    }

    /// Sends packets, all of one family with one system call (and one more for every 512). It
    /// never waits and never allocates; `failed` hears the number of each packet that was not
    /// sent.
    pub fn send<'a>(
        &mut self,
        packets: impl Iterator<Item = Outgoing<'a>> + Clone,
        mut failed: impl FnMut(usize, io::Error),
    ) {
        let numbered = packets.enumerate();
        let v4 = numbered.clone().filter_map(|(number, packet)| Some((number, v4(&packet)?)));
        self.batch.send(&self.v4, v4, &mut failed);
        match &self.v6 {
            Some(socket) => {
                let v6 = numbered.filter_map(|(number, packet)| Some((number, v6(&packet)?)));
                self.batch.send(socket, v6, &mut failed);
            }
            None => numbered.filter(|(_, packet)| packet.destination.is_ipv6()).for_each(
                |(number, _)| failed(number, io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
            ),
        }
    }
}

fn prepare(socket: &OwnedFd) -> io::Result<()> {
    sockopt::set(socket, libc::SOL_SOCKET, libc::SO_PRIORITY, PRIORITY_CONTROL)?;
    sockopt::set(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, SOCKET_BUFFER)
}

fn prepare_v6(socket: &OwnedFd) -> io::Result<()> {
    prepare(socket)?;
    sockopt::set(socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, 0)?;
    let class = INTERNETWORK_CONTROL.into();
    sockopt::set(socket, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, class)?;
    // A virtual MAC interface sends with the address of the interface it stands on.
    sockopt::set(socket, libc::IPPROTO_IPV6, libc::IPV6_FREEBIND, 1)?;
    receive_nothing(socket)
}

/// Attaches a filter that lets nothing in: `ret #0`.
fn receive_nothing(socket: &OwnedFd) -> io::Result<()> {
    let mut refuse = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &mut refuse };
    // SAFETY: sock_fprog is plain data; the filter it points to lives until the call returns.
    let bytes = unsafe {
        std::slice::from_raw_parts(
            std::ptr::from_ref(&program).cast::<u8>(),
            size_of::<libc::sock_fprog>(),
        )
    };
    sockopt::set_bytes(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, bytes)
}

fn v4<'a>(packet: &Outgoing<'a>) -> Option<Message<'a>> {
    let Outgoing { interface, source, destination, ttl, protocol, id, payload } = *packet;
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else { return None };
    let header = ipv4::header(source, destination, ttl, protocol, id, payload.len());
    let mut head = [0; HEAD_MAX];
    head[..ipv4::HEADER].copy_from_slice(&header);
    Some(Message {
        head,
        head_length: ipv4::HEADER,
        payload,
        to: Address::V4(destination),
        control: if interface == 0 { Control::Nothing } else { Control::V4 { interface } },
    })
}

fn v6<'a>(packet: &Outgoing<'a>) -> Option<Message<'a>> {
    let Outgoing { interface, source, destination, ttl, payload, .. } = *packet;
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (source, destination) else { return None };
    let scope = if is_of_one_link(destination) { interface } else { 0 };
    Some(Message {
        head: [0; HEAD_MAX],
        head_length: 0,
        payload,
        to: Address::V6(destination, scope),
        control: Control::V6 { source, interface, hops: ttl },
    })
}

/// A link-local address, unicast or multicast (RFC 4291 2.5.6, 2.7).
fn is_of_one_link(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local() || (address.is_multicast() && address.octets()[1] & 15 == 2)
}
