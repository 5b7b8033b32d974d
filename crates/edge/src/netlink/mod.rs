//! Rtnetlink over a plain socket: requests that wait for their answer, and events that do not.
//!
//! A socket does one of the two: [`Socket::request`] on one that subscribed to events would meet
//! events between its answers. Messages that `netlink-packet-route` cannot parse are skipped.

pub mod address;
mod assignments;
pub mod batch;
pub mod device;
pub(crate) mod dump;
pub mod generic;
pub mod link;
pub mod neighbour;
pub mod route;
pub mod rule;
pub mod virtual_link;
pub mod virtual_route;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, Parseable,
};
pub use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::RouteNetlinkMessage;
pub use netlink_packet_route::route::RouteProtocol;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send,
    socket_with,
};

/// Longest wait for one answer of the kernel.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Size of the receive buffer: the kernel's dumps come in parts of at most 32 KiB.
const BUFFER: usize = 64 << 10;
/// How often a dump that changed while it was read is read again.
const DUMP_TRIES: u32 = 8;
/// Datagrams of events read at once; one holds an event or a few.
const DATAGRAMS_AT_ONCE: u32 = 64;
/// Most messages thrown away at once: more than the largest usual receive buffer holds.
const DISCARDED_MAX: u32 = 1 << 16;

/// A netlink socket, of NETLINK_ROUTE unless said otherwise, connected to the kernel: nobody else can send to it.
pub struct Socket {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket for requests in this thread's network namespace.
    pub fn open() -> io::Result<Socket> {
        // Protocol 0 is NETLINK_ROUTE.
        Socket::open_protocol(None)
    }

    /// A socket for requests of the packet filter, nf_tables among them.
    pub(crate) fn open_netfilter() -> io::Result<Socket> {
        Socket::open_protocol(Some(rustix::net::netlink::NETFILTER))
    }

