//! `quorum` and the sorry server.

use alloc::format;
use alloc::vec::Vec;

use model::check::CheckKind;
use model::layer4::{Quorum, RealServer, SorryServer, VirtualServer};

use super::real::Place;
use crate::diagnostic::Diagnostic;
use crate::keepalived::ast;
use crate::source::{Span, Spanned};

/// Lowers the quorum of a virtual server whose real servers are known.
pub(super) fn lower(
    from: &ast::VirtualServer,
    server: &VirtualServer,
    diagnostics: &mut Vec<Diagnostic>,
) -> Quorum {
    let total = total_weight(&server.real_servers);
    let weight = weight(&from.quorum, total, diagnostics);
    let hysteresis = hysteresis(&from.quorum, weight, diagnostics);
    let regained = weight.saturating_add(hysteresis);
    let span = from.quorum.hysteresis.as_ref().map(|written| written.span);
    if let (Some(span), true) = (span, regained > total && total > 0)
        && !server.real_servers.iter().any(can_gain_weight)
    {
        let message = format!(
            "the quorum is never gained: that takes weight {regained}, and all real servers \
             together have {total}"
        );
        diagnostics.push(Diagnostic::warning(span, message).help(match total - weight {
            0 => format!("remove hysteresis, or write a quorum below {total}"),
            most => format!("write hysteresis {most} or less, or a lower quorum"),
        }));
    }
    Quorum {
        weight,
        hysteresis,
        up: from.quorum.up.clone(),
        down: from.quorum.down.clone(),
        sorry: sorry(from, server, diagnostics),
    }
}

fn total_weight(servers: &[RealServer]) -> u32 {
    servers.iter().map(|server| server.weight).fold(0, u32::saturating_add)
}

/// A checker of this server adds to its weight while it runs.
fn can_gain_weight(server: &RealServer) -> bool {
    server.checkers.iter().any(|checker| match &checker.kind {
        CheckKind::Misc(check) => check.dynamic,
        CheckKind::File(check) => check.dynamic,
        CheckKind::Tcp
        | CheckKind::Http(_)
        | CheckKind::Smtp(_)
        | CheckKind::Dns(_)
        | CheckKind::Udp(_)
        | CheckKind::Ping
        | CheckKind::Bfd(_) => false,
    })
}

/// A quorum that could never be there becomes all there is, as in Keepalived.
fn weight(quorum: &ast::Quorum, total: u32, diagnostics: &mut Vec<Diagnostic>) -> u32 {
    let Some(written) = &quorum.weight else { return 1 };
    if written.value <= total || total == 0 {
        return written.value;
    }
    let message = format!(
        "quorum {} is more than all real servers weigh together: it is {total}",
        written.value
    );
    diagnostics.push(
        Diagnostic::warning(written.span, message)
            .help(format!("write quorum {total} or less, or greater weights"))
            .failing_test(),
    );
    total
}

/// Otherwise the quorum would be lost only when nobody is left, as Keepalived has it.
fn hysteresis(quorum: &ast::Quorum, weight: u32, diagnostics: &mut Vec<Diagnostic>) -> u32 {
    let Some(written) = &quorum.hysteresis else { return 0 };
    if written.value < weight {
        return written.value;
    }
    let most = weight - 1;
    let message =
        format!("hysteresis {} is not below quorum {weight}: it is {most}", written.value);
    diagnostics.push(
        Diagnostic::warning(written.span, message)
            .help(format!("write hysteresis {most} or less, or a greater quorum"))
            .failing_test(),
    );
    most
}

fn sorry(
    from: &ast::VirtualServer,
    server: &VirtualServer,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<SorryServer> {
    let quorum = &from.quorum;
    let forwarding_span = quorum.sorry_forwarding.as_ref().map(|written| written.span);
    for (keyword, span) in [
        ("sorry_server_inhibit", quorum.sorry_inhibit),
        ("sorry_server_lvs_method", forwarding_span),
    ] {
        let Some(span) = span else { continue };
        order(from, keyword, span, diagnostics);
    }
    let location = quorum.sorry.as_ref()?;
    let forwarding = quorum.sorry_forwarding.as_ref().map(|written| written.value);
    let forwarding = forwarding.or(from.forwarding).unwrap_or_default();
    let place = Place { services: &server.services, service: from.span(), what: "sorry" };
    let endpoint = place.endpoint(location, forwarding, diagnostics);
    let mut inhibit = quorum.sorry_inhibit.is_some();
    let twin = server.real_servers.iter().position(|real| real.endpoint == endpoint);
    if let Some(twin) = twin {
        let span = from.real_servers.get(twin).map_or(from.span(), |real| real.location.span);
        diagnostics.push(is_real_server(location, span));
        // Keepalived lets both have the real server's setting.
        inhibit = server.real_servers[twin].inhibit_on_failure;
    }
    Some(SorryServer { endpoint, forwarding, inhibit })
}

fn is_real_server(location: &Spanned<ast::Location>, real: Span) -> Diagnostic {
    let message = "the sorry server is one of the real servers";
    Diagnostic::warning(location.span, message)
        .related(real, "this one, which may be what the quorum lacks")
        .help("use a server of its own, or write quorum 1 and remove sorry_server")
}

/// Keepalived takes these words only after `sorry_server`.
fn order(from: &ast::VirtualServer, keyword: &str, span: Span, diagnostics: &mut Vec<Diagnostic>) {
    let diagnostic = match &from.quorum.sorry {
        None if from.written.has("sorry_server") => return,
        None => Diagnostic::warning(span, format!("{keyword} has no effect without sorry_server"))
            .help("write sorry_server ADDRESS PORT, or remove it"),
        Some(sorry) if sorry.span.file == span.file && span.start < sorry.span.start => {
            Diagnostic::warning(span, format!("Keepalived ignores {keyword} before sorry_server"))
                .related(sorry.span, "the sorry server")
                .help("it counts here; write it after sorry_server to have the same in both")
        }
        Some(_) => return,
    };
    diagnostics.push(diagnostic);
}
