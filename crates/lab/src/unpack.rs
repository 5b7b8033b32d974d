//! The far end of tunnels: what arrives packed is unpacked and handed to the kernel, as a tunnel
//! device would. In user space, because not every kernel has such devices.

use std::io::{self, Read};
use std::net::{Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use edge::tun::{Tun, take_without_checksum};
use model::layer4::Tunnel;
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::{Namespace, run};

const DEVICE: &str = "unpacked";
/// IPv4 in something.
const IPIP: i32 = 4;
/// IPv6 in something.
const IPV6: i32 = 41;
const GRE: i32 = 47;
/// How soon a thread sees that it is to end.
const TICK: Duration = Duration::from_millis(50);

/// Unpacks until it is dropped.
pub struct Unpacker {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    unpacked: AtomicU64,
    refused: AtomicU64,
}

/// Where packed packets arrive.
enum Entrance {
    /// The packet around them is one of IPv4, whose header is read along.
    Raw4(Socket, Tunnel),
    /// It is one of IPv6, whose header is not.
    Raw6(Socket, Tunnel),
    /// It is of either family.
    Udp(UdpSocket),
}

impl Unpacker {
    /// Unpacks these tunnels in a namespace, as they arrive on an interface, whatever family is
    /// inside and outside. The one that unpacked
    /// packets come in by does not ask whether answers would leave by it.
    pub fn start(
        namespace: &Namespace,
        interface: &str,
        tunnels: &[Tunnel],
    ) -> io::Result<Unpacker> {
        // It would join packets inside their tunnels, and leave checksums to be completed that
        // nobody completes here.
        run(namespace.command("ethtool").args(["-K", interface, "gro", "off"]))?;
        let tun = Arc::new(namespace.enter(|| Tun::open(DEVICE))??);
        namespace.ip(&format!("link set {DEVICE} up"))?;
        for interface in ["all", DEVICE] {
            namespace.sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "0")?;
        }
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let mut entrances = Vec::new();
        for tunnel in tunnels {
            entrances.extend(namespace.enter(|| Entrance::open(*tunnel))??);
        }
        let unpack = |entrance: Entrance| {
            let (tun, stop, counts) = (tun.clone(), stop.clone(), counts.clone());
            thread::spawn(move || entrance.run(&tun, &stop, &counts))
        };
        let threads = entrances.into_iter().map(unpack).collect();
        Ok(Unpacker { stop, counts, threads })
    }

    /// Packets that were handed to the kernel.
    pub fn unpacked(&self) -> u64 {
        self.counts.unpacked.load(Ordering::Relaxed)
    }

    /// Packets that were none, or whose checksum was wrong.
    pub fn refused(&self) -> u64 {
        self.counts.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Unpacker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Entrance {
    fn open(tunnel: Tunnel) -> io::Result<Vec<Entrance>> {
        let raw = |domain, protocol| -> io::Result<Socket> {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(protocol)))?;
            socket.set_read_timeout(Some(TICK))?;
            Ok(socket)
        };
        let protocols: &[i32] = match tunnel {
            Tunnel::IpIp => &[IPIP, IPV6],
            Tunnel::Gre { .. } => &[GRE],
            // The kernel looks at the checksum.
            Tunnel::Gue { port, .. } => {
                let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?;
                take_without_checksum(&socket)?;
                socket.set_read_timeout(Some(TICK))?;
                return Ok(vec![Entrance::Udp(socket)]);
            }
        };
        let mut entrances = Vec::new();
        for protocol in protocols {
            entrances.push(Entrance::Raw4(raw(Domain::IPV4, *protocol)?, tunnel));
            entrances.push(Entrance::Raw6(raw(Domain::IPV6, *protocol)?, tunnel));
        }
        Ok(entrances)
    }

    fn run(&self, tun: &Tun, stop: &AtomicBool, counts: &Counts) {
        let mut buffer = vec![0; 1 << 16];
        while !stop.load(Ordering::Relaxed) {
            let received = match self {
                Entrance::Raw4(socket, _) | Entrance::Raw6(socket, _) => {
                    (&*socket).read(&mut buffer)
                }
                Entrance::Udp(socket) => socket.recv(&mut buffer),
            };
            let Ok(length) = received else { continue };
            let inside = match self {
                Entrance::Raw4(_, tunnel) => {
                    behind_header(&buffer[..length]).and_then(|rest| unpack(rest, *tunnel))
                }
                Entrance::Raw6(_, tunnel) => unpack(&buffer[..length], *tunnel),
                Entrance::Udp(_) => unpack_gue(&buffer[..length]),
            };
            let handed = inside.is_some_and(|packet| tun.send(packet).is_ok());
            let count = if handed { &counts.unpacked } else { &counts.refused };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What follows the header of an IPv4 packet.
fn behind_header(packet: &[u8]) -> Option<&[u8]> {
    packet.get(usize::from(packet.first()? & 15) * 4..)
}

/// What a packet of a tunnel carries, without its IP header.
fn unpack(rest: &[u8], tunnel: Tunnel) -> Option<&[u8]> {
    match tunnel {
        Tunnel::IpIp => Some(rest),
        Tunnel::Gre { checksum } => unpack_gre(rest, checksum),
        Tunnel::Gue { .. } => None,
    }
}

/// Whether it begins as an IP packet of this version.
fn is_of_version(packet: &[u8], version: u8) -> bool {
    packet.first().is_some_and(|first| first >> 4 == version)
}

/// RFC 2784: flags and version, protocol, and with a checksum four bytes more.
fn unpack_gre(rest: &[u8], checksum: bool) -> Option<&[u8]> {
    let flags = if checksum { 0x80 } else { 0 };
    let (version, length) = match rest.first_chunk::<4>()? {
        [first, 0, 0x08, 0x00] if *first == flags => (4, 4),
        [first, 0, 0x86, 0xdd] if *first == flags => (6, 4),
        _ => return None,
    };
    let length = if checksum { length + 4 } else { length };
    if checksum && ones_sum(rest) != 0xffff {
        return None;
    }
    rest.get(length..).filter(|inside| is_of_version(inside, version))
}

/// Version 0, no options, no flags, and an IP packet.
fn unpack_gue(rest: &[u8]) -> Option<&[u8]> {
    let (head, inside) = rest.split_first_chunk::<4>()?;
    let version = match head {
        [0, 4, 0, 0] => 4,
        [0, 41, 0, 0] => 6,
        _ => return None,
    };
    Some(inside).filter(|inside| is_of_version(inside, version))
}

/// RFC 1071.
fn ones_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_packed_as_said_is_unpacked() {
        for (ethertype, protocol, inside) in
            [([8, 0], 4, &b"\x45packet"[..]), ([0x86, 0xdd], 41, &b"\x60packet"[..])]
        {
            let plain = [&[0, 0][..], &ethertype, inside].concat();
            assert_eq!(unpack_gre(&plain, false), Some(inside));
            assert_eq!(unpack_gre(&plain, true), None);
            let mut summed = [&[0x80, 0][..], &ethertype, &[0; 4], inside].concat();
            let sum = !ones_sum(&summed);
            summed[4..6].copy_from_slice(&sum.to_be_bytes());
            assert_eq!(unpack_gre(&summed, true), Some(inside));
            summed[10] ^= 1;
            assert_eq!(unpack_gre(&summed, true), None, "a wrong checksum");
            assert_eq!(unpack_gue(&[&[0, protocol, 0, 0], inside].concat()), Some(inside));
        }
        assert_eq!(unpack_gue(b"\x40\x04\0\0\x45"), None, "another version");
        assert_eq!(unpack_gue(b"\0\x29\0\0\x45"), None, "not what it says");
        assert_eq!(unpack_gre(b"\0\0\x86\xdd\x45", false), None, "not what it says");
        let mut outer = vec![0x46; 24];
        outer.extend(b"inside");
        assert_eq!(behind_header(&outer), Some(&b"inside"[..]));
        for length in 0..24 {
            assert_eq!(behind_header(&outer[..length]), None, "{length} bytes");
        }
    }
}
