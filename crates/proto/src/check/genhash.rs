//! What `genhash` makes of a page: the MD5 of what follows the head, until the connection closes.
//!
//! A checker knows where a reply ends; genhash only reads on. Chunks count with their sizes, and
//! bytes beyond Content-Length do not count. Measured with Keepalived 2.2.7, whose digests are
//! written into existing configuration files.

use alloc::vec::Vec;
use core::mem;

use md5::{Digest, Md5};

/// Longest head. Keepalived reads into 4096 bytes, the last of which ends a string.
const HEAD_MAX: usize = 4095;
/// Looked for as written: Keepalived's search minds the case.
const LENGTH: &[u8] = b"Content-Length:";

/// A page on its way to its digest.
#[derive(Debug)]
pub struct PageDigest {
    state: State,
}

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    Body {
        /// How many bytes still count, when the head says so.
        left: Option<u64>,
        md5: Md5,
    },
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard<'a> {
    /// The head, its empty line included, when it ended here.
    pub head: Option<Vec<u8>>,
    /// What counted for the digest.
    pub body: &'a [u8],
}

impl Default for PageDigest {
    fn default() -> PageDigest {
        PageDigest { state: State::Head(Vec::new()) }
    }
}

impl PageDigest {
    /// How many bytes can be taken now: 0 when the head is longer than Keepalived's buffer, which
    /// is the end of the reply.
    pub fn room(&self) -> usize {
        match &self.state {
            State::Head(head) => HEAD_MAX - head.len(),
            State::Body { .. } => HEAD_MAX,
        }
    }

    /// Whether the head has been seen whole.
    pub fn has_head(&self) -> bool {
        match &self.state {
            State::Head(_) => false,
            State::Body { .. } => true,
        }
    }

    /// Takes at most [`PageDigest::room`] bytes; more would not be looked at.
    pub fn handle_bytes<'a>(&mut self, bytes: &'a [u8]) -> Heard<'a> {
        let bytes = &bytes[..bytes.len().min(self.room())];
        let head = match &mut self.state {
            State::Body { left, md5 } => {
                return Heard { head: None, body: count(left, md5, bytes) };
            }
            State::Head(head) => head,
        };
        let before = head.len();
        head.extend_from_slice(bytes);
        let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Heard { head: None, body: &[] };
        };
        let mut head = mem::take(head);
        // Keepalived looks through all that has come: behind 100 Continue stands another head.
        let (mut left, mut md5) = (content_length(&head), Md5::new());
        head.truncate(end + 4);
        let body = count(&mut left, &mut md5, &bytes[head.len() - before..]);
        self.state = State::Body { left, md5 };
        Heard { head: Some(head), body }
    }

    /// The digest of what counted: that of nothing when there was no head.
    pub fn digest(&self) -> [u8; 16] {
        match &self.state {
            State::Head(_) => Md5::new().finalize().into(),
            State::Body { md5, .. } => md5.clone().finalize().into(),
        }
    }
}

fn count<'a>(left: &mut Option<u64>, md5: &mut Md5, bytes: &'a [u8]) -> &'a [u8] {
    let counted = match left {
        None => bytes,
        Some(left) => {
            let here = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= here as u64;
            &bytes[..here]
        }
    };
    md5.update(counted);
    counted
}

/// The first Content-Length, when it is a number and nothing follows it.
fn content_length(head: &[u8]) -> Option<u64> {
    let start = head.windows(LENGTH.len()).position(|window| window == LENGTH)? + LENGTH.len();
    let line = head[start..].split(|&byte| byte == b'\r' || byte == b'\n').next()?;
    core::str::from_utf8(line.trim_ascii_start()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In pieces of this size, as a connection would bring them.
    fn read(wire: &[u8], step: usize) -> Option<[u8; 16]> {
        let mut page = PageDigest::default();
        for piece in wire.chunks(step) {
            let mut piece = piece;
            while !piece.is_empty() && page.room() > 0 {
                let (now, rest) = piece.split_at(piece.len().min(page.room()));
                let _ = page.handle_bytes(now);
                piece = rest;
            }
        }
        page.has_head().then(|| page.digest())
    }

    fn md5(body: &str) -> Option<[u8; 16]> {
        Some(Md5::digest(body.as_bytes()).into())
    }

    #[test]
    fn digests_are_those_of_keepalived_however_the_page_is_cut() {
        let long = ["HTTP/1.1 200 OK\r\nX: ", &"y".repeat(HEAD_MAX), "\r\n\r\nhi"].concat();
        let pages = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello", md5("he")),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhello", md5("hello")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhello", md5("hello")),
            ("HTTP/1.0 200 OK\r\nContent-Length: 2 x\r\n\r\nhello", md5("hello")),
            ("HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\nabc", md5("abc")),
            ("HTTP/1.0 404 No\r\nContent-Length: 0\r\n\r\nxx", md5("")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                md5("5\r\nhello\r\n0\r\n\r\n"),
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhi",
                md5("HTTP/1.1 200 OK\r\n\r\nhi"),
            ),
            ("HTTP/1.0 200 OK\n\nno empty line for Keepalived", None),
            ("HTTP/1.0 200 OK\r\n", None),
            (&long, None),
            ("", None),
        ];
        for (wire, expected) in pages {
            for step in [1, 2, 3, 7, 100, 9_000] {
                assert_eq!(read(wire.as_bytes(), step), expected, "{wire:.60} by {step}");
            }
        }
    }

    #[test]
    fn a_read_tells_the_head_once_and_then_what_counts() {
        let mut page = PageDigest::default();
        assert_eq!(page.handle_bytes(b"HTTP/1.0 200 OK\r\n"), Heard { head: None, body: b"" });
        let heard = page.handle_bytes(b"Content-Length: 4\r\n\r\nab");
        let head = b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n".to_vec();
        assert_eq!(heard, Heard { head: Some(head), body: b"ab" });
        assert_eq!(page.handle_bytes(b"cdef"), Heard { head: None, body: b"cd" });
    }
}
