//! Checkers: timers, addresses and host names from the innermost place that gives them.

mod kind;
mod names;

use alloc::format;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use model::check::{Checker, Pace, Source};
use model::layer4::Endpoint;

use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{self, CheckerKind, Common, RealServer, Timers, VirtualServer};

pub(super) use names::settle;

/// Keepalived's defaults (keepalived.conf(5) of 2.2.7).
const DELAY_LOOP: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: u32 = 1;
const RETRY_DNS: u32 = 3;
const RETRY_MISC: u32 = 0;
const DELAY_BEFORE_RETRY: Duration = Duration::from_secs(1);
const DELAY_BEFORE_RETRY_HTTP: Duration = Duration::from_secs(3);
/// Keepalived takes 0 and tries again at once; a bounded rate is kept here.
const DELAY_BEFORE_RETRY_LEAST: Duration = Duration::from_millis(1);

/// Where a checker stands.
struct Place<'c> {
    service: &'c VirtualServer,
    server: &'c RealServer,
    endpoint: Endpoint,
}

/// Lowers the checkers of one real server.
pub(super) fn lower(
    service: &VirtualServer,
    server: &RealServer,
    endpoint: Endpoint,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Checker> {
    let place = Place { service, server, endpoint };
    let mut checkers = Vec::with_capacity(server.checkers.len());
    for checker in &server.checkers {
        match &checker.kind {
            CheckerKind::Smtp(smtp) if !smtp.hosts.is_empty() => {
                place.lower_hosts(checker, smtp, &mut checkers, diagnostics);
            }
            _ => {
                let timers = checker.common.timers;
                checkers.push(place.lower(checker, &checker.common, timers, diagnostics));
            }
        }
    }
    checkers
}

impl Place<'_> {
    /// One checker that connects as `connection` says.
    fn lower(
        &self,
        checker: &ast::Checker,
        connection: &Common,
        timers: Timers,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Checker {
        let timers = timers.or(self.server.timers).or(self.service.timers);
        Checker {
            kind: kind::lower(self, &checker.kind),
            target: self.target(&checker.kind, connection, diagnostics),
            source: source(connection, self.endpoint.address, diagnostics),
            timeout: self.timeout(&checker.kind, timers),
            pace: pace(&checker.kind, timers, self.is_alpha(checker)),
            log_all_failures: last(checker, |common| common.log_all_failures).unwrap_or(false),
        }
    }

    /// `host` blocks: each is a checker of its own, as in Keepalived. The own address is one more
    /// if the check says something about its connection.
    fn lower_hosts(
        &self,
        checker: &ast::Checker,
        smtp: &ast::Smtp,
        checkers: &mut Vec<Checker>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let common = &checker.common;
        // What a host says about timers is the check's, but for connect_timeout.
        let timers = smtp.hosts.iter().fold(common.timers, |outer, host| Timers {
            connect_timeout: outer.connect_timeout,
            ..host.timers.or(outer)
        });
        let connects =
            ["connect_ip", "connect_port", "bindto", "bind_port", "bind_if", "fwmark"].iter();
        let is_connected =
            connects.chain(&["connect_timeout"]).any(|name| common.written.has(name));
        if is_connected {
            checkers.push(self.lower(checker, common, timers, diagnostics));
        }
        for host in &smtp.hosts {
            // Without a timeout of its own, that of the real server counts.
            let timers = Timers { connect_timeout: host.timers.connect_timeout, ..timers };
            checkers.push(self.lower(checker, host, timers, diagnostics));
        }
    }

    fn target(
        &self,
        kind: &CheckerKind,
        connection: &Common,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> SocketAddr {
        let has_port = match kind {
            CheckerKind::Tcp
            | CheckerKind::Http(_)
            | CheckerKind::Smtp(_)
            | CheckerKind::Dns(_)
            | CheckerKind::Udp(_) => true,
            CheckerKind::Ping
            | CheckerKind::Misc(_)
            | CheckerKind::Bfd(_)
            | CheckerKind::File(_) => false,
        };
        let address = connection.connect_ip.as_ref().map_or(self.endpoint.address, |ip| ip.value);
        if !has_port {
            return SocketAddr::new(address, 0);
        }
        let port = connection.connect_port.unwrap_or(self.endpoint.port);
        if port == 0 && !connection.written.has("connect_port") {
            let message = format!("{} needs connect_port here", kind::name(kind));
            diagnostics.push(
                Diagnostic::error(connection.span, message)
                    .related(self.server.location.span, "this real server has no port of its own")
                    .help("write the port to check: connect_port PORT"),
            );
        }
        SocketAddr::new(address, port)
    }

    fn timeout(&self, kind: &CheckerKind, timers: Timers) -> Duration {
        match kind {
            // Keepalived looks at the virtual server alone here.
            CheckerKind::Misc(misc) => {
                misc.timeout.or(self.service.timers.delay_loop).unwrap_or(DELAY_LOOP)
            }
            _ => timers.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        }
    }

    fn is_alpha(&self, checker: &ast::Checker) -> bool {
        last(checker, |common| common.alpha)
            .unwrap_or_else(|| self.server.alpha.unwrap_or(self.service.alpha))
    }
}

/// What a checker says, and each `host` of it says again for the whole.
fn last(checker: &ast::Checker, said: fn(&Common) -> Option<bool>) -> Option<bool> {
    let hosts = match &checker.kind {
        CheckerKind::Smtp(smtp) => smtp.hosts.as_slice(),
        _ => &[],
    };
    hosts.iter().rev().find_map(said).or_else(|| said(&checker.common))
}

fn pace(kind: &CheckerKind, timers: Timers, is_alpha: bool) -> Pace {
    let interval = timers.delay_loop.unwrap_or(DELAY_LOOP);
    let (retry, wait) = match kind {
        CheckerKind::Http(_) => (RETRY, DELAY_BEFORE_RETRY_HTTP),
        CheckerKind::Dns(_) => (RETRY_DNS, interval),
        CheckerKind::Misc(_) => (RETRY_MISC, DELAY_BEFORE_RETRY),
        CheckerKind::Tcp
        | CheckerKind::Smtp(_)
        | CheckerKind::Udp(_)
        | CheckerKind::Ping
        | CheckerKind::Bfd(_)
        | CheckerKind::File(_) => (RETRY, DELAY_BEFORE_RETRY),
    };
    let wait = timers.delay_before_retry.unwrap_or(wait);
    Pace {
        interval,
        down_interval: interval,
        retry_interval: wait.max(DELAY_BEFORE_RETRY_LEAST),
        rise: 1,
        fall: timers.retry.unwrap_or(retry).saturating_add(1),
        warmup: timers.warmup.unwrap_or(interval),
        // A file's number is known at once.
        initially_up: !is_alpha || matches!(kind, CheckerKind::File(_)),
    }
}

/// Where the packets come from; its family is that of where they go.
fn source(from: &Common, endpoint: IpAddr, diagnostics: &mut Vec<Diagnostic>) -> Source {
    let target = from.connect_ip.as_ref().map_or(endpoint, |ip| ip.value);
    if let Some(bind) = from.bind_address.as_ref().filter(|b| b.value.is_ipv4() != target.is_ipv4())
    {
        let message = format!("{target} cannot be reached from {}", bind.value);
        diagnostics.push(
            Diagnostic::error(bind.span, message)
                .help("write addresses of one family in bindto and connect_ip"),
        );
    }
    let is_local = matches!(target, IpAddr::V6(target) if target.is_unicast_link_local());
    if is_local && !from.written.has("bind_if") {
        let span = from.connect_ip.as_ref().map_or(from.span, |ip| ip.span);
        diagnostics.push(
            Diagnostic::error(span, format!("the link-local address {target} needs bind_if"))
                .help("write bind_if INTERFACE: the address is on every interface"),
        );
    }
    Source { bind: bind(from, target), interface: from.interface.clone(), mark: from.mark }
}

fn bind(from: &Common, target: IpAddr) -> Option<SocketAddr> {
    let any = match target {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    match (&from.bind_address, from.bind_port) {
        (None, None) => None,
        (Some(address), port) => Some(SocketAddr::new(address.value, port.unwrap_or(0))),
        (None, Some(port)) => Some(SocketAddr::new(any, port)),
    }
}
