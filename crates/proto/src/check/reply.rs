//! An HTTP/1 reply, read as it arrives: status, framing, and of the body what is wanted of it.
//! Everything has a bound; the bytes may come from anyone.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use md5::{Digest, Md5};

use super::chunked::Chunked;
use super::pattern::SEARCHED_MAX;
use super::words::Text;

/// Longest status line and headers together.
pub(super) const HEAD_MAX: usize = 64 << 10;
/// Most of a body that is read. A longer one passes without a digest, and fails with one.
pub(super) const BODY_MAX: u64 = 16 << 20;

/// What is wanted of a body besides its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) digest: bool,
    /// Its beginning, up to [`SEARCHED_MAX`].
    pub(super) body: bool,
}

/// A reply, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: u16,
    /// MD5 of the body, as far as it was read. Zeros when it was not wanted.
    pub(super) digest: [u8; 16],
    /// MD5 of a chunked body as it came, sizes of the chunks and all. Keepalived's checks and
    /// genhash do not decode and give this one.
    pub(super) coded_digest: Option<[u8; 16]>,
    /// The body went on beyond [`BODY_MAX`].
    pub(super) cut: bool,
    /// The beginning of the body, when wanted.
    pub(super) body: Vec<u8>,
    /// There is more of it.
    pub(super) body_cut: bool,
    /// Its framing is wrong, and how: with a digest, which tells exactly, it counts all the same as
    /// genhash and Keepalived read it.
    pub(super) broken: Option<Text>,
}

/// How far a reply has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Page(Page),
    /// Not a reply, and why, in words for the log.
    Broken(Text),
}

#[derive(Debug)]
enum Part {
    Head(Vec<u8>),
    Body { framing: Framing, body: Box<Body> },
}

#[derive(Debug)]
enum Framing {
    /// This many bytes in all.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// Chunks that are none: as it comes, for its digest.
    Raw,
}

#[derive(Debug)]
struct Body {
    status: u16,
    length: u64,
    digest: Option<Md5>,
    coded_digest: Option<Md5>,
    kept: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) struct Reply {
    wanted: Wanted,
    part: Part,
}

impl Reply {
    pub(super) fn new(wanted: Wanted) -> Reply {
        Reply { wanted, part: Part::Head(Vec::new()) }
    }

    pub(super) fn has_begun(&self) -> bool {
        match &self.part {
            Part::Head(bytes) => !bytes.is_empty(),
            Part::Body { .. } => true,
        }
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) -> Progress {
        let head = match &mut self.part {
            Part::Body { framing, body } => return body.handle_bytes(framing, bytes),
            Part::Head(head) => head,
        };
        // An empty line may have begun in what came before.
        let mut searched = head.len().saturating_sub(3);
        head.extend_from_slice(bytes);
        loop {
            let end = head_end(head, searched);
            if end.unwrap_or(head.len()) > HEAD_MAX {
                return Progress::Broken(format!("HTTP head longer than {HEAD_MAX} bytes").into());
            }
            let Some(end) = end else {
                return Progress::More;
            };
            match read_head(&head[..end], self.wanted.digest) {
                Err(reason) => return Progress::Broken(reason.into()),
                // 100 to 199 announce another reply (RFC 9110 15.2).
                Ok((100..=199, _)) => {
                    head.drain(..end);
                    searched = 0;
                }
                Ok((status, mut framing)) => {
                    let first = head.split_off(end);
                    let mut body = Box::new(Body::new(status, &framing, self.wanted));
                    let progress = body.handle_bytes(&mut framing, &first);
                    self.part = Part::Body { framing, body };
                    return progress;
                }
            }
        }
    }

    /// The other side has closed.
    pub(super) fn handle_end(&mut self) -> Progress {
        match &mut self.part {
            Part::Head(head) if head.is_empty() => {
                Progress::Broken("connection closed without an answer".into())
            }
            Part::Head(_) => Progress::Broken("connection closed within the HTTP head".into()),
            Part::Body { framing: Framing::UntilClose, body } => Progress::Page(body.page(false)),
            Part::Body { framing: Framing::Length(length), body } => {
                let text = format!("body ended after {} of {length} bytes", body.length);
                body.broken(text.into())
            }
            Part::Body { framing: Framing::Chunked(_), body } => {
                let text = format!("body ended after {} bytes, before its last chunk", body.length);
                body.broken(text.into())
            }
            Part::Body { framing: Framing::Raw, body } => {
                body.broken("malformed chunked body".into())
            }
        }
    }
}

