//! Dumps of kernel tables that `netlink-packet-route` has no words for: messages as bytes, and the
//! attributes in them.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::Socket;

/// Length of a message's header: length, type, flags, sequence number, port.
const HEADER: usize = 16;
/// Type of the message that ends a dump.
const DONE: u16 = libc::NLMSG_DONE as u16;
/// Type of the kernel's refusal.
const ERROR: u16 = libc::NLMSG_ERROR as u16;
/// Bits of an attribute's type that are not its number.
const TYPE_FLAGS: u16 = (libc::NLA_F_NESTED | libc::NLA_F_NET_BYTEORDER) as u16;

impl Socket {
    /// Sends one request, of this type, and returns the payloads of what it lists. `flags` are
    /// added to NLM_F_REQUEST; without NLM_F_DUMP the first answer is all.
    pub(crate) fn list(
        &mut self,
        kind: u16,
        flags: u16,
        payload: &[u8],
    ) -> io::Result<Vec<Vec<u8>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let length = (HEADER + payload.len()) as u32;
        let mut request = Vec::with_capacity(length as usize);
        request.extend_from_slice(&length.to_ne_bytes());
        request.extend_from_slice(&kind.to_ne_bytes());
        request.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        request.extend_from_slice(&sequence.to_ne_bytes());
        request.extend_from_slice(&[0; 4]);
        request.extend_from_slice(payload);
        send(&self.socket, &request, SendFlags::empty())?;
        let dump = flags & NLM_F_DUMP == NLM_F_DUMP;
        let mut listed = Vec::new();
        loop {
            let count = match recv(&self.socket, &mut self.buffer, RecvFlags::empty()) {
                Ok((_, count)) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            };
            let answers = messages(&self.buffer[..count]).filter(|one| one.sequence == sequence);
            for answer in answers {
                match answer.kind {
                    DONE => return Ok(listed),
                    ERROR => match refusal(answer.payload) {
                        Some(error) => return Err(error),
                        None => return Ok(listed),
                    },
                    _ => listed.push(answer.payload.to_vec()),
                }
            }
            if !dump && !listed.is_empty() {
                return Ok(listed);
            }
        }
    }
}

/// One message of a datagram.
struct Message<'a> {
    kind: u16,
    sequence: u32,
    payload: &'a [u8],
}

fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header = rest.first_chunk::<HEADER>()?;
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let length = word(0) as usize;
        let payload = rest.get(HEADER..length)?;
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        Some(Message { kind, sequence: word(8), payload })
    })
}

/// The error of an NLMSG_ERROR; none when it is an acknowledgement.
fn refusal(payload: &[u8]) -> Option<io::Error> {
    let code = i32::from_ne_bytes(*payload.first_chunk::<4>()?);
    (code != 0).then(|| io::Error::from_raw_os_error(-code))
}

/// The attributes in some bytes, each with its number and value; what is cut off is left out.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let [a, b, c, d] = *rest.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = rest.get(4..length)?;
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        Some((u16::from_ne_bytes([c, d]) & !TYPE_FLAGS, value))
    })
}

/// The attribute of this number.
pub(crate) fn attribute(bytes: &[u8], number: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == number).then_some(value))
}

/// A string that ends with its first zero, if it has one.
pub(crate) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// Appends an attribute.
pub(crate) fn append(to: &mut Vec<u8>, number: u16, value: &[u8]) {
    to.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
    to.extend_from_slice(&number.to_ne_bytes());
    to.extend_from_slice(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_they_were_written_and_cut_ones_do_not() {
        let mut bytes = Vec::new();
        append(&mut bytes, 1, b"eth0\0");
        append(&mut bytes, 2 | libc::NLA_F_NESTED as u16, &7u32.to_ne_bytes());
        let found: Vec<_> = attributes(&bytes).collect();
        assert_eq!(found, [(1, &b"eth0\0"[..]), (2, &7u32.to_ne_bytes()[..])]);
        assert_eq!(text(found[0].1), "eth0");
        assert_eq!(attribute(&bytes, 2), Some(&7u32.to_ne_bytes()[..]));
        for length in 0..bytes.len() {
            assert!(attributes(&bytes[..length]).count() < 2, "{length}");
        }
        assert_eq!(attributes(&[0xff; 64]).count(), 0);
        assert_eq!(attributes(&[0; 64]).count(), 0);
    }

    #[test]
    fn a_table_is_listed_and_an_unknown_one_is_the_kernels_error() {
        let mut socket = Socket::open().unwrap();
        // struct ifinfomsg: all interfaces.
        let links = socket.list(libc::RTM_GETLINK, NLM_F_DUMP, &[0; 16]).unwrap();
        assert!(links.iter().any(|link| {
            attribute(&link[16..], libc::IFLA_IFNAME).is_some_and(|name| text(name) == "lo")
        }));
        assert!(socket.list(0x7fff, NLM_F_DUMP, &[0; 16]).is_err());
    }
}
