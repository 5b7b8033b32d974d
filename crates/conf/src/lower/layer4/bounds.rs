//! What the data plane's tables have no place for is said here and not at start.

use alloc::format;
use alloc::vec::Vec;

use model::layer4::{REAL_SERVERS_MAX, REAL_SERVERS_TOTAL_MAX, VirtualServer};

use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::Configuration;

/// Counts real servers: those of a group once for each of its services, a sorry server as one.
pub(super) fn check(
    from: &Configuration,
    virtual_servers: &[VirtualServer],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut total = 0_usize;
    for (source, server) in from.virtual_servers.iter().zip(virtual_servers) {
        let span = source.span();
        let count = server.real_servers.len() + usize::from(server.quorum.sorry.is_some());
        if count > REAL_SERVERS_MAX {
            let message = format!(
                "{count} real servers are more than {REAL_SERVERS_MAX} in one virtual_server"
            );
            diagnostics.push(
                Diagnostic::error(span, message).help("spread them over several virtual addresses"),
            );
        }
        let places = count.saturating_mul(server.services.len());
        if total <= REAL_SERVERS_TOTAL_MAX && total.saturating_add(places) > REAL_SERVERS_TOTAL_MAX
        {
            let message = format!("more than {REAL_SERVERS_TOTAL_MAX} real servers in all");
            diagnostics.push(Diagnostic::error(span, message).help(
                "use fewer; those of a virtual_server_group count once for each of its addresses",
            ));
        }
        total = total.saturating_add(places);
    }
}
