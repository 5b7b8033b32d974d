//! X-Forwarded-For.

use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::net::IpAddr;

use model::proxy::ForwardFor;

use crate::http1::{Request, header_values};
use crate::rules::contains;

/// Longest header name accepted for the client's address.
pub const NAME_MAX: usize = 200;

/// Appends the header line for this request to `line`, unless the client is excepted or the
/// header is there already and that is enough.
pub fn append_line(
    settings: &ForwardFor,
    client: IpAddr,
    bytes: &[u8],
    request: &Request,
    line: &mut Vec<u8>,
) {
    let client = client.to_canonical();
    if settings.except.is_some_and(|network| contains(network, client)) {
        return;
    }
    if settings.if_none {
        let headers = &bytes[request.head.headers_at..request.head.length];
        if header_values(headers, settings.header.as_bytes()).next().is_some() {
            return;
        }
    }
    line.extend_from_slice(settings.header.as_bytes());
    line.extend_from_slice(b": ");
    // Writing to memory cannot fail.
    let _ = write!(Text(line), "{client}");
    line.extend_from_slice(b"\r\n");
}

/// Formats text into bytes.
pub(crate) struct Text<'a>(pub(crate) &'a mut Vec<u8>);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Parsed, parse_request};

    fn line(except: Option<&str>, if_none: bool, headers: &str) -> String {
        let text = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        let Parsed::Complete(request) = parse_request(text.as_bytes()) else { panic!() };
        let settings = ForwardFor {
            header: "X-Forwarded-For".into(),
            except: except.map(|network| (network.parse().unwrap(), 8)),
            if_none,
        };
        let mut line = Vec::new();
        append_line(&settings, "10.0.0.7".parse().unwrap(), text.as_bytes(), &request, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn the_client_is_named_unless_excepted_or_present() {
        let ours = "X-Forwarded-For: 10.0.0.7\r\n";
        let theirs = "x-forwarded-for: 1.1.1.1\r\n";
        assert_eq!(line(None, false, theirs), ours);
        assert_eq!(line(None, true, theirs), "");
        assert_eq!(line(None, true, ""), ours);
        assert_eq!(line(Some("10.0.0.0"), false, ""), "");
        assert_eq!(line(Some("127.0.0.0"), false, ""), ours);
    }
}
