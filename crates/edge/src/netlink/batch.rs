//! Many requests in few system calls, and the attributes they are made of.
//!
//! The messages of a [`Batch`] travel together; the kernel works them off in order and answers
//! each. Used where `netlink-packet-route` has no words (metrics of routes, nf_tables), and
//! where a hundred changes must not take a hundred round trips.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::Socket;

/// Length of a message's header: length, type, flags, sequence number, port.
const HEADER: usize = 16;
/// Type of the kernel's answer: an error number, zero for success.
const ANSWER: u16 = libc::NLMSG_ERROR as u16;
/// Messages sent at once: their answers must fit into the socket's receive buffer together.
const TOGETHER: usize = 128;
/// Bytes sent at once, well below the socket's send buffer (212,992 by default).
const BYTES_TOGETHER: usize = 96 << 10;
/// Marks attributes that contain attributes.
const NESTED: u16 = libc::NLA_F_NESTED as u16;

/// Requests that travel together, and how each of them ended. Its memory is kept over
/// [`clear`](Self::clear).
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    errors: Vec<Option<i32>>,
}

impl Batch {
    /// An empty one.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Forgets its messages.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
        self.errors.clear();
    }

    /// Number of its messages.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// It has no message.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// How each message ended, in order, after [`Socket::run`]: the kernel's error, or nothing.
    /// A message that was not answered timed out.
    pub fn outcomes(&self) -> impl Iterator<Item = Option<io::Error>> {
        self.errors.iter().map(|error| error.map(io::Error::from_raw_os_error))
    }

    /// Begins a message of this type with the flags besides NLM_F_REQUEST and NLM_F_ACK, and the
    /// fixed part of its family. It ends when the writer is dropped.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, fixed: &[u8]) -> Writer<'_> {
        let flags = flags | (NLM_F_REQUEST | NLM_F_ACK);
        self.starts.push(self.bytes.len());
        self.errors.push(Some(libc::ETIMEDOUT));
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEADER]);
        self.bytes[start + 4..start + 6].copy_from_slice(&kind.to_ne_bytes());
        self.bytes[start + 6..start + 8].copy_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(fixed);
        pad(&mut self.bytes);
        Writer { bytes: &mut self.bytes, start, length: Length::Message }
    }

    /// As [`message`](Self::message), for messages that the kernel never answers.
    pub(crate) fn unanswered(&mut self, kind: u16, fixed: &[u8]) {
        let start = self.bytes.len();
        drop(self.message(kind, 0, fixed));
        if let Some(error) = self.errors.last_mut() {
            *error = None;
        }
        self.bytes[start + 6..start + 8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    }

    /// The messages `from..to` as bytes.
    fn part(&self, from: usize, to: usize) -> &[u8] {
        let end = self.starts.get(to).copied().unwrap_or(self.bytes.len());
        &self.bytes[self.starts[from]..end]
    }

    /// End of the largest part that begins with message `from` and may be sent at once.
    fn part_end(&self, from: usize) -> usize {
        let mut to = from + 1;
        while to < self.len()
            && to - from < TOGETHER
            && self.part(from, to + 1).len() <= BYTES_TOGETHER
        {
            to += 1;
        }
        to
    }

    fn answered(&self, message: usize) -> bool {
        let at = self.starts[message] + 6;
        u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]]) & NLM_F_ACK != 0
    }
}

/// Writes the attributes of one message, or of one attribute that contains some.
pub(crate) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
    length: Length,
}

/// Where the length of what is written goes, once it is known.
enum Length {
    /// Four bytes at the beginning of a message.
    Message,
    /// Two bytes at the beginning of an attribute, or of one way of a route.
    Attribute,
}

