//! What a checker does: shared by keepalived.conf's checkers and haproxy.cfg's `check`.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::compact::{is_default, nanoseconds};
use crate::units::Time;
use crate::vrrp::Command;

/// One checker of one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Checker {
    /// What is tried.
    pub kind: CheckKind,
    /// Where it connects to: the server's own address and port unless the file says otherwise.
    /// Port 0 for kinds that have none.
    pub target: SocketAddr,
    /// Source of its connections.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: Source,
    /// Bound on the connect, and again on the exchange that follows (`connect_timeout`,
    /// `misc_timeout`).
    #[serde(with = "nanoseconds")]
    pub timeout: Duration,
    /// When it is tried, and how many results change the verdict.
    pub pace: Pace,
    /// Every failure is told, not only the one that changes the verdict (`log_all_failures`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub log_all_failures: bool,
}

impl Checker {
    /// One whose packets come from wherever the system says, and that tells of changes only.
    pub fn new(kind: CheckKind, target: SocketAddr, timeout: Duration, pace: Pace) -> Checker {
        let source = Source::default();
        Checker { kind, target, source, timeout, pace, log_all_failures: false }
    }
}

/// What a checker knows, for one that goes on in its place: after a reload, or in a process started
/// anew. Times are those of the monotonic clock since boot, which all processes share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Its verdict.
    pub up: bool,
    /// What it adds to the weight of the server.
    pub weight: i32,
    /// Failures in a row.
    pub failures: u32,
    /// Text of the last result.
    pub last_result: Option<String>,
    /// When that was.
    pub last_at: Option<Time>,
    /// When the next probe begins, if that is to stay so.
    pub next: Option<Time>,
    /// It never had a result: the first failure counts without another try.
    pub untried: bool,
    /// The url whose turn it is.
    pub place: u16,
    /// The url that took the server down, and has not answered since.
    pub failed: Option<u16>,
}

impl Former {
    /// A verdict of which nothing more is known.
    pub fn new(up: bool) -> Former {
        Former {
            up,
            weight: 0,
            failures: 0,
            last_result: None,
            last_at: None,
            next: None,
            untried: false,
            place: 0,
            failed: None,
        }
    }
}

/// Where the packets of a checker come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// Address and port to bind, if any (`bindto`, `bind_port`).
    pub bind: Option<SocketAddr>,
    /// Interface to bind to (`bind_if`).
    pub interface: Option<String>,
    /// Firewall mark of its packets, 0 for none (`fwmark`).
    pub mark: u32,
}

/// When a check runs and how its results become a verdict.
///
/// Keepalived's `retry N` is `fall: N + 1, rise: 1` with `retry_interval: delay_before_retry`;
/// HAProxy's `inter/fastinter/downinter rise fall` map one to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pace {
    /// Time between the start of two checks while the server's state is settled and up.
    #[serde(with = "nanoseconds")]
    pub interval: Duration,
    /// The same while the server is down.
    #[serde(with = "nanoseconds")]
    pub down_interval: Duration,
    /// Wait before the next try while results disagree with the state.
    #[serde(with = "nanoseconds")]
    pub retry_interval: Duration,
    /// Successes in a row that bring a server up. At least 1.
    pub rise: u32,
    /// Failures in a row that take a server down. At least 1.
    pub fall: u32,
    /// Bound of the random wait before the first check (`warmup`).
    #[serde(with = "nanoseconds")]
    pub warmup: Duration,
    /// The verdict before the first result: Keepalived and HAProxy both begin with up.
    pub initially_up: bool,
}

impl Pace {
    /// At this interval whatever happens, beginning at once with up; every result is a verdict.
    pub const fn every(interval: Duration) -> Pace {
        Pace {
            interval,
            down_interval: interval,
            retry_interval: interval,
            rise: 1,
            fall: 1,
            warmup: Duration::ZERO,
            initially_up: true,
        }
    }
}

/// What a checker tries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CheckKind {
    /// The connection opens (TCP_CHECK; HAProxy's plain `check`).
    Tcp,
    /// Each page answers as it should, in order, one connection each (HTTP_GET, SSL_GET).
    Http(HttpCheck),
    /// The mail server greets and takes a HELO (SMTP_CHECK).
    Smtp(SmtpCheck),
    /// The name server answers, over UDP (DNS_CHECK).
    Dns(DnsCheck),
    /// A packet is answered, or at least not refused (UDP_CHECK).
    Udp(UdpCheck),
    /// An ICMP echo is answered (PING_CHECK).
    Ping,
    /// A program succeeds (MISC_CHECK).
    Misc(MiscCheck),
    /// A BFD session of that name is up (BFD_CHECK). Nothing is probed: the vrrp role tells.
    Bfd(String),
    /// A file's number (FILE_CHECK). Nothing is probed: the file is followed.
    File(FileCheck),
}

impl CheckKind {
    /// The program that runs (MISC_CHECK).
    pub fn command(&self) -> Option<&Command> {
        let CheckKind::Misc(check) = self else { return None };
        Some(&check.command)
    }

    /// The same, to be changed.
    pub fn command_mut(&mut self) -> Option<&mut Command> {
        let CheckKind::Misc(check) = self else { return None };
        Some(&mut check.command)
    }