    fn open_protocol(protocol: Option<rustix::net::Protocol>) -> io::Result<Socket> {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        connect(&socket, &SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_WITHIN))?;
        Ok(Socket { socket, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// Joins event groups (`libc::RTNLGRP_LINK`, ...): from here on only
    /// [`receive`](Self::receive) is of use.
    pub fn subscribe(&self, groups: &[u32]) -> io::Result<()> {
        for group in groups {
            // SAFETY: the option's value is the u32 pointed to, of the length given.
            let result = unsafe {
                libc::setsockopt(
                    self.socket.as_raw_fd(),
                    libc::SOL_NETLINK,
                    libc::NETLINK_ADD_MEMBERSHIP,
                    std::ptr::from_ref(group).cast(),
                    size_of::<u32>() as libc::socklen_t,
                )
            };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    /// Sends one request and waits for all of its answer: what a dump lists, what a GET finds,
    /// nothing for a change. `flags` are added to NLM_F_REQUEST, and NLM_F_ACK where it is not a
    /// dump. The kernel's errno is the error (EEXIST, ENODEV, ...); a dump that changed while it
    /// was read is read again.
    pub fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let flags = NLM_F_REQUEST | flags;
        let flags = if flags & NLM_F_DUMP == NLM_F_DUMP { flags } else { flags | NLM_F_ACK };
        for _ in 0..DUMP_TRIES {
            let sequence = self.send(message.clone(), flags)?;
            if let Some(answer) = self.answer(sequence)? {
                return Ok(answer);
            }
        }
        Err(io::Error::other("the kernel's table changed during every dump of it"))
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(&self.socket, &bytes, SendFlags::empty())?;
        Ok(self.sequence)
    }

    /// The messages that answer request `sequence`; nothing when the dump was interrupted.
    fn answer(&mut self, sequence: u32) -> io::Result<Option<Vec<RouteNetlinkMessage>>> {
        let mut answer = Vec::new();
        let mut interrupted = false;
        loop {
            let count = match recv(&self.socket, &mut self.buffer, RecvFlags::empty()) {
                Ok((_, count)) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            };
            for (header, payload) in parts(&self.buffer[..count]) {
                // An answer to an earlier request that timed out.
                if header.sequence_number != sequence {
                    continue;
                }
                interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
                match payload {
                    Some(NetlinkPayload::InnerMessage(message)) => answer.push(message),
                    Some(NetlinkPayload::Error(error)) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    Some(NetlinkPayload::Done(done)) if done.code < 0 => {
                        return Err(io::Error::from_raw_os_error(-done.code));
                    }
                    Some(NetlinkPayload::Error(_) | NetlinkPayload::Done(_)) => {
                        return Ok((!interrupted).then_some(answer));
                    }
                    Some(_) | None => {}
                }
            }
        }
    }

    /// The events that have arrived, none when there are none now; in a storm some of them, so
    /// that the caller can do something else in between. The error ENOBUFS
    /// (`libc::ENOBUFS` by `raw_os_error`) says that events were lost, and those that were left
    /// are thrown away: the caller dumps what it follows anew, and what is received from then on
    /// is no older than the dump.
    pub fn receive(&mut self) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut events = Vec::new();
        for _ in 0..DATAGRAMS_AT_ONCE {
            match recv(&self.socket, &mut self.buffer, RecvFlags::DONTWAIT) {
                Ok((_, count)) => {
                    events.extend(parts(&self.buffer[..count]).filter_map(|(_, payload)| {
                        match payload {
                            Some(NetlinkPayload::InnerMessage(message)) => Some(message),
                            Some(_) | None => None,
                        }
                    }));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(events),
                Err(Errno::NOBUFS) => {
                    self.discard();
                    return Err(Errno::NOBUFS.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(events)
    }

    /// Throws away the events that wait. Applied after a newer dump, old ones would undo it.
    pub(crate) fn discard(&mut self) {
        for _ in 0..DISCARDED_MAX {
            match recv(&self.socket, &mut self.buffer, RecvFlags::DONTWAIT) {
                Ok(_) | Err(Errno::INTR | Errno::NOBUFS) => {}
                Err(_) => return,
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

type Part = (NetlinkHeader, Option<NetlinkPayload<RouteNetlinkMessage>>);

/// Cuts a datagram into its messages, each padded to four bytes. The payload is absent where it
/// could not be parsed.
fn parts(datagram: &[u8]) -> impl Iterator<Item = Part> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let part = NetlinkBuffer::new_checked(rest).ok()?;
        let header = NetlinkHeader::parse(&NetlinkBuffer::new(&rest)).ok()?;
        let length = part.length() as usize;
        let payload = NetlinkMessage::deserialize(&rest[..length]).ok().map(|m| m.payload);
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        Some((header, payload))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::link::{LinkAttribute, LinkMessage};

    fn is_loopback(message: &RouteNetlinkMessage) -> bool {
        let RouteNetlinkMessage::NewLink(link) = message else { return false };
        link.attributes.iter().any(|a| matches!(a, LinkAttribute::IfName(name) if name == "lo"))
    }

    #[test]
    fn a_dump_of_the_links_holds_the_loopback() {
        let mut socket = Socket::open().unwrap();
        let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let links = socket.request(all, NLM_F_DUMP).unwrap();
        assert_eq!(links.iter().filter(|link| is_loopback(link)).count(), 1);
    }

    #[test]
    fn one_object_is_answered_and_a_missing_one_is_the_kernels_error() {
        let mut socket = Socket::open().unwrap();
        let mut one = LinkMessage::default();
        one.header.index = 1;
        let found = socket.request(RouteNetlinkMessage::GetLink(one.clone()), 0).unwrap();
        assert!(is_loopback(&found[0]));
        one.header.index = 0x7fff_0000;
        let error = socket.request(RouteNetlinkMessage::GetLink(one), 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn an_event_socket_without_events_returns_at_once() {
        let mut socket = Socket::open().unwrap();
        socket.subscribe(&[libc::RTNLGRP_LINK]).unwrap();
        assert!(socket.receive().is_ok());
    }
}
