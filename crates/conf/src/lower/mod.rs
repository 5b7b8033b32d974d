//! Both files together: names, defaults and cross references become the Plan.

mod across;
mod checker;
mod global;
mod layer4;
mod notices;
mod vrrp;

use alloc::vec::Vec;

use model::Plan;

use crate::diagnostic::Diagnostic;
use crate::haproxy;
use crate::keepalived::ast::Configuration;

/// Lowers what the files say, reporting every inconsistency.
pub(crate) fn lower(
    mut keepalived: Configuration,
    proxies: haproxy::Part,
    diagnostics: &mut Vec<Diagnostic>,
) -> Plan {
    checker::settle(&mut keepalived, diagnostics);
    let mut plan = Plan {
        vrrp: vrrp::lower(&keepalived, diagnostics),
        layer4: layer4::lower(&keepalived, diagnostics),
        proxy: proxies.plan,
        ..Plan::default()
    };
    let held = across::held_addresses(&keepalived);
    across::interfaces(&keepalived, &held, &mut plan.layer4, diagnostics);
    notices::find(&keepalived, &held, &plan.layer4, diagnostics);
    let virtual_servers = &plan.layer4.virtual_servers;
    across::binds(
        &keepalived,
        &held,
        virtual_servers,
        &proxies.binds,
        &mut plan.proxy,
        diagnostics,
    );
    let security = keepalived.global.script_security;
    let init_notifies = keepalived.global.init_notifies;
    plan.layer4.timeouts = keepalived.global.timeouts;
    plan.global = global::lower(keepalived.global, diagnostics);
    plan.layer4.outside = layer4::outside(&keepalived.files, keepalived.tls, init_notifies, &plan);
    global::users(security, &plan, diagnostics);
    plan
}
