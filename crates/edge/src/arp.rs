//! Gratuitous ARP: telling a link where an IPv4 address is.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Shortest Ethernet frame, without its check sequence.
const FRAME: usize = 60;

/// An AF_PACKET socket that sends on any interface and receives nothing. Needs CAP_NET_RAW.
pub struct ArpSocket {
    socket: OwnedFd,
}

impl ArpSocket {
    /// Opens it in this thread's network namespace.
    pub fn open() -> io::Result<ArpSocket> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no memory is involved. Protocol 0 receives nothing.
        let socket = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nothing else owns.
        Ok(ArpSocket { socket: unsafe { OwnedFd::from_raw_fd(socket) } })
    }

    /// Announces that `address` is at `mac`, on the interface with this index.
    pub fn announce(&self, interface: u32, mac: [u8; 6], address: Ipv4Addr) -> io::Result<()> {
        let frame = announcement(mac, address);
        // SAFETY: all-zero bytes are a valid sockaddr_ll.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = libc::AF_PACKET as u16;
        to.sll_protocol = (libc::ETH_P_ARP as u16).to_be();
        to.sll_ifindex = interface as i32;
        to.sll_halen = 6;
        to.sll_addr[..6].fill(0xff);
        // SAFETY: frame and address are valid for the lengths given.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                std::ptr::from_ref(&to).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// An ARP announcement (RFC 5227 2.3): a broadcast request whose sender and target are both the
/// address.
fn announcement(mac: [u8; 6], address: Ipv4Addr) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&mac);
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    // Ethernet, IPv4, their lengths, request.
    frame[14..22].copy_from_slice(&[0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&address.octets());
    frame[38..42].copy_from_slice(&address.octets());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_names_the_address_as_sender_and_target() {
        let frame = announcement([2, 0, 0, 0, 0, 7], Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(frame[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 7, 8, 6]);
        assert_eq!(frame[20..32], [0, 1, 2, 0, 0, 0, 0, 7, 10, 0, 0, 1]);
        assert_eq!(frame[32..42], [0, 0, 0, 0, 0, 0, 10, 0, 0, 1]);
        assert_eq!(frame.len(), 60);
    }
}
