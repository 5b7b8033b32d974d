//! Virtual servers and real servers: defaults, and what must be unique.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;

use model::layer4::{
    Endpoint, Forwarding, Layer4Plan, Persistence, REAL_SERVERS_MAX, REAL_SERVERS_TOTAL_MAX,
    RealServer, Scheduler, ServiceKey, VIRTUAL_SERVERS_MAX, VirtualServer,
};

use super::checker;
use crate::diagnostic::Diagnostic;
use crate::keepalived::PERSISTENCE_DEFAULT;
use crate::keepalived::ast::{self, Configuration};
use crate::source::Span;

/// What a virtual server matches.
pub(super) fn key(server: &ast::VirtualServer) -> ServiceKey {
    let location = server.location.value;
    ServiceKey {
        address: location.address,
        port: location.port.unwrap_or(0),
        protocol: server.protocol.unwrap_or_default(),
    }
}

/// Lowers every virtual server.
pub(super) fn lower(from: &Configuration, diagnostics: &mut Vec<Diagnostic>) -> Layer4Plan {
    let mut seen: BTreeMap<ServiceKey, Span> = BTreeMap::new();
    let mut virtual_servers = Vec::new();
    for server in &from.virtual_servers {
        let key = key(server);
        let span = server.location.span;
        if let Some(&first) = seen.get(&key) {
            diagnostics.push(
                Diagnostic::error(span, format!("virtual_server {key} exists already"))
                    .related(first, "defined here first")
                    .help("put all its real servers into one virtual_server"),
            );
        } else {
            seen.insert(key, span);
        }
        check_address(server.location.value.address, span, "a virtual server", diagnostics);
        virtual_servers.push(lower_virtual(server, key, diagnostics));
    }
    check_bounds(from, diagnostics);
    Layer4Plan { virtual_servers, ..Layer4Plan::default() }
}

/// What the data plane's tables have no place for is said here and not at start.
fn check_bounds(from: &Configuration, diagnostics: &mut Vec<Diagnostic>) {
    let mut total = 0usize;
    for (number, server) in from.virtual_servers.iter().enumerate() {
        let span = server.location.span;
        let count = server.real_servers.len();
        if number == VIRTUAL_SERVERS_MAX {
            diagnostics.push(Diagnostic::error(
                span,
                format!("more than {VIRTUAL_SERVERS_MAX} virtual servers"),
            ));
        }
        if count > REAL_SERVERS_MAX {
            diagnostics.push(
                Diagnostic::error(
                    span,
                    format!("{count} real servers are more than {REAL_SERVERS_MAX} in one virtual_server"),
                )
                .help("spread them over several virtual addresses"),
            );
        }
        if total <= REAL_SERVERS_TOTAL_MAX && total + count > REAL_SERVERS_TOTAL_MAX {
            diagnostics.push(Diagnostic::error(
                span,
                format!("more than {REAL_SERVERS_TOTAL_MAX} real servers in all"),
            ));
        }
        total += count;
    }
}

fn check_address(address: IpAddr, span: Span, what: &str, diagnostics: &mut Vec<Diagnostic>) {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || broadcast {
        diagnostics.push(
            Diagnostic::error(span, format!("{address} cannot be the address of {what}"))
                .help("use the address of a host"),
        );
    }
}

