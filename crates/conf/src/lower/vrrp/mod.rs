//! Instances, groups and what they depend on: defaults, derived values, and what must be unique.

mod authentication;
mod destination;
mod election;
mod family;
mod garp;
mod groups;
mod instance;
mod links;
mod others;
mod tracking;
mod unique;

use alloc::string::String;
use alloc::vec::Vec;

use model::vrrp::{Holding, VrrpPlan};

use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::Configuration;
use crate::source::Span;

/// Keepalived's interface for what names none.
pub(super) const DEFAULT_INTERFACE: &str = "eth0";

/// Lowers every instance and group.
pub(super) fn lower(from: &Configuration, diagnostics: &mut Vec<Diagnostic>) -> VrrpPlan {
    let report = &mut Report { diagnostics };
    unique::names(from, report);
    unique::addresses(&from.instances, report);
    let mut groups = groups::lower(from, report);
    let mut names = links::Names::of(&from.instances);
    let mut instances = Vec::new();
    for instance in &from.instances {
        let context = instance::Context { from, group: groups::group_of(from, instance) };
        instances.extend(instance::lower(instance, &context, &mut names, report));
    }
    unique::routers(&from.instances, &instances, report);
    tracking::settle(from, &mut groups, &mut instances, report);
    VrrpPlan {
        settings: from.global.vrrp.settings.clone(),
        trackers: tracking::trackers(from, &groups, &instances, report),
        link_delays: others::link_delays(from, &instances, report),
        instances,
        sync_groups: groups,
        bfd: others::bfd(from, report),
        statics: statics(from),
        track_groups: others::track_groups(from, report),
        garp_groups: others::garp_groups(from, report),
    }
}

/// The default of `dev` of what belongs to no instance.
pub(super) fn default_interface(from: &Configuration) -> &str {
    from.global.vrrp.default_interface.as_ref().map_or(DEFAULT_INTERFACE, |name| &name.value)
}

fn statics(from: &Configuration) -> Vec<Holding> {
    let addresses = from.statics.addresses.iter().map(|address| {
        let mut address = address.value.clone();
        address.interface.get_or_insert_with(|| default_interface(from).into());
        Holding::Address(address)
    });
    let routes = from.statics.routes.iter().map(|route| Holding::Route(route.value.clone()));
    let rules = from.statics.rules.iter().map(|rule| Holding::Rule(rule.value.clone()));
    addresses.chain(routes).chain(rules).collect()
}

/// Collects what is wrong.
struct Report<'d> {
    diagnostics: &'d mut Vec<Diagnostic>,
}

impl Report<'_> {
    fn error(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(span, message).help(help));
    }

    fn warning(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(span, message).help(help));
    }

    fn note(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.diagnostics.push(Diagnostic::note(span, message).help(help));
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
}
