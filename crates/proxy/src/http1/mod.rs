//! HTTP/1 on the wire: heads, bodies, and edits in place (RFC 9112).

pub mod body;
pub mod edit;
pub mod head;
pub mod request;
pub mod response;
mod scan;

pub use body::{BadBody, Body};
pub use edit::{HEADROOM, TAILROOM};
pub use head::{Head, Invalid, Parsed, find_end, header_values};
pub use request::{Request, parse_request};
pub use response::{Response, parse_response};

/// Longest head accepted, first line and headers: HAProxy's `tune.bufsize` less its
/// `tune.maxrewrite`, both at their defaults.
pub const HEAD_MAX: usize = 15_360;
