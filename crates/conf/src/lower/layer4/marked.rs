//! What virtual servers of firewall marks cannot have.

use alloc::format;
use alloc::vec::Vec;

use model::layer4::{Forwarding, VirtualServer};

use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{self, Served};

/// Looks at what is lowered already.
pub(super) fn check(
    from: &ast::VirtualServer,
    to: &mut VirtualServer,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if to.services.is_empty() || !to.services.iter().all(|key| key.mark().is_some()) {
        return;
    }
    let is_mark = matches!(from.served.value, Served::Mark(_));
    if is_mark && from.written.has("protocol") {
        diagnostics.push(
            Diagnostic::warning(from.span(), "a firewall mark is for every protocol")
                .help("remove protocol, and let the rule that sets the mark say -p tcp")
                .failing_test(),
        );
    }
    if let Some(span) = from.ha_suspend {
        to.ha_suspend = false;
        diagnostics.push(
            Diagnostic::warning(span, "a firewall mark has no address to wait for: checks go on")
                .help("remove ha_suspend")
                .failing_test(),
        );
    }
    ports(from, to, diagnostics);
}

/// All ports of a mark become one.
fn ports(from: &ast::VirtualServer, to: &VirtualServer, diagnostics: &mut Vec<Diagnostic>) {
    for (written, server) in from.real_servers.iter().zip(&to.real_servers) {
        if server.forwarding != Forwarding::Nat || server.endpoint.port == 0 {
            continue;
        }
        let port = server.endpoint.port;
        let message = format!("clients of every port of this mark get port {port} of this server");
        diagnostics.push(
            Diagnostic::note(written.location.span, message)
                .help("leave out the port if the mark is for several"),
        );
        return;
    }
}
