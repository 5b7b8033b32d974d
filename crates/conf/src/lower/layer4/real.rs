//! Real servers, with what their virtual server says where they say nothing.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::layer4::{Endpoint, Forwarding, RealServer, ServiceKey};

use super::families::{check_address, check_server};
use crate::diagnostic::Diagnostic;
use crate::keepalived::ast;
use crate::lower::checker;
use crate::source::{Span, Spanned};

/// Lowers the real servers of one virtual server; `alert` is the `smtp_alert` of `global_defs`.
pub(super) fn lower(
    service: &ast::VirtualServer,
    services: &[ServiceKey],
    alert: Option<bool>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<RealServer> {
    let mut real_servers = Vec::with_capacity(service.real_servers.len());
    for server in &service.real_servers {
        real_servers.push(one(service, server, services, alert, diagnostics));
    }
    find_twins(service, &real_servers, diagnostics);
    real_servers
}

fn find_twins(
    service: &ast::VirtualServer,
    real_servers: &[RealServer],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut places: Vec<usize> = (0..real_servers.len()).collect();
    let endpoint = |place: usize| real_servers[place].endpoint;
    places.sort_unstable_by_key(|&place| (endpoint(place), place));
    for same in places.chunk_by(|&a, &b| endpoint(a) == endpoint(b)) {
        for &twin in &same[1..] {
            let span = |place: usize| service.real_servers[place].location.span;
            let message = format!("real_server {} exists already here", endpoint(twin));
            diagnostics.push(
                Diagnostic::error(span(twin), message)
                    .related(span(same[0]), "defined here first")
                    .help("give it a greater weight instead"),
            );
        }
    }
}

fn one(
    service: &ast::VirtualServer,
    from: &ast::RealServer,
    services: &[ServiceKey],
    alert: Option<bool>,
    diagnostics: &mut Vec<Diagnostic>,
) -> RealServer {
    let place = Place { services, service: service.span(), what: "real" };
    let forwarding = from.forwarding.or(service.forwarding).unwrap_or_default();
    let endpoint = place.endpoint(&from.location, forwarding, diagnostics);
    let mut checked = endpoint;
    if checked.port == 0 {
        // Direct routing to a group of several ports: the written one can be checked.
        checked.port = from.location.value.port.unwrap_or(0);
    }
    let (lower_threshold, upper_threshold) = thresholds(from, diagnostics);
    RealServer {
        weight: from.weight.or(service.weight).unwrap_or(1),
        forwarding,
        checkers: checker::lower(service, from, checked, diagnostics),
        inhibit_on_failure: from.inhibit_on_failure.unwrap_or(service.inhibit_on_failure),
        upper_threshold,
        lower_threshold,
        notify_up: from.notify_up.clone(),
        notify_down: from.notify_down.clone(),
        // Not the virtual server's, and on by default, as in Keepalived.
        smtp_alert: from.smtp_alert.or(alert).unwrap_or(true),
        ..RealServer::new(endpoint)
    }
}

/// The virtual server around a real server or a sorry server.
pub(super) struct Place<'s> {
    pub(super) services: &'s [ServiceKey],
    pub(super) service: Span,
    /// `real` or `sorry`
    pub(super) what: &'static str,
}

impl Place<'_> {
    /// Where the server is: without a port of its own it has that of the virtual server.
    pub(super) fn endpoint(
        &self,
        location: &Spanned<ast::Location>,
        forwarding: Forwarding,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Endpoint {
        let common = ServiceKey::common_port(self.services);
        let address = location.value.address;
        let mut port = location.value.port.filter(|&port| port != 0).unwrap_or(common);
        if forwarding.is_direct() && port != common {
            let used =
                if common == 0 { String::from("the client's port") } else { format!("{common}") };
            diagnostics.push(
                Diagnostic::warning(
                    location.span,
                    format!("{} cannot change the port: it stays {used}", named(forwarding)),
                )
                .help("write the port of the virtual server, or use lb_kind NAT")
                .failing_test(),
            );
            port = common;
        }
        check_address(address, location.span, format_args!("a {} server", self.what), diagnostics);
        let endpoint = Endpoint { address, port };
        check_server(endpoint, location.span, self.what, forwarding, self.services, diagnostics);
        let is_own =
            |key: &ServiceKey| key.address() == Some(address) && (key.port() == port || port == 0);
        if self.services.iter().any(is_own) {
            let message = format!("this {} server is the virtual server itself", self.what);
            diagnostics.push(
                Diagnostic::warning(location.span, message)
                    .related(self.service, "the virtual server")
                    .help(
                        "a program on the director has to listen there, as in IPVS; or write the \
                         address of another machine",
                    ),
            );
        }
        endpoint
    }
}

fn named(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::Nat => "address translation",
        Forwarding::DirectRouting => "direct routing",
        Forwarding::Tunnel(_) => "a tunnel",
    }
}

/// Lower and upper threshold. The kernel's IPVS refuses a lower one above the upper one.
fn thresholds(from: &ast::RealServer, diagnostics: &mut Vec<Diagnostic>) -> (u32, u32) {
    let value = |threshold: &Option<Spanned<u32>>| threshold.as_ref().map_or(0, |one| one.value);
    let (lower, upper) = (value(&from.lower_threshold), value(&from.upper_threshold));
    if let (Some(written), true) = (&from.lower_threshold, lower > upper) {
        let message = match &from.upper_threshold {
            None => String::from("lthreshold needs uthreshold"),
            Some(_) => format!("lthreshold {lower} is above uthreshold {upper}"),
        };
        diagnostics.push(
            Diagnostic::error(written.span, message)
                .help(format!("write uthreshold too, above {lower}, or remove lthreshold")),
        );
    }
    (lower, upper)
}
