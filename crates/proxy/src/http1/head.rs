//! What requests and responses have in common: header lines.

use core::ops::Range;

use super::scan;

/// What a parser says about the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The head is not complete.
    Partial,
    /// No head can begin like this.
    Invalid(Invalid),
    /// A whole head.
    Complete(T),
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not a request line, or not a status line.
    FirstLine,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    Version,
    /// A header name that is empty, not a token, or followed by space.
    HeaderName,
    /// A control character, NUL or a bare line end in a value, or a folded line.
    HeaderValue,
    /// A Content-Length that is empty, not a number, too large, or given twice and differently.
    ContentLength,
    /// A Transfer-Encoding other than one that ends in `chunked`, or beside a Content-Length.
    TransferEncoding,
    /// More than one Host, or one that is not the target's.
    Host,
    /// More connection headers than anybody sends.
    TooManyLines,
}

/// What Connection headers ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
}

/// Lines that are not forwarded: those that concern one connection (Connection, Keep-Alive,
/// Proxy-Connection), and a Content-Length said again or overruled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    ranges: [(u32, u32); Lines::MAX],
    count: u8,
}

impl Lines {
    /// Most lines kept.
    pub const MAX: usize = 4;

    fn push(&mut self, start: usize, end: usize) -> Result<(), Invalid> {
        let slot = self.ranges.get_mut(usize::from(self.count)).ok_or(Invalid::TooManyLines)?;
        *slot = (start as u32, end as u32);
        self.count += 1;
        self.ranges[..usize::from(self.count)].sort_unstable();
        Ok(())
    }

    /// The lines, line ends included, in the order of the message.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<usize>> + '_ {
        self.ranges[..usize::from(self.count)].iter().map(|&(from, to)| from as usize..to as usize)
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The header section of a message, as far as a forwarder must understand it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Length of the head, the empty line included.
    pub length: usize,
    /// Where the header lines begin.
    pub headers_at: usize,
    /// Minor version: 0 or 1.
    pub minor: u8,
    /// Content-Length.
    pub content_length: Option<u64>,
    /// The body is chunked.
    pub chunked: bool,
    /// The Connection headers.
    pub wishes: Wishes,
    /// There is an Upgrade header.
    pub upgrade: bool,
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
    /// Lines that are not forwarded.
    pub connection_lines: Lines,
    length_line: (u32, u32),
    host_line: (u32, u32),
    hosts: u8,
    encodings: u8,
}

impl Head {
    pub(super) fn new(minor: u8) -> Head {
        Head { minor, ..Head::default() }
    }

    /// Both the peer's version and its wishes let the connection stay open after the message.
    pub fn keeps_alive(&self) -> bool {
        !self.wishes.close && (self.minor == 1 || self.wishes.keep_alive)
    }

    /// The value of Host, in the bytes the head was read from.
    pub(super) fn host<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (from, to) = self.host_line;
        let line = bytes.get(from as usize..to as usize)?;
        line.get(b"host:".len()..line.len().checked_sub(2)?).map(trim)
    }
}

/// Reads header lines from `at` to the empty line. `Ok(false)` when they are not all there.
pub(super) fn read_headers(bytes: &[u8], mut at: usize, head: &mut Head) -> Result<bool, Invalid> {
    head.headers_at = at;
    loop {
        let Some(rest) = bytes.get(at..) else { return Ok(false) };
        match rest {
            [b'\r', b'\n', ..] => {
                head.length = at + 2;
                return Ok(true);
            }
            [] | [b'\r'] => return Ok(false),
            [b' ' | b'\t', ..] => return Err(Invalid::HeaderValue),
            _ => {}
        }
        let name_length = scan::token(rest);
        match rest.get(name_length) {
            None => return Ok(false),
            Some(b':') if name_length > 0 => {}
            Some(_) => return Err(Invalid::HeaderName),
        }
        let value_at = name_length + 1;
        let value_length = scan::value_end(&rest[value_at..]);
        let line_end = value_at + value_length;
        match &rest[line_end..] {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Ok(false),
            _ => return Err(Invalid::HeaderValue),
        }
        let value = trim(&rest[value_at..line_end]);
        note(head, &rest[..name_length], value, at, at + line_end + 2)?;
        at += line_end + 2;
    }
}

