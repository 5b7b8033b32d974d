//! Checkers as they are written.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use model::check::{DnsCheck, HttpCheck, UdpCheck};
use model::vrrp::User;

use super::{Timers, Written};
use crate::source::{Span, Spanned};

/// One checker.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) common: Common,
    pub(crate) kind: CheckerKind,
}

/// What checkers of every kind may say, and `host` of SMTP_CHECK.
#[derive(Debug)]
pub(crate) struct Common {
    /// The checker's keyword.
    pub(crate) span: Span,
    pub(crate) connect_ip: Option<Spanned<IpAddr>>,
    pub(crate) connect_port: Option<u16>,
    pub(crate) bind_address: Option<Spanned<IpAddr>>,
    pub(crate) bind_port: Option<u16>,
    pub(crate) interface: Option<String>,
    /// `fwmark`, 0 for none.
    pub(crate) mark: u32,
    pub(crate) alpha: Option<bool>,
    pub(crate) log_all_failures: Option<bool>,
    pub(crate) timers: Timers,
    pub(crate) written: Written,
}

impl Common {
    /// One that says nothing.
    pub(crate) fn new(span: Span) -> Common {
        Common {
            span,
            connect_ip: None,
            connect_port: None,
            bind_address: None,
            bind_port: None,
            interface: None,
            mark: 0,
            alpha: None,
            log_all_failures: None,
            timers: Timers::default(),
            written: Written::default(),
        }
    }
}

/// What a checker does.
#[derive(Debug)]
pub(crate) enum CheckerKind {
    Tcp,
    Http(Http),
    Smtp(Smtp),
    Dns(DnsCheck),
    Udp(UdpCheck),
    Ping,
    Misc(Misc),
    /// Name of the `bfd_instance`.
    Bfd(Spanned<String>),
    File(FileTrack),
}

/// `HTTP_GET` and `SSL_GET`
#[derive(Debug)]
pub(crate) struct Http {
    /// All but the host names that pages take from outside.
    pub(crate) check: HttpCheck,
    pub(crate) virtual_host: Option<String>,
}

/// `SMTP_CHECK`
#[derive(Debug, Default)]
pub(crate) struct Smtp {
    pub(crate) helo_name: Option<String>,
    /// `host`, in file order.
    pub(crate) hosts: Vec<Common>,
}

/// `MISC_CHECK`
#[derive(Debug, Default)]
pub(crate) struct Misc {
    pub(crate) words: Vec<String>,
    pub(crate) user: Option<User>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) dynamic: bool,
}

/// `FILE_CHECK`
#[derive(Debug)]
pub(crate) struct FileTrack {
    /// Name of the `track_file` block.
    pub(crate) name: Spanned<String>,
    /// `weight NUMBER [reverse]`; the file's own when absent.
    pub(crate) weight: Option<(i32, bool)>,
}
