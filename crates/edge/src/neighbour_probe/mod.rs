//! Questions to next hops about their MAC addresses, by ARP (RFC 826) or neighbour discovery
//! (RFC 4861), and the answers. The kernel hears the answers too and corrects its neighbour
//! entries by them; these sockets only see them sooner.

mod arp;
mod nd;
mod packets;

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use self::packets::PacketSocket;
use crate::netlink::neighbour::Mac;

/// Packet sockets for both protocols on every interface of this network namespace.
pub struct ProbeSockets {
    arp: PacketSocket,
    nd: PacketSocket,
}

/// Who is asked, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Interface to ask on.
    pub interface: u32,
    /// That interface's MAC address.
    pub from_mac: Mac,
    /// An address of ours, for the answer; of the target's family.
    pub from: IpAddr,
    /// The address that is looked for.
    pub target: IpAddr,
    /// The MAC address it had: asked there only. `None` asks everyone.
    pub target_mac: Option<Mac>,
}

/// An answer, or an announcement that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Interface it came in by.
    pub interface: u32,
    /// Whose it is.
    pub address: IpAddr,
    /// The MAC address it has.
    pub mac: Mac,
    /// It counts for more than what was known before. Not so the answer of a neighbour that
    /// speaks in another one's place (RFC 4861 section 7.2.8).
    pub overrides: bool,
}

impl ProbeSockets {
    /// Opens them, non-blocking. Needs CAP_NET_RAW.
    pub fn open() -> io::Result<ProbeSockets> {
        let nd = PacketSocket::open(nd::ETHERTYPE, &nd::ADVERTISEMENTS)?;
        Ok(ProbeSockets { arp: PacketSocket::open(arp::ETHERTYPE, &[])?, nd })
    }

    /// Sends one question.
    ///
    /// # Errors
    /// The kernel's; InvalidInput when the two addresses are of different families.
    pub fn send(&self, probe: &Probe) -> io::Result<()> {
        let Probe { interface, from_mac, target_mac, .. } = *probe;
        match (probe.from, probe.target) {
            (IpAddr::V4(from), IpAddr::V4(target)) => {
                self.arp.send(&arp::request(from_mac, from, target, target_mac), interface)
            }
            (IpAddr::V6(from), IpAddr::V6(target)) => {
                self.nd.send(&nd::solicitation(from_mac, from, target, target_mac), interface)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                Err(ErrorKind::InvalidInput.into())
            }
        }
    }

    /// The next answer that has arrived; `None` when there is none now.
    pub fn receive(&self) -> io::Result<Option<Answer>> {
        let arp = next(&self.arp, |frame, interface| {
            let (address, mac) = arp::read_answer(frame)?;
            Some(Answer { interface, address: address.into(), mac, overrides: true })
        })?;
        if arp.is_some() {
            return Ok(arp);
        }
        next(&self.nd, |frame, interface| {
            let (address, mac, overrides) = nd::read_advertisement(frame)?;
            Some(Answer { interface, address: address.into(), mac, overrides })
        })
    }

    /// Readable when [`receive`](Self::receive) may have something.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.arp.as_fd(), self.nd.as_fd()]
    }
}

/// The next frame that is an answer.
fn next(
    socket: &PacketSocket,
    read: impl Fn(&[u8], u32) -> Option<Answer>,
) -> io::Result<Option<Answer>> {
    let mut frame = [0; packets::FRAME_MAX];
    while let Some((length, interface)) = socket.receive(&mut frame)? {
        let answer = read(&frame[..length], interface);
        if answer.is_some() {
            return Ok(answer);
        }
    }
    Ok(None)
}
