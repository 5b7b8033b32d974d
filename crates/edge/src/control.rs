//! What the kernel tells beside a received datagram (cmsg(3)).

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;
use std::time::Duration;

const SPACE: usize = 256;

/// Room for the ancillary data of one datagram.
#[repr(C, align(8))]
pub(crate) struct Space {
    bytes: [u8; SPACE],
    used: usize,
}

/// One thing told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// When it arrived, as time since the epoch (SO_TIMESTAMPNS).
    Stamp(Duration),
    /// Where it was sent (IP_PKTINFO, IPV6_PKTINFO).
    Destination(IpAddr),
    /// Its time to live or hop limit (IP_RECVTTL, IPV6_RECVHOPLIMIT).
    Hops(u8),
}

impl Space {
    pub(crate) fn new() -> Space {
        Space { bytes: [0; SPACE], used: 0 }
    }

    /// Everything told that we know.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Control> {
        const WORD: usize = size_of::<usize>();
        let header = (WORD + 8).next_multiple_of(WORD);
        let mut rest = &self.bytes[..self.used.min(SPACE)];
        std::iter::from_fn(move || {
            loop {
                let length = usize::from_ne_bytes(*rest.first_chunk::<WORD>()?);
                let level = i32::from_ne_bytes(*rest.get(WORD..)?.first_chunk::<4>()?);
                let kind = i32::from_ne_bytes(*rest.get(WORD + 4..)?.first_chunk::<4>()?);
                let data = rest.get(header..length)?;
                rest = rest.get(length.next_multiple_of(WORD)..).unwrap_or(&[]);
                if let Some(known) = known(level, kind, data) {
                    return Some(known);
                }
            }
        })
    }
}

fn known(level: i32, kind: i32, data: &[u8]) -> Option<Control> {
    let number = |at: usize| Some(i64::from_ne_bytes(*data.get(at..)?.first_chunk::<8>()?));
    let small = || Some(i32::from_ne_bytes(*data.first_chunk::<4>()?));
    match (level, kind) {
        (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
            let seconds = u64::try_from(number(0)?).ok()?;
            let nanos = u32::try_from(number(8)?).ok()?;
            Some(Control::Stamp(Duration::new(seconds, nanos)))
        }
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            let octets = *data.get(8..)?.first_chunk::<4>()?;
            Some(Control::Destination(Ipv4Addr::from(octets).into()))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            Some(Control::Destination(Ipv6Addr::from(*data.first_chunk::<16>()?).into()))
        }
        (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
            u8::try_from(small()?).ok().map(Control::Hops)
        }
        _ => None,
    }
}

/// Receives one datagram without waiting: its length, and whether it was cut off. Nothing when
/// none has arrived.
pub(crate) fn receive(
    socket: RawFd,
    buffer: &mut [u8],
    name: &mut libc::sockaddr_in6,
    space: &mut Space,
) -> io::Result<Option<(usize, bool)>> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero bytes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_name = std::ptr::from_mut(name).cast();
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    loop {
        message.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        message.msg_control = space.bytes.as_mut_ptr().cast();
        message.msg_controllen = SPACE;
        // SAFETY: the message points to memory that is borrowed for this call and is as long as
        // it says. A sockaddr_in fits into a sockaddr_in6.
        let got = unsafe { libc::recvmsg(socket, &mut message, libc::MSG_DONTWAIT) };
        if got >= 0 {
            space.used = message.msg_controllen;
            return Ok(Some((got as usize, message.msg_flags & libc::MSG_TRUNC != 0)));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => return Ok(None),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ancillary_data_panics() {
        let mut space = Space::new();
        space.used = SPACE;
        assert_eq!(space.iter().count(), 0);
        for length in [0usize, 1, 15, 16, 17, 250, 256, 257, usize::MAX] {
            space.bytes[..8].copy_from_slice(&length.to_ne_bytes());
            let _ = space.iter().count();
        }
        space.bytes.fill(0xff);
        assert_eq!(space.iter().count(), 0);
    }
}
