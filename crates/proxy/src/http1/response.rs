//! Response heads.

use super::body::Body;
use super::head::{Head, Invalid, Parsed, read_headers, settle_response};
use super::request::{Method, version};

/// A parsed response head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code, 100 to 999.
    pub status: u16,
    /// The header section.
    pub head: Head,
}

impl Response {
    /// An answer before the answer (1xx without 101).
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// The body that follows, given the request's method (RFC 9112 6.3).
    pub fn body(&self, method: Method) -> Body {
        if method == Method::Head || self.status < 200 || matches!(self.status, 204 | 304) {
            return Body::NONE;
        }
        match self.head.content_length {
            _ if self.head.chunked => Body::chunked(),
            Some(length) => Body::length(length),
            None => Body::UNTIL_CLOSE,
        }
    }
}

/// Reads a response head at the start of `bytes`.
pub fn parse_response(bytes: &[u8]) -> Parsed<Response> {
    match try_parse(bytes) {
        Ok(Some(response)) => Parsed::Complete(response),
        Ok(None) => Parsed::Partial,
        Err(invalid) => Parsed::Invalid(invalid),
    }
}

fn try_parse(bytes: &[u8]) -> Result<Option<Response>, Invalid> {
    let Some(minor) = version(bytes)? else { return Ok(None) };
    let Some((code, rest)) = bytes[8..].split_first_chunk::<4>() else { return Ok(None) };
    let [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = *code else {
        return Err(Invalid::FirstLine);
    };
    let status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    let reason = super::scan::value_end(rest);
    match (rest.first(), &rest[reason..]) {
        (None, _) | (Some(b' ' | b'\r'), [] | [b'\r']) => return Ok(None),
        (Some(b' ' | b'\r'), [b'\r', b'\n', ..]) => {}
        _ => return Err(Invalid::FirstLine),
    }
    let mut head = Head::new(minor);
    if !read_headers(bytes, 12 + reason + 2, &mut head)? {
        return Ok(None);
    }
    settle_response(&mut head)?;
    Ok(Some(Response { status, head }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn complete(text: &str) -> Response {
        match parse_response(text.as_bytes()) {
            Parsed::Complete(response) => response,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn bodies_follow_status_and_method() {
        let with = |status: u16, headers: &str| {
            complete(&format!("HTTP/1.1 {status} Reason\r\n{headers}\r\n"))
        };
        let length = with(200, "Content-Length: 5\r\n");
        assert_eq!(length.body(Method::Get), Body::length(5));
        assert_eq!(length.body(Method::Head), Body::NONE);
        assert_eq!(with(304, "Content-Length: 5\r\n").body(Method::Get), Body::NONE);
        assert_eq!(with(204, "").body(Method::Get), Body::NONE);
        assert_eq!(with(200, "").body(Method::Get), Body::UNTIL_CLOSE);
        assert_eq!(with(200, "Transfer-Encoding: chunked\r\n").body(Method::Get), Body::chunked());
        assert!(with(103, "").is_interim() && !with(101, "").is_interim());
    }

    #[test]
    fn a_reason_may_be_empty_or_missing() {
        assert_eq!(complete("HTTP/1.0 200 \r\n\r\n").status, 200);
        assert_eq!(complete("HTTP/1.0 404\r\n\r\n").status, 404);
    }

    #[test]
    fn a_response_with_two_framings_is_chunked_and_the_last_of_its_connection() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n";
        let response = complete(text);
        assert_eq!(response.body(Method::Get), Body::chunked());
        assert!(!response.head.keeps_alive());
        let cut: Vec<&str> = response.head.connection_lines.iter().map(|at| &text[at]).collect();
        let length = "Content-Length: 1\r\n";
        assert_eq!(cut, [length, "Connection: keep-alive\r\n", length]);
        let old = complete(
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        assert!(old.head.chunked && !old.head.keeps_alive());
    }

    #[test]
    fn broken_responses_are_refused() {
        for text in [
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ] {
            assert!(matches!(parse_response(text.as_bytes()), Parsed::Invalid(_)), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), begin in any::<bool>()) {
            if begin {
                bytes.splice(0..0, *b"HTTP/1.1 200 ");
            }
            let _ = parse_response(&bytes);
        }
    }
}
