//! Request heads.

use core::ops::Range;

use super::body::Body;
use super::head::{Head, Invalid, Parsed, check_request, read_headers};
use super::scan;

/// What the method means for framing and retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD: the response has no body.
    Head,
    /// CONNECT: a 2xx response opens a tunnel.
    Connect,
    /// Another method that may be repeated without harm (RFC 9110 9.2.2).
    Idempotent,
    /// POST, PATCH and everything unknown.
    Other,
}

/// A parsed request head; ranges point into the bytes it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method's kind.
    pub method: Method,
    /// Length of the method's name, which the head begins with.
    pub method_length: usize,
    /// The request target.
    pub target: Range<usize>,
    /// Length of the request line without its line end.
    pub line_length: usize,
    /// The header section.
    pub head: Head,
}

impl Request {
    /// The body that follows.
    pub fn body(&self) -> Body {
        match self.head.content_length {
            _ if self.head.chunked => Body::chunked(),
            Some(length) => Body::length(length),
            None => Body::NONE,
        }
    }

    /// A protocol switch is asked for (RFC 9110 7.8).
    pub fn asks_upgrade(&self) -> bool {
        self.head.upgrade && self.head.wishes.upgrade && self.head.minor == 1
    }

    /// The path: the target without scheme, authority and query.
    pub fn path<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let target = &bytes[self.target.clone()];
        let path = match target.first() {
            Some(b'/') => target,
            _ => match authority_at(target) {
                Some(at) => {
                    let rest = &target[at..];
                    rest.iter().position(|&byte| byte == b'/').map_or(&b"/"[..], |at| &rest[at..])
                }
                None => target,
            },
        };
        path.split(|&byte| byte == b'?').next().unwrap_or(path)
    }
}

/// Reads a request head at the start of `bytes`. One empty line before it is the caller's to skip
/// ([`leading_line_ends`]).
pub fn parse_request(bytes: &[u8]) -> Parsed<Request> {
    match try_parse(bytes) {
        Ok(Some(request)) => Parsed::Complete(request),
        Ok(None) => Parsed::Partial,
        Err(invalid) => Parsed::Invalid(invalid),
    }
}

/// Bytes of empty lines before a request, which robust servers ignore (RFC 9112 2.2).
pub fn leading_line_ends(bytes: &[u8]) -> usize {
    bytes.chunks(2).take_while(|pair| pair == b"\r\n").count() * 2
}