impl Body {
    fn new(status: u16, framing: &Framing, wanted: Wanted) -> Body {
        let chunked = matches!(framing, Framing::Chunked(_));
        Body {
            status,
            length: 0,
            digest: wanted.digest.then(Md5::new),
            coded_digest: (wanted.digest && chunked).then(Md5::new),
            kept: wanted.body.then(Vec::new),
        }
    }

    fn handle_bytes(&mut self, framing: &mut Framing, bytes: &[u8]) -> Progress {
        let complete = match framing {
            Framing::UntilClose => {
                self.add(bytes);
                false
            }
            Framing::Length(length) => {
                let left = usize::try_from(*length - self.length).unwrap_or(usize::MAX);
                self.add(&bytes[..bytes.len().min(left)]);
                self.length == *length
            }
            Framing::Chunked(chunked) => match chunked.decode(bytes, |data| self.add(data)) {
                Ok(left_over) => {
                    if let Some(md5) = &mut self.coded_digest {
                        md5.update(&bytes[..bytes.len() - left_over.unwrap_or(0)]);
                    }
                    left_over.is_some()
                }
                Err(_) => match &mut self.coded_digest {
                    None => return Progress::Broken("malformed chunked body".into()),
                    Some(md5) => {
                        md5.update(bytes);
                        *framing = Framing::Raw;
                        false
                    }
                },
            },
            Framing::Raw => {
                self.length += bytes.len() as u64;
                if let Some(md5) = &mut self.coded_digest {
                    md5.update(bytes);
                }
                false
            }
        };
        if complete || self.length > BODY_MAX {
            return Progress::Page(self.page(!complete));
        }
        Progress::More
    }

    fn add(&mut self, data: &[u8]) {
        self.length += data.len() as u64;
        if let Some(md5) = &mut self.digest {
            md5.update(data);
        }
        if let Some(kept) = &mut self.kept {
            let room = SEARCHED_MAX - kept.len();
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
    }

    /// It ended where it should not: only its digest may still tell that it is the right one.
    fn broken(&mut self, reason: Text) -> Progress {
        match self.digest {
            None => Progress::Broken(reason),
            Some(_) => {
                Progress::Page(Page { broken: Some(reason), body_cut: false, ..self.page(false) })
            }
        }
    }

    /// Takes what there is; nothing follows.
    fn page(&mut self, cut: bool) -> Page {
        let body = self.kept.take().unwrap_or_default();
        Page {
            status: self.status,
            digest: self.digest.take().map(|md5| md5.finalize().into()).unwrap_or_default(),
            coded_digest: self.coded_digest.take().map(|md5| md5.finalize().into()),
            cut,
            broken: None,
            body_cut: (body.len() as u64) < self.length,
            body,
        }
    }
}

/// Where the head ends: behind its empty line. `from` is where to begin to look.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut start = from;
    while let Some(found) = bytes[start..].iter().position(|&byte| byte == b'\n') {
        let after = start + found + 1;
        match &bytes[after..] {
            [b'\n', ..] => return Some(after + 1),
            [b'\r', b'\n', ..] => return Some(after + 2),
            _ => start = after,
        }
    }
    None
}

/// The status, and how the body ends (RFC 9112 6.3); `lenient`: whatever Content-Length says.
fn read_head(head: &[u8], lenient: bool) -> Result<(u16, Framing), &'static str> {
    let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let status = lines.next().and_then(status_code).ok_or("not an HTTP answer")?;
    let (mut length, mut chunked) = (None, false);
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            match decimal(value) {
                None if lenient => {}
                None => return Err("malformed Content-Length"),
                Some(value) if length.is_some_and(|other| other != value) => {
                    if !lenient {
                        return Err("two different Content-Length");
                    }
                }
                Some(value) => length = Some(value),
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let last = value.rsplit(|&byte| byte == b',').next().unwrap_or(value);
            chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        }
    }
    let framing = match (status, chunked, length) {
        (204 | 304, _, _) => Framing::Length(0),
        (_, true, _) => Framing::Chunked(Chunked::new()),
        (_, false, Some(length)) => Framing::Length(length),
        (_, false, None) => Framing::UntilClose,
    };
    Ok((status, framing))
}

/// `HTTP/1.1 200 OK`: 200.
fn status_code(line: &[u8]) -> Option<u16> {
    let version_and_rest = line.strip_prefix(b"HTTP/")?;
    let space = version_and_rest.iter().position(|&byte| byte == b' ')?;
    let (code, phrase) = version_and_rest[space..].trim_ascii_start().split_at_checked(3)?;
    if phrase.first().is_some_and(|&byte| byte != b' ') {
        return None;
    }
    decimal(code).and_then(|code| u16::try_from(code).ok()).filter(|&code| code >= 100)
}

