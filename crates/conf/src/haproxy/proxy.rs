//! A proxy section as written: what its lines say, before names and defaults are resolved.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use model::check::UrlCheck;
use model::proxy::{Balance, ConnectionMode, ForwardFor, LogFormat, LogTarget, Mode};

use super::acl::Test;
use super::lexer::Line;
use super::rules::UseBackend;
use super::section::Kind;
use super::server::{Parameters, Server};
use crate::diagnostic::Diagnostic;
use crate::source::{Source, Span, Spanned};

/// What every reading function may use.
pub(super) struct Context<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
}

/// What stood before a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sense {
    /// Nothing.
    Plain,
    /// `no`
    No,
    /// `default`: as if no defaults section had said anything.
    Default,
}

/// How a keyword of a proxy section is read.
#[derive(Clone, Copy)]
pub(super) struct Keyword {
    /// `no` may stand before it (`default` too, for options).
    pub(super) invertible: bool,
    /// Fills the fields; `no` and `default` are taken off the line.
    pub(super) read: Read,
}

/// Reads one line into a proxy.
pub(super) type Read = fn(&mut Proxy, &Line, Sense, &mut Context<'_>) -> Result<(), Diagnostic>;

/// A keyword that always stands plain.
pub(super) const fn plain(read: Read) -> Keyword {
    Keyword { invertible: false, read }
}

/// A keyword that `no` may stand before.
pub(super) const fn invertible(read: Read) -> Keyword {
    Keyword { invertible: true, read }
}

/// One `log` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Log {
    /// `log global`
    Global,
    /// A receiver of its own.
    Target(LogTarget),
}

/// What `defaults` hands down. Everything absent has HAProxy's default.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) mode: Option<Spanned<Mode>>,
    pub(super) log: Vec<Log>,
    pub(super) log_format: Option<Spanned<LogFormat>>,
    pub(super) log_tag: Option<Spanned<String>>,
    pub(super) dont_log_null: Option<bool>,
    pub(super) connection_mode: Option<Spanned<ConnectionMode>>,
    pub(super) forward_for: Option<Spanned<ForwardFor>>,
    pub(super) redispatch: Option<bool>,
    pub(super) retries: Option<Spanned<u32>>,
    pub(super) max_connections: Option<Spanned<u32>>,
    pub(super) timeouts: Timeouts,
    pub(super) balance: Option<Spanned<Balance>>,
    pub(super) http_check: Option<Spanned<UrlCheck>>,
    pub(super) default_backend: Option<Spanned<String>>,
    pub(super) default_server: Parameters,
    /// A line was refused: what is missing may have stood on it, and is no finding of its own.
    pub(super) broken: bool,
}

/// The `timeout` lines; absent or zero means none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timeouts {
    pub(super) client: Option<Duration>,
    pub(super) http_request: Option<Duration>,
    pub(super) http_keep_alive: Option<Duration>,
    pub(super) connect: Option<Duration>,
    pub(super) server: Option<Duration>,
    pub(super) queue: Option<Duration>,
    pub(super) tunnel: Option<Duration>,
    pub(super) check: Option<Duration>,
}

/// One address of a `bind` line.
#[derive(Clone, Debug)]
pub(super) struct Bind {
    pub(super) address: SocketAddr,
    pub(super) span: Span,
}

/// All `acl` lines of one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Acl {
    pub(super) tests: Vec<Test>,
}

/// One section.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) kind: Kind,
    /// The name, with its place; that of the keyword for a nameless `defaults`.
    pub(super) name: Spanned<String>,
    /// Bytes before its first line's first word.
    pub(super) indent: u32,
    pub(super) settings: Settings,
    pub(super) binds: Vec<Bind>,
    pub(super) acls: BTreeMap<String, Acl>,
    pub(super) use_backends: Vec<UseBackend>,
    /// Places of tests in rules that need a parsed request.
    pub(super) needs_http: Vec<Span>,
    pub(super) servers: Vec<Server>,
}

impl Proxy {
    /// A section that has its settings from a defaults section.
    pub(super) fn new(kind: Kind, name: Spanned<String>, settings: Settings) -> Proxy {
        Proxy {
            kind,
            name,
            indent: 0,
            settings,
            binds: Vec::new(),
            acls: BTreeMap::new(),
            use_backends: Vec::new(),
            needs_http: Vec::new(),
            servers: Vec::new(),
        }
    }

    /// The mode, HAProxy's default filled in.
    pub(super) fn mode(&self) -> Mode {
        self.settings.mode.as_ref().map_or(Mode::Tcp, |mode| mode.value)
    }

    /// `frontend web`
    pub(super) fn title(&self) -> String {
        match self.kind {
            Kind::Defaults | Kind::Global => String::from(self.kind.name()),
            _ => format!("{} {}", self.kind.name(), self.name.value),
        }
    }
}
