//! Both files together: names, defaults and cross references become the Plan.

use alloc::vec::Vec;

use model::Plan;

use crate::diagnostic::Diagnostic;
use crate::haproxy;
use crate::keepalived::ast::Configuration;
use crate::source::Files;

/// Lowers what the files say, reporting every inconsistency.
pub(crate) fn lower(
    _files: &Files,
    _keepalived: Configuration,
    proxies: haproxy::Part,
    _diagnostics: &mut Vec<Diagnostic>,
) -> Plan {
    Plan { proxy: proxies.plan, ..Plan::default() }
}
