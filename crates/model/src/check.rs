//! What a checker does: shared by keepalived.conf's checkers and haproxy.cfg's `check`.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// One checker of one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Checker {
    /// What is tried.
    pub kind: CheckKind,
    /// Where it connects to: the server's own address and port unless the file says otherwise.
    pub target: SocketAddr,
    /// Source address and port to bind, if any (`bindto`, `bind_port`).
    pub bind: Option<SocketAddr>,
    /// Bound on the connect, and again on the exchange that follows (`connect_timeout`).
    pub timeout: Duration,
    /// When it is tried, and how many results change the verdict.
    pub pace: Pace,
}

/// When a check runs and how its results become a verdict.
///
/// Keepalived's `retry N` is `fall: N + 1, rise: 1` with `retry_interval: delay_before_retry`;
/// HAProxy's `inter/fastinter/downinter rise fall` map one to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pace {
    /// Time between the start of two checks while the server's state is settled and up.
    pub interval: Duration,
    /// The same while the server is down.
    pub down_interval: Duration,
    /// Wait before the next try while results disagree with the state.
    pub retry_interval: Duration,
    /// Successes in a row that bring a server up. At least 1.
    pub rise: u32,
    /// Failures in a row that take a server down. At least 1.
    pub fall: u32,
    /// Bound of the random wait before the first check (`warmup`).
    pub warmup: Duration,
    /// The verdict before the first result: Keepalived and HAProxy both begin with up.
    pub initially_up: bool,
}

/// What a checker tries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CheckKind {
    /// The connection opens (TCP_CHECK; HAProxy's plain `check`).
    Tcp,
    /// Each page answers as it should, in order, one connection each (HTTP_GET).
    HttpGet(Vec<UrlCheck>),
}

/// One `url` block of HTTP_GET.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UrlCheck {
    /// Request target, beginning with `/`.
    pub path: String,
    /// Value of the Host header; the target's address and port when absent.
    pub virtual_host: Option<String>,
    /// MD5 of the body, as genhash prints it.
    pub digest: Option<[u8; 16]>,
    /// Status codes accepted, inclusive. When neither this nor a digest is given: 200 to 299.
    pub status: Option<(u16, u16)>,
}
