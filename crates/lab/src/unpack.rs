//! The far end of tunnels: what arrives packed is unpacked and handed to the kernel, as a tunnel
//! device would. In user space, because not every kernel has such devices.

use std::io::{self, Read};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use edge::tun::Tun;
use model::layer4::Tunnel;
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::{Namespace, run};

const DEVICE: &str = "unpacked";
const IPIP: i32 = 4;
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
    Raw(Socket, Tunnel),
    Udp(UdpSocket),
}

impl Unpacker {
    /// Unpacks these tunnels in a namespace, as they arrive on an interface. The one that unpacked
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
            entrances.push(namespace.enter(|| Entrance::open(*tunnel))??);
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
    fn open(tunnel: Tunnel) -> io::Result<Entrance> {
        let raw = |protocol| -> io::Result<Socket> {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(protocol)))?;
            socket.set_read_timeout(Some(TICK))?;
            Ok(socket)
        };
        match tunnel {
            Tunnel::IpIp => Ok(Entrance::Raw(raw(IPIP)?, tunnel)),
            Tunnel::Gre { .. } => Ok(Entrance::Raw(raw(GRE)?, tunnel)),
            // The kernel looks at the checksum.
            Tunnel::Gue { port, .. } => {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
                socket.set_read_timeout(Some(TICK))?;
                Ok(Entrance::Udp(socket))
            }
        }
    }

    fn run(&self, tun: &Tun, stop: &AtomicBool, counts: &Counts) {
        let mut buffer = vec![0; 1 << 16];
        while !stop.load(Ordering::Relaxed) {
            let received = match self {
                Entrance::Raw(socket, _) => (&*socket).read(&mut buffer),
                Entrance::Udp(socket) => socket.recv(&mut buffer),
            };
            let Ok(length) = received else { continue };
            let inside = match self {
                Entrance::Raw(_, tunnel) => unpack(&buffer[..length], *tunnel),
                Entrance::Udp(_) => unpack_gue(&buffer[..length]),
            };
            let handed = inside.is_some_and(|packet| tun.send(packet).is_ok());
            let count = if handed { &counts.unpacked } else { &counts.refused };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What an IPv4 packet of protocol IPIP or GRE carries.
fn unpack(packet: &[u8], tunnel: Tunnel) -> Option<&[u8]> {
    let header = usize::from(packet.first()? & 15) * 4;
    let rest = packet.get(header..)?;
    match tunnel {
        Tunnel::IpIp => Some(rest),
        Tunnel::Gre { checksum } => unpack_gre(rest, checksum),
        Tunnel::Gue { .. } => None,
    }
}

/// RFC 2784: flags and version, protocol, and with a checksum four bytes more.
fn unpack_gre(rest: &[u8], checksum: bool) -> Option<&[u8]> {
    let flags = if checksum { 0x80 } else { 0 };
    if *rest.first_chunk::<4>()? != [flags, 0, 8, 0] {
        return None;
    }
    if !checksum {
        return rest.get(4..);
    }
    (ones_sum(rest) == 0xffff).then(|| rest.get(8..))?
}

/// Version 0, no options, no flags, and an IPv4 packet.
fn unpack_gue(rest: &[u8]) -> Option<&[u8]> {
    let (head, inside) = rest.split_first_chunk::<4>()?;
    (*head == [0, 4, 0, 0]).then_some(inside)
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
        let plain = [&[0, 0, 8, 0][..], b"packet"].concat();
        assert_eq!(unpack_gre(&plain, false), Some(&b"packet"[..]));
        assert_eq!(unpack_gre(&plain, true), None);
        let mut summed = [&[0x80, 0, 8, 0, 0, 0, 0, 0][..], b"packet"].concat();
        let sum = !ones_sum(&summed);
        summed[4..6].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(unpack_gre(&summed, true), Some(&b"packet"[..]));
        summed[10] ^= 1;
        assert_eq!(unpack_gre(&summed, true), None, "a wrong checksum");
        assert_eq!(unpack_gue(&[&[0, 4, 0, 0][..], b"x"].concat()), Some(&b"x"[..]));
        assert_eq!(unpack_gue(&[0x40, 4, 0, 0]), None, "another version");
        let mut outer = vec![0x46; 24];
        outer.extend(b"inside");
        assert_eq!(unpack(&outer, Tunnel::IpIp), Some(&b"inside"[..]));
        for length in 0..24 {
            assert_eq!(unpack(&outer[..length], Tunnel::IpIp), None, "{length} bytes");
        }
    }
}
