//! Answers the proxy gives itself.

/// An answer in place of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 400: the request cannot be understood, or not safely.
    BadRequest,
    /// 408: the request did not come in time.
    RequestTimeout,
    /// 502: the response cannot be understood, or broke off before its body.
    BadGateway,
    /// 503: no server takes it.
    ServiceUnavailable,
    /// 504: the server did not answer in time.
    GatewayTimeout,
}

macro_rules! page {
    ($line:literal, $text:literal) => {
        concat!(
            "HTTP/1.1 ",
            $line,
            "\r\ncache-control: no-cache\r\nconnection: close\r\n",
            "content-type: text/html\r\n\r\n<!doctype html>\n<title>",
            $line,
            "</title>\n<h1>",
            $line,
            "</h1>\n<p>",
            $text,
            "</p>\n"
        )
    };
}

impl Reply {
    /// Its status code.
    pub fn status(self) -> u16 {
        match self {
            Reply::BadRequest => 400,
            Reply::RequestTimeout => 408,
            Reply::BadGateway => 502,
            Reply::ServiceUnavailable => 503,
            Reply::GatewayTimeout => 504,
        }
    }

    /// The whole message; the connection closes behind it, which ends its body.
    pub fn message(self) -> &'static [u8] {
        match self {
            Reply::BadRequest => {
                page!("400 Bad Request", "This request cannot be understood.")
            }
            Reply::RequestTimeout => {
                page!("408 Request Timeout", "The request did not arrive in time.")
            }
            Reply::BadGateway => {
                page!("502 Bad Gateway", "The server's answer was broken.")
            }
            Reply::ServiceUnavailable => {
                page!("503 Service Unavailable", "No server can take this request.")
            }
            Reply::GatewayTimeout => {
                page!("504 Gateway Timeout", "The server did not answer in time.")
            }
        }
        .as_bytes()
    }

    /// The message without its body, for HEAD.
    pub fn head(self) -> &'static [u8] {
        let message = self.message();
        let end = crate::http1::find_end(message, 0).unwrap_or(message.len());
        &message[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Parsed, parse_response};

    #[test]
    fn every_reply_is_a_response_that_closes() {
        for reply in [
            Reply::BadRequest,
            Reply::RequestTimeout,
            Reply::BadGateway,
            Reply::ServiceUnavailable,
            Reply::GatewayTimeout,
        ] {
            let Parsed::Complete(response) = parse_response(reply.message()) else { panic!() };
            assert_eq!(response.status, reply.status());
            assert!(response.head.wishes.close);
            assert_eq!(response.head.length, reply.head().len());
        }
    }
}