fn try_parse(bytes: &[u8]) -> Result<Option<Request>, Invalid> {
    let method_length = scan::token(bytes);
    match bytes.get(method_length) {
        None => return Ok(None),
        Some(b' ') if method_length > 0 => {}
        Some(_) => return Err(Invalid::FirstLine),
    }
    let target_at = method_length + 1;
    let target_end = target_at + scan::target(&bytes[target_at..]);
    match bytes.get(target_end) {
        None => return Ok(None),
        Some(b' ') if target_end > target_at => {}
        Some(_) => return Err(Invalid::FirstLine),
    }
    let version_at = target_end + 1;
    let Some(minor) = version(&bytes[version_at..])? else { return Ok(None) };
    let line_length = version_at + 8;
    match &bytes[line_length..] {
        [] | [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => {}
        _ => return Err(Invalid::FirstLine),
    }
    let mut head = Head::new(minor);
    if !read_headers(bytes, line_length + 2, &mut head)? {
        return Ok(None);
    }
    check_request(&head)?;
    let method = match &bytes[..method_length] {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"CONNECT" => Method::Connect,
        b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE" => Method::Idempotent,
        _ => Method::Other,
    };
    let target = target_at..target_end;
    check_target(method, &bytes[target.clone()], head.host(bytes))?;
    // It has no content: servers do not agree on where such a message would end.
    if method == Method::Connect && (head.chunked || head.content_length.is_some_and(|n| n > 0)) {
        return Err(Invalid::ContentLength);
    }
    Ok(Some(Request { method, method_length, target, line_length, head }))
}

fn check_target(method: Method, target: &[u8], host: Option<&[u8]>) -> Result<(), Invalid> {
    let origin = target.first() == Some(&b'/');
    if method != Method::Connect && (origin || target == b"*") {
        return Ok(());
    }
    let authority = match (method, authority_at(target)) {
        (Method::Connect, None) if !origin => target,
        (Method::Get | Method::Head | Method::Idempotent | Method::Other, Some(at)) => {
            let rest = &target[at..];
            rest.split(|byte| matches!(byte, b'/' | b'?')).next().unwrap_or(rest)
        }
        _ => return Err(Invalid::FirstLine),
    };
    // Rules look at one of the two and servers at the other (RFC 9112 3.2.2).
    match host {
        Some(host) if !bare_host(host).eq_ignore_ascii_case(bare_host(authority)) => {
            Err(Invalid::Host)
        }
        _ => Ok(()),
    }
}

/// Where the authority of an absolute target begins.
fn authority_at(target: &[u8]) -> Option<usize> {
    let of_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let end = target.iter().position(|byte| !of_scheme(byte))?;
    (end > 0 && target[end..].starts_with(b"://")).then_some(end + 3)
}

/// Without user and well-known port.
fn bare_host(authority: &[u8]) -> &[u8] {
    let host = authority.rsplit(|&byte| byte == b'@').next().unwrap_or(authority);
    host.strip_suffix(b":80").or_else(|| host.strip_suffix(b":443")).unwrap_or(host)
}

/// `HTTP/1.x` at the start of `bytes`: its minor version, `None` while it is cut short.
pub(super) fn version(bytes: &[u8]) -> Result<Option<u8>, Invalid> {
    const NAME: &[u8] = b"HTTP/1.";
    let Some((name, rest)) = bytes.split_at_checked(NAME.len()) else {
        return if NAME.starts_with(bytes) { Ok(None) } else { Err(Invalid::Version) };
    };
    match rest.first() {
        _ if name != NAME => Err(Invalid::Version),
        None => Ok(None),
        Some(b'0') => Ok(Some(0)),
        Some(b'1') => Ok(Some(1)),
        Some(_) => Err(Invalid::Version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn complete(text: &str) -> Request {
        match parse_request(text.as_bytes()) {
            Parsed::Complete(request) => request,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn invalid(text: &str) -> Invalid {
        match parse_request(text.as_bytes()) {
            Parsed::Invalid(why) => why,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_plain_request_is_read_in_one_go() {
        let text = "GET /a/b?c=d HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive, Upgrade\r\nUpgrade: websocket\r\n\r\nrest";
        let request = complete(text);
        assert_eq!(request.method, Method::Get);
        assert_eq!(request.path(text.as_bytes()), b"/a/b");
        assert_eq!(request.head.length, text.len() - 4);
        assert!(request.asks_upgrade() && request.head.keeps_alive());
        let line = request.head.connection_lines.iter().next().unwrap();
        assert_eq!(&text[line], "Connection: Keep-Alive, Upgrade\r\n");
        assert!(request.body().is_done());
    }

    #[test]
    fn http_1_0_closes_unless_asked_otherwise() {
        assert!(!complete("GET / HTTP/1.0\r\n\r\n").head.keeps_alive());
        assert!(complete("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").head.keeps_alive());
        assert!(!complete("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").head.keeps_alive());
    }

    #[test]
    fn the_path_of_an_absolute_target_has_no_authority() {
        for (target, path) in [
            ("http://host/x/y?z", "/x/y"),
            ("http://host", "/"),
            ("*", "*"),
            ("/?a", "/"),
            ("/x?u=http://h/y", "/x"),
        ] {
            let text = format!("OPTIONS {target} HTTP/1.1\r\n\r\n");
            assert_eq!(complete(&text).path(text.as_bytes()), path.as_bytes(), "{target}");
        }
    }

    #[test]
    fn what_smuggles_or_confuses_is_refused() {
        use Invalid as I;
        for (headers, why) in [
            ("Content-Length: 5\r\nContent-Length: 6", I::ContentLength),
            ("Content-Length: 5, 5", I::ContentLength),
            ("Content-Length:", I::ContentLength),
            ("Content-Length: +5", I::ContentLength),
            ("Content-Length: 0x5", I::ContentLength),
            ("Content-Length: 99999999999999999999", I::ContentLength),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", I::TransferEncoding),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5", I::TransferEncoding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", I::TransferEncoding),
            ("Transfer-Encoding: chunked, chunked", I::TransferEncoding),
            ("Transfer-Encoding: chunked, identity", I::TransferEncoding),
            ("Transfer-Encoding: identity", I::TransferEncoding),
            ("Transfer-Encoding: xchunked", I::TransferEncoding),
            ("Transfer-Encoding:", I::TransferEncoding),
            ("Transfer-Encoding: \u{b}chunked", I::HeaderValue),
            ("Transfer-Encoding : chunked", I::HeaderName),
            (" Transfer-Encoding: chunked", I::HeaderValue),
            ("X: y\r\n folded: z", I::HeaderValue),
            ("X: a\0b", I::HeaderValue),
            ("X: a\nY: b", I::HeaderValue),
            ("X: a\rY: b", I::HeaderValue),
            (": empty", I::HeaderName),
            ("no colon", I::HeaderName),
            ("X\u{e4}: y", I::HeaderName),
            ("Host: a\r\nHost: a", I::Host),
            (
                "Connection: a\r\nConnection: a\r\nConnection: a\r\nConnection: a\r\nConnection: a",
                I::TooManyLines,
            ),
        ] {
            let text = format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n");
            assert_eq!(invalid(&text), why, "{headers:?}");
        }
    }

    #[test]
    fn a_length_said_twice_alike_is_forwarded_once() {
        let text = "POST / HTTP/1.1\r\nContent-Length: 5\r\ncontent-length:5\r\n\r\n";
        let request = complete(text);
        assert_eq!(request.body(), Body::length(5));
        let cut: Vec<&str> = request.head.connection_lines.iter().map(|at| &text[at]).collect();
        assert_eq!(cut, ["content-length:5\r\n"]);
    }

    #[test]
    fn target_and_host_must_name_the_same_host() {
        for (line, host, fine) in [
            ("GET http://a/x", "a", true),
            ("GET http://a/x", "b", false),
            ("GET http://A:80?x", "a", true),
            ("GET http://a:81/x", "a", false),
            ("GET http://b@a/x", "a", true),
            ("GET http://b@a/x", "b", false),
            ("CONNECT a:443", "a:443", true),
            ("CONNECT a:443", "a", true),
            ("CONNECT a:443", "b:443", false),
            ("GET x?http://a/", "a", false),
        ] {
            let text = format!("{line} HTTP/1.1\r\nX: y\r\nHost: {host}\r\n\r\n");
            let parsed = parse_request(text.as_bytes());
            assert_eq!(matches!(parsed, Parsed::Complete(_)), fine, "{line} {host}");
        }
        assert_eq!(
            invalid("CONNECT a:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\n"),
            Invalid::ContentLength
        );
    }

    #[test]
    fn odd_request_lines_are_refused() {
        for line in [
            " GET / HTTP/1.1",
            "GET  / HTTP/1.1",
            "GET /  HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /",
            "G(T / HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "GET /\u{e4} HTTP/1.1",
            "GET / HTTP/2.0",
            "GET / HTTP/1.2",
            "GET / http/1.1",
            "GET / HTTP/1.10",
            "GET x HTTP/1.1",
            "CONNECT /x HTTP/1.1",
            "\u{16}\u{3}\u{1}",
        ] {
            let text = format!("{line}\r\n\r\n");
            assert!(matches!(parse_request(text.as_bytes()), Parsed::Invalid(_)), "{line:?}");
        }
        assert_eq!(
            invalid("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Invalid::TransferEncoding
        );
    }

    #[test]
    fn chunked_behind_another_coding_is_chunked() {
        assert!(
            complete("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n").head.chunked
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_request(&bytes);
        }

        #[test]
        fn every_prefix_of_a_valid_head_is_partial(path in "/[a-z/]{0,20}", value in "[ -~]{0,30}", close in any::<bool>()) {
            let connection = if close { "close" } else { "keep-alive" };
            let text = format!("GET {path} HTTP/1.1\r\nX-Some: {value}\r\nConnection: {connection}\r\n\r\n");
            for cut in 0..text.len() {
                prop_assert_eq!(parse_request(&text.as_bytes()[..cut]), Parsed::Partial);
            }
            prop_assert_eq!(complete(&text).head.length, text.len());
        }
    }
}
