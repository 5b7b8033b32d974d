//! A tun device: IP packets that this process writes arrive at the kernel as if from a network, and
//! what the kernel sends there can be read; and what the far ends of tunnels need besides.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use crate::sockopt;

/// Interface names have at most this many bytes, and a zero.
const NAME_MAX: usize = libc::IFNAMSIZ - 1;

/// An open device. It is gone when this is dropped.
#[derive(Debug)]
pub struct Tun {
    file: File,
}

/// `struct ifreq` as TUNSETIFF reads it.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: i16,
    unused: [u8; 22],
}

impl Tun {
    /// Makes the device in the network namespace of the calling thread, without addresses and
    /// down. Needs CAP_NET_ADMIN; an error where /dev/net/tun is missing or the name too long.
    pub fn open(name: &str) -> io::Result<Tun> {
        if name.len() > NAME_MAX {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
        let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
        let mut request = Request { name: [0; libc::IFNAMSIZ], flags, unused: [0; 22] };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, which `Request` is in size and
        // layout, and it lives until the call returns.
        let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Tun { file })
    }

    /// Hands the kernel one IP packet. An error where it cannot be one, or the device is down.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        (&self.file).write_all(packet)
    }

    /// Waits for a packet that the kernel sends there; what does not fit is cut off.
    pub fn receive(&self, packet: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(packet)
    }
}

/// `UDP_NO_CHECK6_RX`. Kernel: linux/udp.h.
const UDP_NO_CHECK6_RX: i32 = 102;

/// Lets a socket take datagrams over IPv6 without a checksum, as tunnels send them (RFC 6935).
pub fn take_without_checksum(socket: &UdpSocket) -> io::Result<()> {
    sockopt::set(socket, libc::IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_too_long_is_refused() {
        let error = Tun::open("sixteen-letters-").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
    }
}
