//! How a virtual server treats its connections: what fits its protocol.

use alloc::format;
use alloc::vec::Vec;

use model::layer4::{Conduct, Protocol, ServiceKey, State, VirtualServer};
use model::vrrp::Family;

use crate::diagnostic::Diagnostic;
use crate::keepalived::ast;

pub(super) fn lower(
    from: &ast::VirtualServer,
    to: &VirtualServer,
    diagnostics: &mut Vec<Diagnostic>,
) -> Conduct {
    let mut conduct = from.conduct;
    let is_beyond_us =
        |key: &ServiceKey| key.protocol() == Some(Protocol::Sctp) && key.family() == Family::Ipv6;
    if to.services.iter().any(is_beyond_us) {
        let message = "SCTP over IPv6 is not supported by this version";
        diagnostics.push(
            Diagnostic::error(from.span(), message).help("use an IPv4 address, or protocol TCP"),
        );
    }
    // That of a firewall mark is whatever is marked.
    let has = |wanted: Protocol| {
        to.services.iter().any(|key| key.protocol().is_none_or(|protocol| protocol == wanted))
    };
    conduct.one_packet = from.one_packet.is_some();
    if let (Some(span), false) = (from.one_packet, has(Protocol::Udp)) {
        diagnostics.push(
            Diagnostic::warning(span, "ops says nothing: only UDP is scheduled packet by packet")
                .help("remove it, or write protocol UDP")
                .failing_test(),
        );
    }
    for (keyword, protocol) in [
        ("sloppy_tcp", Protocol::Tcp),
        ("reset_nodest_conn", Protocol::Tcp),
        ("sloppy_sctp", Protocol::Sctp),
    ] {
        if from.written.has(keyword) && !has(protocol) {
            let message = format!("{keyword} says nothing: it is for {protocol}");
            let help = format!("remove it, or write protocol {protocol}");
            diagnostics.push(Diagnostic::warning(from.span(), message).help(help));
        }
    }
    for own in &from.state_timeouts {
        let (name, seconds) = &own.value;
        let mut known = false;
        for protocol in Protocol::ALL.into_iter().filter(|protocol| has(*protocol)) {
            if let Some(state) = State::named(protocol, name) {
                conduct.timeouts.set(state.number, *seconds);
                known = true;
            }
        }
        if !known {
            let message = format!("no connection of this virtual server is ever in state {name}");
            diagnostics.push(
                Diagnostic::warning(own.span, message).help("remove it, or change the protocol"),
            );
        }
    }
    conduct
}
