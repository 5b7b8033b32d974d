//! Raw IPv4 sockets for a protocol that speaks by multicast on one link, as VRRP does.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, InterfaceIndexOrAddress, SockAddr, Socket, Type};

/// Longest packet received whole; the longest VRRP version 2 advert has 1,056 bytes.
const PACKET_MAX: usize = 2048;
/// The header that is sent has no options.
const HEADER: usize = 20;
/// Type of service: internetwork control (RFC 791), as routing protocols use.
const INTERNETWORK_CONTROL: u8 = 0xc0;
/// The queueing priority that goes with it (TC_PRIO_CONTROL).
const PRIORITY_CONTROL: u32 = 7;

/// A packet of the link.
#[derive(Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Source address.
    pub source: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// What follows the IP header.
    pub payload: &'a [u8],
}

/// A raw socket of one protocol, bound to one interface and member of one group there.
/// Non-blocking; what it sends is not heard by itself. Needs CAP_NET_RAW.
pub struct LinkSocket {
    socket: Socket,
    protocol: u8,
    group: Ipv4Addr,
    buffer: [u8; PACKET_MAX],
    packet: Vec<u8>,
}

impl LinkSocket {
    /// Opens it on the interface with this name and index.
    pub fn open(protocol: u8, group: Ipv4Addr, name: &str, index: u32) -> io::Result<LinkSocket> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(i32::from(protocol).into()))?;
        socket.set_nonblocking(true)?;
        socket.bind_device(Some(name.as_bytes()))?;
        socket.set_header_included_v4(true)?;
        socket.set_multicast_all_v4(false)?;
        socket.set_multicast_loop_v4(false)?;
        socket.set_priority(PRIORITY_CONTROL)?;
        socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
        let buffer = [0; PACKET_MAX];
        Ok(LinkSocket { socket, protocol, group, buffer, packet: Vec::new() })
    }

    /// Sends to the group, from any address, with a time to live of 255.
    pub fn send(&mut self, source: Ipv4Addr, payload: &[u8]) -> io::Result<()> {
        let length = (HEADER + payload.len()) as u16;
        let mut header = [0; HEADER];
        header[0] = 0x45;
        header[1] = INTERNETWORK_CONTROL;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[8] = 255;
        header[9] = self.protocol;
        header[12..16].copy_from_slice(&source.octets());
        header[16..20].copy_from_slice(&self.group.octets());
        // The kernel fills in identification and checksum (raw(7)).
        self.packet.clear();
        self.packet.extend_from_slice(&header);
        self.packet.extend_from_slice(payload);
        let to = SockAddr::from(SocketAddrV4::new(self.group, 0));
        self.socket.send_to(&self.packet, &to).map(drop)
    }

    /// The next packet that has arrived, if any. Packets to other addresses than the group are
    /// skipped.
    pub fn receive(&mut self) -> io::Result<Option<Packet<'_>>> {
        let count = loop {
            let count = match recv(&self.socket, &mut self.buffer, RecvFlags::DONTWAIT) {
                Ok((_, count)) => count,
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if dissect(&self.buffer[..count], self.group).is_some() {
                break count;
            }
        };
        Ok(dissect(&self.buffer[..count], self.group))
    }
}

impl AsFd for LinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn dissect(packet: &[u8], group: Ipv4Addr) -> Option<Packet<'_>> {
    let header = packet.first_chunk::<HEADER>()?;
    let length = usize::from(header[0] & 15) * 4;
    let address = |at: usize| Some(Ipv4Addr::from(*header[at..].first_chunk::<4>()?));
    if header[0] >> 4 != 4 || length < HEADER || address(16)? != group {
        return None;
    }
    // What lies beyond the packet's own length is padding.
    let total = usize::from(u16::from_be_bytes([header[2], header[3]])).min(packet.len());
    Some(Packet { source: address(12)?, ttl: header[8], payload: packet.get(length..total)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

    #[test]
    fn no_packet_panics_and_padding_is_cut_off() {
        let mut packet = [0u8; 30];
        packet[0] = 0x46;
        packet[3] = 26;
        packet[8] = 255;
        packet[15] = 9;
        packet[16..20].copy_from_slice(&GROUP.octets());
        packet[24..26].copy_from_slice(&[1, 2]);
        let expected = Packet { source: Ipv4Addr::new(0, 0, 0, 9), ttl: 255, payload: &[1, 2] };
        assert_eq!(dissect(&packet, GROUP), Some(expected));
        for length in 0..24 {
            assert_eq!(dissect(&packet[..length], GROUP), None);
        }
        assert_eq!(dissect(&packet, Ipv4Addr::LOCALHOST), None);
        packet[0] = 0x44;
        assert_eq!(dissect(&packet, GROUP), None);
    }
}