/// Digits and nothing else.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wanted = Wanted { digest: true, body: true };

    fn read(wire: &[u8], step: usize) -> Progress {
        let mut reply = Reply::new(ALL);
        for part in wire.chunks(step) {
            match reply.handle_bytes(part) {
                Progress::More => {}
                done => return done,
            }
        }
        reply.handle_end()
    }

    fn page(status: u16, body: &str) -> Progress {
        let digest = Md5::digest(body.as_bytes()).into();
        Progress::Page(Page { status, digest, body: body.into(), ..Page::default() })
    }

    fn coded(page: Progress, body: &str) -> Progress {
        let Progress::Page(page) = page else { return page };
        Progress::Page(Page { coded_digest: Some(Md5::digest(body.as_bytes()).into()), ..page })
    }

    #[test]
    fn replies_read_the_same_however_they_are_cut() {
        let replies = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more", page(200, "hello")),
            ("HTTP/1.0 200 OK\r\nServer: x\r\n\r\nuntil the end", page(200, "until the end")),
            ("HTTP/1.0 404\n\nbare line feeds", page(404, "bare line feeds")),
            ("HTTP/1.1 204 No Content\r\n\r\n", page(204, "")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", page(200, "")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n!",
                coded(page(200, "abc"), "3\r\nabc\r\n0\r\n\r\n"),
            ),
            (
                "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 500 Oh\r\n\r\nno",
                page(500, "no"),
            ),
        ];
        for (wire, expected) in replies {
            for step in 1..=wire.len() {
                assert_eq!(read(wire.as_bytes(), step), expected, "{wire:?} by {step}");
            }
        }
    }

    #[test]
    fn what_is_no_whole_reply_says_why() {
        let endless = ["HTTP/1.1 200 OK\r\nX: ", &"x".repeat(HEAD_MAX)].concat();
        let replies = [
            ("", "connection closed without an answer"),
            ("HTTP/1.1 200", "connection closed within the HTTP head"),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "not an HTTP answer"),
            ("HTTP/1.1 2000 OK\r\n\r\n", "not an HTTP answer"),
            ("HTTP/1.1 OK\r\n\r\n", "not an HTTP answer"),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "malformed Content-Length"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                "two different Content-Length",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", "body ended after 2 of 9 bytes"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab",
                "body ended after 2 bytes, before its last chunk",
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz", "malformed chunked body"),
            (endless.as_str(), "HTTP head longer than 65536 bytes"),
        ];
        for (wire, reason) in replies {
            let mut reply = Reply::new(Wanted { digest: false, body: true });
            let progress = match reply.handle_bytes(wire.as_bytes()) {
                Progress::More => reply.handle_end(),
                done => done,
            };
            assert_eq!(progress, Progress::Broken(reason.into()), "{wire:.60}");
        }
    }

    #[test]
    fn a_digest_reads_pages_with_wrong_framing_as_genhash_does() {
        use super::super::genhash::PageDigest;
        let wires = [
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\nhello\r\nFFF\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
        ];
        for wire in wires {
            let mut genhash = PageDigest::default();
            genhash.handle_bytes(wire.as_bytes());
            for step in [1, 7, wire.len()] {
                let Progress::Page(page) = read(wire.as_bytes(), step) else { panic!("{wire}") };
                let digests = [Some(page.digest), page.coded_digest];
                assert!(digests.contains(&Some(genhash.digest())), "{wire} by {step}");
            }
        }
    }

    #[test]
    fn a_body_without_end_is_read_up_to_its_bound() {
        let mut reply = Reply::new(ALL);
        assert_eq!(reply.handle_bytes(b"HTTP/1.0 200 OK\r\n\r\n"), Progress::More);
        let part = [0; 1 << 16];
        for _ in 0..BODY_MAX / (1 << 16) {
            assert_eq!(reply.handle_bytes(&part), Progress::More);
        }
        let Progress::Page(page) = reply.handle_bytes(&part) else { panic!("a page") };
        assert!(page.cut && page.body_cut && page.body.len() == SEARCHED_MAX);
    }

    #[test]
    fn damaged_replies_read_the_same_in_one_piece_and_byte_by_byte() {
        let wires: [&[u8]; 2] = [
            b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world",
            b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5;x\nhello\n0\nA: b\n\n",
        ];
        let mut random = 1u64;
        for round in 0..20_000 {
            let mut wire = wires[round % 2].to_vec();
            for _ in 0..=round % 3 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (random >> 40) as usize % wire.len();
                wire[at] = b"0129af \r\n:;/\x00\xff"[(random >> 20) as usize % 14];
            }
            let text = alloc::string::String::from_utf8_lossy(&wire).into_owned();
            assert_eq!(read(&wire, wire.len()), read(&wire, 1), "{text:?}");
        }
    }
}
