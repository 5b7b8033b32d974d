//! ARP requests for next hops, and the answers. The kernel hears the answers too and corrects its
//! neighbour entries by them; this socket only sees them sooner.

use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use crate::netlink::neighbour::Mac;

const ETHERTYPE_ARP: u16 = 0x0806;
const FRAME: usize = 42;
const BROADCAST: Mac = [0xff; 6];
const OPERATION_REQUEST: u16 = 1;
const OPERATION_REPLY: u16 = 2;

/// A packet socket for ARP on every interface of this network namespace.
pub struct ProbeSocket {
    socket: Socket,
}

/// Who is asked, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Interface to ask on.
    pub interface: u32,
    /// That interface's MAC address.
    pub from_mac: Mac,
    /// An address of ours, for the answer.
    pub from: Ipv4Addr,
    /// The address that is looked for.
    pub target: Ipv4Addr,
    /// The MAC address it had: asked there only. `None` asks everyone.
    pub target_mac: Option<Mac>,
}

/// An answer, or a gratuitous announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Interface it came in by.
    pub interface: u32,
    /// Whose it is.
    pub address: Ipv4Addr,
    /// The MAC address it has.
    pub mac: Mac,
}

impl ProbeSocket {
    /// Opens it, non-blocking. Needs CAP_NET_RAW.
    pub fn open() -> io::Result<ProbeSocket> {
        let protocol = Protocol::from(i32::from(ETHERTYPE_ARP.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        Ok(ProbeSocket { socket })
    }

    /// Sends one request.
    pub fn send(&self, probe: &Probe) -> io::Result<()> {
        self.socket.send_to(&request(probe), &packet_address(probe.interface)).map(drop)
    }

    /// The next answer that has arrived; `None` when there is none now.
    pub fn receive(&self) -> io::Result<Option<Answer>> {
        let mut frame = [MaybeUninit::uninit(); 128];
        loop {
            let (count, from) = match self.socket.recv_from(&mut frame) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut bytes = [0; 128];
            for (to, from) in bytes.iter_mut().zip(&frame[..count]) {
                // SAFETY: the kernel has initialised the first `count` bytes.
                *to = unsafe { from.assume_init() };
            }
            if let Some((address, mac)) = read_answer(&bytes[..count]) {
                return Ok(Some(Answer { interface: interface_of(&from), address, mac }));
            }
        }
    }
}

impl AsFd for ProbeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn packet_address(interface: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: a sockaddr_ll fits the storage and any bytes are a valid one.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ETHERTYPE_ARP.to_be();
    address.sll_ifindex = interface as i32;
    // SAFETY: the storage holds a sockaddr_ll, whose length this is.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}

fn interface_of(address: &SockAddr) -> u32 {
    // SAFETY: an address received on a packet socket is a sockaddr_ll, and the storage behind it
    // is larger than that.
    unsafe { (*address.as_ptr().cast::<libc::sockaddr_ll>()).sll_ifindex as u32 }
}

fn request(probe: &Probe) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..6].copy_from_slice(&probe.target_mac.unwrap_or(BROADCAST));
    frame[6..12].copy_from_slice(&probe.from_mac);
    frame[12..14].copy_from_slice(&ETHERTYPE_ARP.to_be_bytes());
    frame[14..20].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
    frame[20..22].copy_from_slice(&OPERATION_REQUEST.to_be_bytes());
    frame[22..28].copy_from_slice(&probe.from_mac);
    frame[28..32].copy_from_slice(&probe.from.octets());
    frame[38..42].copy_from_slice(&probe.target.octets());
    frame
}

fn read_answer(frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let arp = frame.get(14..FRAME)?;
    if arp[..6] != [0, 1, 8, 0, 6, 4] || arp[6..8] != OPERATION_REPLY.to_be_bytes() {
        return None;
    }
    let address: [u8; 4] = arp[14..18].try_into().ok()?;
    Some((Ipv4Addr::from(address), arp[8..14].try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_to_our_request_names_address_and_mac() {
        let probe = Probe {
            interface: 2,
            from_mac: [2; 6],
            from: Ipv4Addr::new(10, 0, 0, 1),
            target: Ipv4Addr::new(10, 0, 0, 9),
            target_mac: None,
        };
        let mut frame = request(&probe);
        assert_eq!(read_answer(&frame), None, "a request is no answer");
        frame[21] = 2;
        frame[22..28].copy_from_slice(&[9; 6]);
        frame[28..32].copy_from_slice(&[10, 0, 0, 9]);
        assert_eq!(read_answer(&frame), Some((Ipv4Addr::new(10, 0, 0, 9), [9; 6])));
        assert_eq!(read_answer(&frame[..40]), None, "cut short");
    }
}