    /// The pages that are asked for (HTTP_GET, SSL_GET).
    pub fn http(&self) -> Option<&HttpCheck> {
        let CheckKind::Http(check) = self else { return None };
        Some(check)
    }

    /// Name of the BFD session that it follows (BFD_CHECK).
    pub fn session(&self) -> Option<&str> {
        let CheckKind::Bfd(name) = self else { return None };
        Some(name)
    }

    /// Name of the `track_file` that it follows (FILE_CHECK).
    pub fn file(&self) -> Option<&str> {
        let CheckKind::File(check) = self else { return None };
        Some(&check.name)
    }

    /// Name of what it follows: it tries nothing, somebody tells (BFD_CHECK, FILE_CHECK).
    pub fn followed(&self) -> Option<&str> {
        self.session().or(self.file())
    }
}

/// HTTP_GET and SSL_GET.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Over TLS, certificates unverified (SSL_GET).
    pub tls: Option<TlsCheck>,
    /// `http_protocol`
    pub version: HttpVersion,
    /// The pages, in order. Never empty.
    pub urls: Vec<UrlCheck>,
    /// No wait between the pages at start and after a failure (`fast_recovery`).
    pub fast_recovery: bool,
}

impl HttpCheck {
    /// Pages over HTTP/1.0 without TLS.
    pub fn plain(urls: Vec<UrlCheck>) -> HttpCheck {
        HttpCheck { tls: None, version: HttpVersion::Http10, urls, fast_recovery: false }
    }
}

/// TLS of SSL_GET.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TlsCheck {
    /// The name of the page's host is sent (`enable_sni`), or this one (`sni_name`).
    pub server_name: ServerName,
    /// close_notify is sent before a connection is closed (`tls_compliant`). Whether the server
    /// sends one does not matter, as in Keepalived.
    pub compliant: bool,
}

/// Server Name Indication of a TLS handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ServerName {
    /// None is sent.
    #[default]
    Absent,
    /// The virtual host of the page.
    VirtualHost,
    /// This one.
    Name(String),
}

/// `http_protocol`, in Keepalived's words: C closes with `Connection: close`, K keeps with
/// `Connection: keep-alive`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HttpVersion {
    /// `1.0`
    #[default]
    Http10,
    /// `1.0C`
    Http10Close,
    /// `1.0K`
    Http10KeepAlive,
    /// `1.1`: closes as well.
    Http11,
    /// `1.1K`
    Http11KeepAlive,
}

/// One `url` block of HTTP_GET and SSL_GET.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UrlCheck {
    /// Request target, beginning with `/`.
    pub path: String,
    /// Value of the Host header; the target's address and port when absent.
    pub virtual_host: Option<String>,
    /// MD5 of the body, as genhash prints it.
    pub digest: Option<[u8; 16]>,
    /// Status codes accepted, inclusive ranges. When neither these nor a digest nor a pattern are
    /// given: 200 to 299.
    pub status: Vec<(u16, u16)>,
    /// What the page must match, or must not.
    pub pattern: Option<Pattern>,
}

/// `regex` and its options.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pattern {
    /// The expression, with its options written in front: `(?is)`. Compiles: `conf` has tried.
    pub expression: String,
    /// The page must not match (`regex_no_match`).
    pub negated: bool,
    /// Bytes of the body before which no match begins (`regex_min_offset`).
    pub min_offset: u32,
    /// Bytes of the body from which on no match begins (`regex_max_offset`).
    pub max_offset: Option<u32>,
}

/// SMTP_CHECK.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SmtpCheck {
    /// Name in the HELO request.
    pub helo_name: String,
}

/// DNS_CHECK.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DnsCheck {
    /// Number of the record type (RFC 1035 3.2.2, RFC 3596): 1 A, 2 NS, 5 CNAME, 6 SOA, 15 MX,
    /// 16 TXT, 28 AAAA.
    pub record_type: u16,
    /// The name that is asked for; `.` for the root.
    pub name: String,
}

/// UDP_CHECK.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UdpCheck {
    /// What is sent; random bytes when absent.
    pub payload: Option<Vec<u8>>,
    /// An answer must come, and look like this (`require_reply`).
    pub reply: Option<UdpReply>,
}

/// The answer that UDP_CHECK asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UdpReply {
    /// Bytes and their masks, whose bits that are set are compared, as far as the answer reaches.
    /// Empty when any answer does.
    pub bytes: Vec<(u8, u8)>,
    /// Least length.
    pub min_length: u16,
    /// Greatest length.
    pub max_length: u16,
}

/// MISC_CHECK.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MiscCheck {
    /// What runs.
    pub command: Command,
    /// Exit statuses from 2 on are successes and set the weight (`misc_dynamic`).
    pub dynamic: bool,
    /// Weight of the server in the file: what a dynamic status is counted from. 0 when not
    /// dynamic, so that another weight does not make it another checker.
    pub configured_weight: u32,
}

/// FILE_CHECK.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileCheck {
    /// Name of the `track_file` block.
    pub name: String,
    /// The file's number is multiplied by this; 0 makes any number but zero a failure.
    pub weight: i32,
    /// The product counts negatively (`reverse`).
    pub reverse: bool,
    /// The product is added to the weight of the server (`dynamic`).
    pub dynamic: bool,
}
