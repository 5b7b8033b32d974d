//! ICMP echo: requests to one target, and its answers.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use model::check::Source;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketType, ipproto};

use super::source;
use crate::sockopt;

/// Length of an echo's header: type, code, checksum, identifier, sequence (RFC 792, RFC 4443 4.1).
const HEADER: usize = 8;
/// Option of raw ICMP sockets of both families: what they do not hear (linux/icmp.h,
/// linux/icmpv6.h).
const FILTER: i32 = 1;
/// Level of raw IPv4 sockets' options.
const SOL_RAW: i32 = 255;

/// Numbers of the two messages in one family.
#[derive(Clone, Copy)]
struct Types {
    request: u8,
    reply: u8,
}

const V4: Types = Types { request: 8, reply: 0 };
const V6: Types = Types { request: 128, reply: 129 };

/// A socket for echoes of one target. Non-blocking.
///
/// Where net.ipv4.ping_group_range permits it, the kernel gives the identifier and sorts the
/// answers; elsewhere a raw socket does, which needs CAP_NET_RAW.
pub struct Echo {
    socket: OwnedFd,
    types: Types,
    /// What answers to a raw socket begin with is an IPv4 header.
    ip_header: bool,
    /// The identifier, where it is ours to check.
    identifier: Option<u16>,
    sequence: u16,
}

impl Echo {
    /// A socket for this target, from there. Its requests bear `identifier`, unless the kernel
    /// gives them one: it tells its answers from those of other sockets.
    pub fn open(target: SocketAddr, from: &Source, identifier: u16) -> io::Result<Echo> {
        let (types, protocol) = match target {
            SocketAddr::V4(_) => (V4, ipproto::ICMP),
            SocketAddr::V6(_) => (V6, ipproto::ICMPV6),
        };
        let (socket, raw) = match source::open(target, SocketType::DGRAM, protocol, from) {
            Ok(socket) => (socket, false),
            Err(error) if is_forbidden(&error) => {
                (source::open(target, SocketType::RAW, protocol, from)?, true)
            }
            Err(error) => return Err(error),
        };
        if raw {
            hear_replies_only(&socket, target)?;
        }
        source::report_errors(&socket, target)?;
        if let Some(mut address) = from.bind {
            // The port of such a socket is its identifier.
            address.set_port(0);
            source::bind_exactly(&socket, address, from)?;
        }
        let mut target = target;
        target.set_port(0);
        source::connect(&socket, target, from)?;
        let identifier = raw.then_some(identifier);
        Ok(Echo { socket, types, ip_header: raw && target.is_ipv4(), identifier, sequence: 0 })
    }

    /// Sends a request with this payload; only the answer to it counts from now on.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = Vec::with_capacity(HEADER + payload.len());
        message.extend_from_slice(&[self.types.request, 0, 0, 0]);
        message.extend_from_slice(&self.identifier.unwrap_or_default().to_be_bytes());
        message.extend_from_slice(&self.sequence.to_be_bytes());
        message.extend_from_slice(payload);
        // For IPv6 the kernel writes it, with the addresses in it.
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        rustix::net::send(&self.socket, &message, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Where in `buffer` the payload of the answer to the last request is, if it has come. Errors
    /// are those that ICMP told of.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Range<usize>>> {
        loop {
            match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((length, _)) => {
                    if let Some(start) = self.payload_of(&buffer[..length]) {
                        return Ok(Some(start..length));
                    }
                }
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Where the payload begins, in the answer to the last request.
    fn payload_of(&self, packet: &[u8]) -> Option<usize> {
        let start = match (self.ip_header, packet.first()) {
            (true, Some(first)) => usize::from(first & 15) * 4,
            (true, None) => return None,
            (false, _) => 0,
        };
        let header = packet.get(start..)?.first_chunk::<HEADER>()?;
        let identifier = u16::from_be_bytes([header[4], header[5]]);
        let ours = header[0] == self.types.reply
            && header[1] == 0
            && self.identifier.is_none_or(|expected| expected == identifier)
            && u16::from_be_bytes([header[6], header[7]]) == self.sequence;
        ours.then_some(start + HEADER)
    }
}

impl AsFd for Echo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    [Errno::ACCESS, Errno::PERM, Errno::PROTONOSUPPORT]
        .iter()
        .any(|refusal| error.raw_os_error() == Some(refusal.raw_os_error()))
}

/// A raw socket would hear every ICMP message of its target.
fn hear_replies_only(socket: &OwnedFd, target: SocketAddr) -> io::Result<()> {
    match target {
        SocketAddr::V4(_) => {
            let deaf_to = !(1u32 << V4.reply);
            sockopt::set_bytes(socket, SOL_RAW, FILTER, &deaf_to.to_ne_bytes())
        }
        SocketAddr::V6(_) => {
            let mut deaf_to = [u32::MAX; 8];
            deaf_to[usize::from(V6.reply) / 32] &= !(1 << (V6.reply % 32));
            let bytes = deaf_to.map(u32::to_ne_bytes).concat();
            sockopt::set_bytes(socket, libc::IPPROTO_ICMPV6, FILTER, &bytes)
        }
    }
}

/// The Internet checksum (RFC 1071) of a message whose own is zero.
fn checksum(message: &[u8]) -> u16 {
    let pairs = message.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u32 = pairs.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::{Interest, Poll};
    use crate::{clock, privileges};

    fn answer(echo: &Echo) -> io::Result<Option<Vec<u8>>> {
        let give_up = clock::now() + std::time::Duration::from_secs(10);
        let mut poll = Poll::new().unwrap();
        poll.add(echo, 0, Interest::Read).unwrap();
        let mut buffer = [0; 2000];
        loop {
            if let Some(payload) = echo.receive(&mut buffer)? {
                return Ok(Some(buffer[payload].to_vec()));
            }
            if clock::now() >= give_up {
                return Ok(None);
            }
            poll.wait(&mut Vec::new(), give_up).unwrap();
        }
    }

    #[test]
    fn this_machine_answers_with_the_payload() {
        if !privileges::are_all() {
            println!("skipped: needs root");
            return;
        }
        for target in ["127.0.0.1:0", "[::1]:0"] {
            let target: SocketAddr = target.parse().unwrap();
            if target.is_ipv6() && std::net::UdpSocket::bind("[::1]:0").is_err() {
                continue;
            }
            let mut first = Echo::open(target, &Source::default(), 7).unwrap();
            let mut second = Echo::open(target, &Source::default(), 8).unwrap();
            first.send(b"first").unwrap();
            second.send(b"second").unwrap();
            assert_eq!(answer(&second).unwrap().as_deref(), Some(&b"second"[..]));
            assert_eq!(answer(&first).unwrap().as_deref(), Some(&b"first"[..]));
            first.send(b"").unwrap();
            assert_eq!(answer(&first).unwrap().as_deref(), Some(&b""[..]));
            assert_eq!(first.receive(&mut [0; 100]).unwrap(), None);
        }
    }

    #[test]
    fn the_checksum_of_a_message_with_its_checksum_is_zero() {
        for length in [8, 9, 64, 65] {
            let mut message: Vec<u8> = (0..length).map(|byte: u8| byte.wrapping_mul(37)).collect();
            message[2..4].fill(0);
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            assert_eq!(checksum(&message), 0);
        }
    }
}
