//! Checkers: timers and host names from the innermost place that gives them.

use alloc::format;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use model::check::{CheckKind, Checker, HttpCheck, Pace, Source, UrlCheck};
use model::layer4::Endpoint;

use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{self, RealServer, VirtualServer};

/// Keepalived's defaults (keepalived.conf(5) of 2.2.7).
const DELAY_LOOP: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: u32 = 1;
const DELAY_BEFORE_RETRY: Duration = Duration::from_secs(1);
const DELAY_BEFORE_RETRY_HTTP: Duration = Duration::from_secs(3);

/// Lowers the checkers of one real server.
pub(super) fn lower(
    service: &VirtualServer,
    server: &RealServer,
    endpoint: Endpoint,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Checker> {
    let mut checkers = Vec::new();
    for checker in &server.checkers {
        let address = checker.connect_ip.unwrap_or(endpoint.address);
        let port = checker.connect_port.unwrap_or(endpoint.port);
        if port == 0 && !checker.written.has("connect_port") {
            let name = if checker.urls.is_some() { "HTTP_GET" } else { "TCP_CHECK" };
            diagnostics.push(
                Diagnostic::error(checker.span, format!("{name} needs connect_port here"))
                    .related(server.location.span, "this real server has no port of its own")
                    .help("write the port to check: connect_port PORT"),
            );
        }
        checkers.push(Checker {
            kind: kind(service, server, checker),
            target: SocketAddr::new(address, port),
            source: Source { bind: bind(checker), ..Source::default() },
            log_all_failures: false,
            timeout: timers(service, server, checker).connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            pace: pace(service, server, checker),
        });
    }
    checkers
}

fn timers(service: &VirtualServer, server: &RealServer, checker: &ast::Checker) -> ast::Timers {
    checker.timers.or(server.timers).or(service.timers)
}

fn pace(service: &VirtualServer, server: &RealServer, checker: &ast::Checker) -> Pace {
    let timers = timers(service, server, checker);
    let interval = timers.delay_loop.unwrap_or(DELAY_LOOP);
    let default_wait =
        if checker.urls.is_some() { DELAY_BEFORE_RETRY_HTTP } else { DELAY_BEFORE_RETRY };
    Pace {
        interval,
        down_interval: interval,
        retry_interval: timers.delay_before_retry.unwrap_or(default_wait),
        rise: 1,
        fall: timers.retry.unwrap_or(RETRY).saturating_add(1),
        warmup: timers.warmup.unwrap_or(interval),
        initially_up: !server.alpha.unwrap_or(service.alpha),
    }
}

fn bind(checker: &ast::Checker) -> Option<SocketAddr> {
    let port = checker.bind_port.unwrap_or(0);
    match checker.bind_address {
        Some(address) => Some(SocketAddr::new(address, port)),
        None => {
            checker.bind_port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
        }
    }
}

fn kind(service: &VirtualServer, server: &RealServer, checker: &ast::Checker) -> CheckKind {
    let Some(urls) = &checker.urls else { return CheckKind::Tcp };
    let host = checker
        .virtual_host
        .as_ref()
        .or(server.virtual_host.as_ref())
        .or(service.virtual_host.as_ref());
    let urls = urls.iter().map(|url| UrlCheck {
        virtual_host: url.virtual_host.as_ref().or(host).cloned(),
        ..url.clone()
    });
    CheckKind::Http(HttpCheck::plain(urls.collect()))
}