/// Remembers what matters of one line. Names are told apart by their length first.
fn note(head: &mut Head, name: &[u8], value: &[u8], from: usize, to: usize) -> Result<(), Invalid> {
    match name.len() {
        4 if name.eq_ignore_ascii_case(b"host") => {
            head.hosts = head.hosts.saturating_add(1);
            head.host_line = (from as u32, to as u32);
        }
        6 if name.eq_ignore_ascii_case(b"expect") => {
            head.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
        }
        7 if name.eq_ignore_ascii_case(b"upgrade") => head.upgrade = true,
        10 if name.eq_ignore_ascii_case(b"connection") => {
            for token in tokens(value) {
                head.wishes.close |= token.eq_ignore_ascii_case(b"close");
                head.wishes.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                head.wishes.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
            }
            head.connection_lines.push(from, to)?;
        }
        10 if name.eq_ignore_ascii_case(b"keep-alive") => head.connection_lines.push(from, to)?,
        16 if name.eq_ignore_ascii_case(b"proxy-connection") => {
            head.connection_lines.push(from, to)?;
        }
        14 if name.eq_ignore_ascii_case(b"content-length") => {
            let length = decimal(value).ok_or(Invalid::ContentLength)?;
            match head.content_length {
                None => head.length_line = (from as u32, to as u32),
                // The same once more is forwarded once (RFC 9110 8.6).
                Some(before) if before == length => head.connection_lines.push(from, to)?,
                Some(_) => return Err(Invalid::ContentLength),
            }
            head.content_length = Some(length);
        }
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
            // One line, `chunked` once and last (RFC 9112 6.1).
            head.encodings = head.encodings.saturating_add(1);
            let mut codings = tokens(value).rev();
            let last = codings.next().unwrap_or_default();
            let sane = last.eq_ignore_ascii_case(b"chunked")
                && codings.all(|c| !c.is_empty() && !c.eq_ignore_ascii_case(b"chunked"));
            if !sane || head.encodings > 1 {
                return Err(Invalid::TransferEncoding);
            }
            head.chunked = true;
        }
        _ => {}
    }
    Ok(())
}

/// What a request may not leave open.
pub(super) fn check_request(head: &Head) -> Result<(), Invalid> {
    // Two framings in one message are how requests are smuggled (RFC 9112 6.3).
    if head.chunked && (head.content_length.is_some() || head.minor == 0) {
        return Err(Invalid::TransferEncoding);
    }
    if head.hosts > 1 {
        return Err(Invalid::Host);
    }
    Ok(())
}

/// A response with both framings, or chunked in HTTP/1.0, is chunked; its length goes no further
/// and its connection carries no other (RFC 9112 6.1, 6.3).
pub(super) fn settle_response(head: &mut Head) -> Result<(), Invalid> {
    if head.chunked && (head.content_length.is_some() || head.minor == 0) {
        head.wishes.close = true;
        if head.content_length.take().is_some() {
            let (from, to) = head.length_line;
            head.connection_lines.push(from as usize, to as usize)?;
        }
    }
    Ok(())
}

/// The comma-separated elements of a value, trimmed.
pub(super) fn tokens(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

/// Without spaces and tabs around it.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Digits only, no sign, no overflow, not empty (CVE-2023-40225, CVE-2021-40346).
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Index behind the empty line that ends a head, searching from `from` on: so that a head that
/// trickles in is not parsed again for every byte.
pub fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(3);
    bytes.get(from..)?.windows(4).position(|window| window == b"\r\n\r\n").map(|at| from + at + 4)
}

/// Every value of a header in a valid head, commas split, in order. `headers` begins at the first
/// header line ([`Head::headers_at`]).
pub fn header_values<'a>(headers: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    headers
        .split(|&byte| byte == b'\n')
        .filter_map(move |line| {
            let (given, rest) = line.split_at_checked(name.len())?;
            let value = rest.strip_prefix(b":")?;
            given.eq_ignore_ascii_case(name).then_some(value.strip_suffix(b"\r").unwrap_or(value))
        })
        .flat_map(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_split_at_commas_and_found_without_regard_to_case() {
        let headers = b"Accept: a, b\r\nX-Accept: no\r\nACCEPT:c\r\n\r\n";
        let values: Vec<&[u8]> = header_values(headers, b"accept").collect();
        assert_eq!(values, [b"a", b"b", b"c"]);
    }

    #[test]
    fn the_end_of_a_head_is_found_across_the_seam_of_two_reads() {
        assert_eq!(find_end(b"GET / HTTP/1.1\r\n\r\nrest", 16), Some(18));
        assert_eq!(find_end(b"GET / HTTP/1.1\r\n", 0), None);
    }

    #[test]
    fn a_number_has_only_digits_and_fits() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for wrong in [&b"18446744073709551616"[..], b"", b"+1", b"-1", b"1 1", b"0x10", b"1,1"] {
            assert_eq!(decimal(wrong), None);
        }
    }
}
