//! Many messages with one system call (sendmmsg), without allocating.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

/// Messages of one system call; more go with the next.
pub(crate) const AT_ONCE: usize = 512;
/// Longest head of a message: an Ethernet frame with a neighbour advertisement has 86 bytes.
pub(crate) const HEAD_MAX: usize = 88;
/// Room for the ancillary data of one message: in6_pktinfo and a hop limit.
const CONTROL: usize = 64;

/// One message.
pub(crate) struct Message<'a> {
    /// Its first bytes, of which `head_length` count.
    pub(crate) head: [u8; HEAD_MAX],
    pub(crate) head_length: usize,
    /// The bytes after them.
    pub(crate) payload: &'a [u8],
    pub(crate) to: Address,
    pub(crate) control: Control,
}

/// Where a message goes.
#[derive(Clone, Copy)]
pub(crate) enum Address {
    V4(Ipv4Addr),
    /// With the interface of a link-local address, zero otherwise.
    V6(Ipv6Addr, u32),
    Link {
        interface: u32,
        protocol: u16,
        mac: [u8; 6],
    },
}

/// What the kernel is to be told about a message.
#[derive(Clone, Copy)]
pub(crate) enum Control {
    Nothing,
    /// Send it out of this interface.
    V4 {
        interface: u32,
    },
    /// Source, interface (0: by route) and hop limit.
    V6 {
        source: Ipv6Addr,
        interface: u32,
        hops: u8,
    },
}

#[repr(C, align(8))]
struct ControlBytes([u8; CONTROL]);

union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
    link: libc::sockaddr_ll,
}

struct Slot {
    head: [u8; HEAD_MAX],
    name: Name,
    control: ControlBytes,
    parts: [libc::iovec; 2],
    number: usize,
}

/// Room for the messages of one system call, used again and again.
pub(crate) struct Batch {
    slots: Box<[Slot]>,
    headers: Box<[libc::mmsghdr]>,
}

// SAFETY: the pointers in the slots and headers are written and used within one call of `send`
// and never afterwards.
unsafe impl Send for Batch {}

impl Batch {
    pub(crate) fn new() -> Batch {
        let slot = || -> Slot {
            // SAFETY: all-zero bytes are valid integers, null pointers and socket addresses.
            unsafe { MaybeUninit::zeroed().assume_init() }
        };
        let header = || -> libc::mmsghdr {
            // SAFETY: all-zero bytes are a valid mmsghdr.
            unsafe { MaybeUninit::zeroed().assume_init() }
        };
        Batch {
            slots: (0..AT_ONCE).map(|_| slot()).collect(),
            headers: (0..AT_ONCE).map(|_| header()).collect(),
        }
    }

    /// Sends the messages, each with a number of the caller's. Never waits; `failed` hears of
    /// each message that was not taken, and the others go on.
    pub(crate) fn send<'a>(
        &mut self,
        socket: impl AsFd,
        messages: impl Iterator<Item = (usize, Message<'a>)>,
        mut failed: impl FnMut(usize, io::Error),
    ) {
        let mut filled = 0;
        for (number, message) in messages {
            self.fill(filled, number, &message);
            filled += 1;
            if filled == AT_ONCE {
                self.flush(&socket, filled, &mut failed);
                filled = 0;
            }
        }
        self.flush(&socket, filled, &mut failed);
    }

    /// The payload must live until the flush: `send` holds `'a` for the whole call.
    fn fill(&mut self, place: usize, number: usize, message: &Message<'_>) {
        let slot = &mut self.slots[place];
        slot.number = number;
        slot.head = message.head;
        slot.parts[0] = part(&slot.head[..message.head_length]);
        slot.parts[1] = part(message.payload);
        let name_length = fill_name(&mut slot.name, message.to);
        let control_length = fill_control(&mut slot.control, message.control);
        let header = &mut self.headers[place].msg_hdr;
        header.msg_name = std::ptr::from_mut(&mut slot.name).cast();
        header.msg_namelen = name_length as libc::socklen_t;
        header.msg_iov = slot.parts.as_mut_ptr();
        header.msg_iovlen = slot.parts.len();
        header.msg_control = std::ptr::from_mut(&mut slot.control).cast();
        header.msg_controllen = control_length;
        header.msg_flags = 0;
    }

    fn flush(
        &mut self,
        socket: impl AsFd,
        filled: usize,
        failed: &mut impl FnMut(usize, io::Error),
    ) {
        let socket = socket.as_fd().as_raw_fd();
        let mut sent = 0;
        while sent < filled {
            let headers = &mut self.headers[sent..filled];
            // SAFETY: the headers point into the slots and the payloads, which live until this
            // returns and are as long as the headers say.
            let count = unsafe {
                libc::sendmmsg(
                    socket,
                    headers.as_mut_ptr(),
                    headers.len() as libc::c_uint,
                    libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                )
            };
            if count > 0 {
                sent += count as usize;
                continue;
            }
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            // The first of those left is the one that failed.
            failed(self.slots[sent].number, error);
            sent += 1;
        }
    }
}

fn part(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

fn fill_name(name: &mut Name, to: Address) -> usize {
    match to {
        Address::V4(address) => {
            name.v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: 0,
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
                sin_zero: [0; 8],
            };
            size_of::<libc::sockaddr_in>()
        }
        Address::V6(address, scope) => {
            name.v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: 0,
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: address.octets() },
                sin6_scope_id: scope,
            };
            size_of::<libc::sockaddr_in6>()
        }
        Address::Link { interface, protocol, mac } => {
            let [a, b, c, d, e, f] = mac;
            name.link = libc::sockaddr_ll {
                sll_family: libc::AF_PACKET as u16,
                sll_protocol: protocol.to_be(),
                sll_ifindex: interface as i32,
                sll_hatype: 0,
                sll_pkttype: 0,
                sll_halen: 6,
                sll_addr: [a, b, c, d, e, f, 0, 0],
            };
            size_of::<libc::sockaddr_ll>()
        }
    }
}

/// Writes the ancillary data and returns its length: cmsg(3) headers are a `usize` and two C
/// ints, and everything is aligned to a `usize`.
fn fill_control(bytes: &mut ControlBytes, control: Control) -> usize {
    match control {
        Control::Nothing => 0,
        Control::V4 { interface } => {
            let mut info = [0; 12];
            info[..4].copy_from_slice(&interface.to_ne_bytes());
            append(&mut bytes.0, 0, (libc::IPPROTO_IP, libc::IP_PKTINFO), &info)
        }
        Control::V6 { source, interface, hops } => {
            let mut info = [0; 20];
            info[..16].copy_from_slice(&source.octets());
            info[16..].copy_from_slice(&interface.to_ne_bytes());
            let at = append(&mut bytes.0, 0, (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO), &info);
            let hops = i32::from(hops).to_ne_bytes();
            append(&mut bytes.0, at, (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT), &hops)
        }
    }
}

fn append(bytes: &mut [u8; CONTROL], at: usize, (level, kind): (i32, i32), data: &[u8]) -> usize {
    const WORD: usize = size_of::<usize>();
    let header = (WORD + 8).next_multiple_of(WORD);
    let length = header + data.len();
    let end = at + length.next_multiple_of(WORD);
    let place = &mut bytes[at..end];
    place.fill(0);
    place[..WORD].copy_from_slice(&length.to_ne_bytes());
    place[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
    place[WORD + 4..WORD + 8].copy_from_slice(&kind.to_ne_bytes());
    place[header..length].copy_from_slice(data);
    end
}