impl Writer<'_> {
    /// An attribute of any bytes.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = (value.len() + 4) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        pad(self.bytes);
        self
    }

    /// An attribute of one byte.
    pub(crate) fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.bytes(kind, &[value])
    }

    /// An attribute of four bytes in the machine's order, as rtnetlink has it.
    pub(crate) fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// An attribute of four bytes in the network's order, as nf_tables has it.
    pub(crate) fn u32_be(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// An attribute of text with the zero that ends it.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let length = (value.len() + 5) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        pad(self.bytes);
        self
    }

    /// An attribute that contains attributes.
    pub(crate) fn nested(&mut self, kind: u16, inside: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        let header = [0, 0, 0, 0];
        self.within(&header, Some(kind | NESTED), inside)
    }

    /// As [`nested`](Self::nested), without the mark, which rtnetlink's older attributes do
    /// not have.
    pub(crate) fn group(&mut self, kind: u16, inside: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        let header = [0, 0, 0, 0];
        self.within(&header, Some(kind), inside)
    }

    /// A structure that begins with its length in two bytes and ends with attributes, as the
    /// ways of a route do (`struct rtnexthop`).
    pub(crate) fn structure(
        &mut self,
        header: &[u8],
        inside: impl FnOnce(&mut Writer<'_>),
    ) -> &mut Self {
        self.within(header, None, inside)
    }

    fn within(
        &mut self,
        header: &[u8],
        kind: Option<u16>,
        inside: impl FnOnce(&mut Writer<'_>),
    ) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(header);
        if let Some(kind) = kind {
            self.bytes[start + 2..start + 4].copy_from_slice(&kind.to_ne_bytes());
        }
        let mut writer = Writer { bytes: self.bytes, start, length: Length::Attribute };
        inside(&mut writer);
        drop(writer);
        self
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        let length = self.bytes.len() - self.start;
        let field = &mut self.bytes[self.start..];
        match self.length {
            Length::Message => field[..4].copy_from_slice(&(length as u32).to_ne_bytes()),
            Length::Attribute => field[..2].copy_from_slice(&(length as u16).to_ne_bytes()),
        }
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

impl Socket {
    /// Sends the messages of a batch and waits for all answers; then the batch knows how each
    /// ended. Parts of up to 128 messages travel in one system call each. An error here is one of
    /// the socket.
    pub fn run(&mut self, batch: &mut Batch) -> io::Result<()> {
        let mut from = 0;
        while from < batch.len() {
            let to = batch.part_end(from);
            self.run_part(batch, from, to)?;
            from = to;
        }
        Ok(())
    }

    /// As [`run`](Self::run), in one system call whatever its length: nf_tables' transactions
    /// must not be cut.
    pub(crate) fn run_whole(&mut self, batch: &mut Batch) -> io::Result<()> {
        self.run_part(batch, 0, batch.len())
    }

    fn run_part(&mut self, batch: &mut Batch, from: usize, to: usize) -> io::Result<()> {
        if from == to {
            return Ok(());
        }
        let first = self.sequence.wrapping_add(1);
        for message in from..to {
            self.sequence = self.sequence.wrapping_add(1);
            let at = batch.starts[message] + 8;
            batch.bytes[at..at + 4].copy_from_slice(&self.sequence.to_ne_bytes());
        }
        send(&self.socket, batch.part(from, to), SendFlags::empty())?;
        let mut missing = (from..to).filter(|message| batch.answered(*message)).count();
        while missing > 0 {
            let count = match recv(&self.socket, &mut self.buffer, RecvFlags::empty()) {
                Ok((_, count)) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            };
            for (sequence, error) in answers(&self.buffer[..count]) {
                let message = from + sequence.wrapping_sub(first) as usize;
                // Anything else answers an earlier request that timed out.
                if message < to {
                    // The beginning of a transaction is answered only when all of it is refused.
                    if error != 0 && !batch.answered(message) {
                        return Err(io::Error::from_raw_os_error(-error));
                    }
                    batch.errors[message] = (error != 0).then_some(-error);
                    missing = missing.saturating_sub(1);
                }
            }
        }
        Ok(())
    }
}

/// Sequence numbers and error numbers of the answers in a datagram.
fn answers(datagram: &[u8]) -> impl Iterator<Item = (u32, i32)> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        loop {
            let header = rest.first_chunk::<HEADER>()?;
            let field = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
            let length = u32::from_ne_bytes(field(0)) as usize;
            let kind = u16::from_ne_bytes([header[4], header[5]]);
            let sequence = u32::from_ne_bytes(field(8));
            let payload = rest.get(HEADER..length)?;
            rest = &rest[length.next_multiple_of(4).min(rest.len())..];
            if kind == ANSWER {
                let error = i32::from_ne_bytes(*payload.first_chunk::<4>()?);
                return Some((sequence, error));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RTM_GETLINK of one interface: answered by an ACK or an error, and the link.
    const GET_LINK: u16 = libc::RTM_GETLINK;

    fn get_link(batch: &mut Batch, index: i32) {
        let mut fixed = [0; 16];
        fixed[4..8].copy_from_slice(&index.to_ne_bytes());
        drop(batch.message(GET_LINK, 0, &fixed));
    }

    #[test]
    fn every_message_of_a_batch_has_its_outcome_whatever_the_others_do() {
        let mut batch = Batch::new();
        for number in 0..500 {
            get_link(&mut batch, if number % 30 == 0 { 1 } else { 0x7fff_0000 });
        }
        let mut socket = Socket::open().unwrap();
        socket.run(&mut batch).unwrap();
        for (number, outcome) in batch.outcomes().enumerate() {
            let errno = outcome.and_then(|error| error.raw_os_error());
            assert_eq!(errno, (number % 30 != 0).then_some(libc::ENODEV), "{number}");
        }
        batch.clear();
        get_link(&mut batch, 1);
        socket.run(&mut batch).unwrap();
        assert_eq!(batch.outcomes().filter(Option::is_none).count(), 1);
    }

    #[test]
    fn attributes_are_padded_and_know_their_lengths() {
        let mut batch = Batch::new();
        batch.message(20, 0, &[9]).text(3, "eth0").nested(7, |inside| {
            inside.u8(1, 5).structure(&[0; 8], |way| {
                way.u32(2, 1);
            });
        });
        let expected = [
            &[60, 0, 0, 0, 20, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0][..],
            &[9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0],
            &[28, 0, 7, 0x80, 5, 0, 1, 0, 5, 0, 0, 0],
            &[16, 0, 0, 0, 0, 0, 0, 0, 8, 0, 2, 0, 1, 0, 0, 0],
        ]
        .concat();
        assert_eq!(batch.bytes, expected);
    }

    #[test]
    fn no_answer_panics() {
        let mut bytes =
            vec![20, 0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(answers(&bytes).collect::<Vec<_>>(), [(7, -1)]);
        for length in 0..bytes.len() {
            assert_eq!(answers(&bytes[..length]).count(), 0);
        }
        bytes[0] = 3;
        assert_eq!(answers(&bytes).count(), 0);
    }
}