fn lower_virtual(
    from: &ast::VirtualServer,
    key: ServiceKey,
    diagnostics: &mut Vec<Diagnostic>,
) -> VirtualServer {
    let span = from.location.span;
    let persistence = persistence(from, diagnostics);
    if key.port == 0 && persistence.is_none() {
        diagnostics.push(
            Diagnostic::error(span, "a virtual server for all ports needs persistence_timeout")
                .help("write a port after the address, or persistence_timeout in the block"),
        );
    }
    if from.real_servers.is_empty() && !from.written.has("real_server") {
        diagnostics.push(
            Diagnostic::warning(span, format!("virtual_server {key} has no real_server"))
                .help("clients get no answer; write real_server ADDRESS PORT { ... } in it"),
        );
    }
    let scheduler = from.scheduler.unwrap_or_default();
    let mut seen: BTreeMap<Endpoint, Span> = BTreeMap::new();
    let mut real_servers = Vec::new();
    for server in &from.real_servers {
        let lowered = lower_real(from, server, key, diagnostics);
        let span = server.location.span;
        if let Some(&first) = seen.get(&lowered.endpoint) {
            let message = format!("real_server {} exists already here", lowered.endpoint);
            diagnostics.push(
                Diagnostic::error(span, message)
                    .related(first, "defined here first")
                    .help("give it a greater weight instead"),
            );
        } else {
            seen.insert(lowered.endpoint, span);
        }
        real_servers.push(lowered);
    }
    check_weights(scheduler, span, &real_servers, diagnostics);
    VirtualServer { scheduler, persistence, real_servers, ..VirtualServer::new(key) }
}

fn persistence(
    from: &ast::VirtualServer,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Persistence> {
    let prefix = from.persistence_prefix.as_ref();
    let prefix_len = prefix.map_or(32, |prefix| prefix.value);
    if let (Some(prefix), false) = (prefix, from.written.has("persistence_timeout")) {
        let seconds = PERSISTENCE_DEFAULT.as_secs();
        let message =
            format!("persistence_granularity alone switches persistence on, for {seconds} seconds");
        diagnostics.push(
            Diagnostic::warning(prefix.span, message)
                .help(format!("write persistence_timeout {seconds} too")),
        );
        return Some(Persistence { timeout: PERSISTENCE_DEFAULT, prefix_len });
    }
    from.persistence_timeout.map(|timeout| Persistence { timeout, prefix_len })
}

fn lower_real(
    service: &ast::VirtualServer,
    from: &ast::RealServer,
    key: ServiceKey,
    diagnostics: &mut Vec<Diagnostic>,
) -> RealServer {
    let span = from.location.span;
    let location = from.location.value;
    let forwarding = from.forwarding.or(service.forwarding).unwrap_or_default();
    let mut port = location.port.filter(|&port| port != 0).unwrap_or(key.port);
    if forwarding == Forwarding::DirectRouting && port != key.port {
        let used = if key.port == 0 { "the client's port".into() } else { format!("{}", key.port) };
        diagnostics.push(
            Diagnostic::warning(
                span,
                format!("direct routing cannot change the port: it stays {used}"),
            )
            .help("write the port of the virtual server, or use lb_kind NAT"),
        );
        port = key.port;
    }
    let endpoint = Endpoint { address: location.address, port };
    check_address(location.address, span, "a real server", diagnostics);
    if endpoint == (Endpoint { address: key.address, port: key.port }) {
        diagnostics.push(
            Diagnostic::error(span, "a real server cannot be its own virtual server")
                .related(service.location.span, "the virtual server")
                .help("write the address of the machine that does the work"),
        );
    }
    RealServer {
        weight: from.weight.unwrap_or(1),
        forwarding,
        checkers: checker::lower(service, from, endpoint, diagnostics),
        ..RealServer::new(endpoint)
    }
}

fn check_weights(
    scheduler: Scheduler,
    span: Span,
    servers: &[RealServer],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut weights = servers.iter().map(|server| server.weight).filter(|&weight| weight > 0);
    let Some(first) = weights.next() else {
        if !servers.is_empty() {
            let message = "no real server takes connections: all have weight 0";
            diagnostics.push(Diagnostic::warning(span, message).help("give one a weight above 0"));
        }
        return;
    };
    if scheduler == Scheduler::RoundRobin && weights.any(|weight| weight != first) {
        let message = "lb_algo rr takes the servers in turn, whatever their weights";
        diagnostics
            .push(Diagnostic::warning(span, message).help("use lb_algo wrr to spread by weight"));
    }
}
