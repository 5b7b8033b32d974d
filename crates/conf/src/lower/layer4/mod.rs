//! Virtual servers and real servers: defaults, and what must be unique.

mod bounds;
mod conduct;
mod families;
mod marked;
mod outside;
mod quorum;
mod real;
mod services;

use alloc::format;
use alloc::vec::Vec;

use model::layer4::{Layer4Plan, Persistence, RealServer, Scheduler, ServiceKey, VirtualServer};

use crate::diagnostic::Diagnostic;
use crate::keepalived::PERSISTENCE_DEFAULT;
use crate::keepalived::ast::{self, Configuration};
use crate::source::Span;

use self::families::check_address;
pub(super) use outside::outside;

/// Lowers every virtual server: one for each of the files, in the same order.
pub(super) fn lower(from: &Configuration, diagnostics: &mut Vec<Diagnostic>) -> Layer4Plan {
    let mut services = services::Services::new(from, diagnostics);
    let mut virtual_servers = Vec::new();
    for server in &from.virtual_servers {
        let mut lowered = services.take(server, diagnostics);
        fill(from, server, &mut lowered, diagnostics);
        virtual_servers.push(lowered);
    }
    services.finish(diagnostics);
    bounds::check(from, &virtual_servers, diagnostics);
    Layer4Plan { virtual_servers, ..Layer4Plan::default() }
}

/// Gives a virtual server everything but its identity and its services.
fn fill(
    global: &Configuration,
    from: &ast::VirtualServer,
    to: &mut VirtualServer,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let span = from.span();
    families::check_written(from, &to.services, diagnostics);
    to.scheduler = scheduler(from, diagnostics);
    to.persistence = persistence(from, &to.services, diagnostics);
    to.conduct = conduct::lower(from, to, diagnostics);
    if from.real_servers.is_empty() && !from.written.has("real_server") {
        diagnostics.push(
            Diagnostic::warning(span, format!("virtual_server {} has no real_server", to.id))
                .help("clients get no answer; write real_server ADDRESS PORT { ... } in it")
                .failing_test(),
        );
    }
    let alert = global.global.plan.alerts.checkers.or(global.global.vrrp.smtp_alert);
    to.real_servers = real::lower(from, &to.services, alert, diagnostics).into();
    check_weights(to.scheduler, span, &to.real_servers, diagnostics);
    to.quorum = quorum::lower(from, to, diagnostics);
    to.ha_suspend = from.ha_suspend.is_some();
    marked::check(from, to, diagnostics);
    to.alpha = from.alpha;
    to.omega = from.omega;
    to.smtp_alert = from.smtp_alert.or(alert).unwrap_or(false);
}

/// The scheduler with its flags.
fn scheduler(from: &ast::VirtualServer, diagnostics: &mut Vec<Diagnostic>) -> Scheduler {
    let scheduler = from.scheduler.unwrap_or_default();
    if !scheduler.has_hash_flags() {
        for span in &from.numbered_flags {
            let message = format!("lb_algo {scheduler} has no flags");
            diagnostics.push(
                Diagnostic::warning(*span, message).help("remove it, or use lb_algo sh or mh"),
            );
        }
    }
    scheduler.with_hash_flags(from.hash_flags)
}

fn persistence(
    from: &ast::VirtualServer,
    services: &[ServiceKey],
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Persistence> {
    let prefix_len = families::prefix_len(from, services, diagnostics);
    if let (Some(granularity), false) = (&from.granularity, from.written.has("persistence_timeout"))
    {
        let seconds = PERSISTENCE_DEFAULT.as_secs();
        let message =
            format!("persistence_granularity alone switches persistence on, for {seconds} seconds");
        diagnostics.push(
            Diagnostic::warning(granularity.span, message)
                .help(format!("write persistence_timeout {seconds} too")),
        );
        return Some(Persistence { timeout: PERSISTENCE_DEFAULT, prefix_len });
    }
    let mut timeout = from.persistence_timeout;
    if timeout.is_none() && services.iter().any(is_for_every_port) {
        // As in Keepalived: IPVS takes all ports of a client together.
        let seconds = PERSISTENCE_DEFAULT.as_secs();
        let message = format!(
            "a virtual server for all ports is persistent: persistence_timeout is {seconds}"
        );
        diagnostics.push(
            Diagnostic::warning(from.span(), message)
                .help(format!("write a port after the address, or persistence_timeout {seconds}"))
                .failing_test(),
        );
        timeout = Some(PERSISTENCE_DEFAULT);
    }
    timeout.map(|timeout| Persistence { timeout, prefix_len })
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
    if scheduler.ignores_weights() && weights.any(|weight| weight != first) {
        let (how, instead) = match scheduler {
            Scheduler::LeastConnection => ("counts connections", "wlc"),
            Scheduler::DestinationHashing => ("gives each server the same part", "wlc"),
            _ => ("takes the servers in turn", "wrr"),
        };
        let message = format!("lb_algo {scheduler} {how}, whatever their weights");
        let help = format!("use lb_algo {instead} to spread by weight");
        diagnostics.push(Diagnostic::warning(span, message).help(help));
    }
}

/// Of an address; a firewall mark is for the ports that its rules name.
fn is_for_every_port(key: &ServiceKey) -> bool {
    matches!(key, ServiceKey::Address { port: 0, .. })
}
