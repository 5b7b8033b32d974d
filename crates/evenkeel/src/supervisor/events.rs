//! What roles tell: into the log, the alerts, and to whom it may concern.

use model::control::{Cause, Event, FromRole};

use crate::cli::Role;

use super::Supervisor;
use super::alerts::{QuorumChange, ServerChange};

impl Supervisor {
    pub(super) fn on_message(&mut self, role: Role, message: FromRole) {
        match message {
            FromRole::Configured { generation, error } => {
                self.configured(role, generation, error);
            }
            FromRole::Whole { generation } => self.tell_whole(role, generation),
            FromRole::Report { id, report } => self.collect_report(id, report),
            FromRole::Connections { id, connections, last } => {
                self.collect_connections(id, connections, last);
            }
            FromRole::Server { id, result } => self.server_changed(id, result),
            FromRole::Zeroed { id, error } => self.zeroed(id, error),
            FromRole::Event(event) => self.on_event(role, &event),
        }
    }

    pub(super) fn on_event(&mut self, role: Role, event: &Event) {
        log(role, event);
        self.note_event(role.name(), event);
        let host = crate::machine::host_name();
        match (role, event) {
            (Role::Director, Event::Health { service, server, up, reason, cause, alert: true }) => {
                let (up, cause) = (*up, *cause);
                let change = ServerChange { service, server, up, cause, passed: up, reason };
                self.alerts.real_server(&self.plan, &host, &change);
            }
            (
                Role::Director,
                Event::Check { service, server, up, check, passed, reason, alert: true },
            ) if !self.plan.global.alerts.no_checkers => {
                let (up, cause, passed) = (*up, Cause::Check(*check), *passed);
                let change = ServerChange { service, server, up, cause, passed, reason };
                self.alerts.real_server(&self.plan, &host, &change);
            }
            (
                Role::Director,
                Event::Quorum { service, gained, living, needed, hysteresis, moment, alert: true },
            ) => {
                let (gained, living, moment) = (*gained, *living, *moment);
                let (needed, hysteresis) = (*needed, *hysteresis);
                let change = QuorumChange { service, gained, living, needed, hysteresis, moment };
                self.alerts.quorum(&self.plan, &host, &change);
            }
            (Role::Helper, Event::Notice(notice)) => {
                self.alerts.vrrp(&self.plan.global, &host, notice);
            }
            (Role::Vrrp, Event::Bfd { name, up }) => self.bfd_changed(name, *up),
            (Role::Vrrp, Event::TwoMasters { instance, rival, priority, over }) => {
                let mut instances = self.plan.vrrp.instances.iter();
                if instances.any(|one| one.name == *instance && one.notify.smtp_alert) {
                    let global = &self.plan.global;
                    self.alerts.two_masters(global, &host, instance, *rival, *priority, *over);
                }
            }
            _ => {}
        }
    }
}

/// A role's event as a log line.
pub(super) fn log(role: Role, event: &Event) {
    let text = words(event);
    match event {
        Event::VrrpState { .. } => tracing::info!("{text}"),
        Event::TwoMasters { over: false, .. } => tracing::error!("{text}"),
        Event::TwoMasters { over: true, .. }
        | Event::Health { .. }
        | Event::Check { .. }
        | Event::Quorum { .. }
        | Event::Sorry { .. } => tracing::warn!("{text}"),
        // The vrrp role has said it already.
        Event::Notice(_) | Event::Bfd { .. } => {}
        Event::Log { severity, .. } => {
            let role = role.name();
            match severity {
                0..=3 => tracing::error!("{role}: {text}"),
                4 => tracing::warn!("{role}: {text}"),
                5 | 6 => tracing::info!("{role}: {text}"),
                _ => tracing::debug!("{role}: {text}"),
            }
        }
    }
}

/// An event in words, one line.
pub(super) fn words(event: &Event) -> String {
    match event {
        Event::VrrpState { instance, from, to, reason } => {
            format!("({instance}) {from} -> {to}: {reason}")
        }
        Event::Health { service, server, up, reason, .. } => {
            let state = if *up { "up" } else { "down" };
            format!("{service}: server {server} is {state}: {reason}")
        }
        Event::Check { service, server, up, check, passed, reason, .. } => {
            let what = if *passed { "passes" } else { "fails" };
            let state = if *up { "up" } else { "down" };
            let number = check + 1;
            format!(
                "{service}: check {number} of server {server} {what}, which stays {state}: {reason}"
            )
        }
        Event::TwoMasters { instance, rival, priority, over: false } => {
            format!("({instance}) two masters: {rival} with priority {priority} is one as well")
        }
        Event::TwoMasters { instance, rival, priority, over: true } => {
            format!("({instance}) no longer two masters: {rival} with priority {priority} is gone")
        }
        Event::Quorum { service, gained, living, needed, hysteresis, .. } => {
            let what = if *gained { "gained" } else { "lost" };
            format!(
                "{service}: quorum {what}: weight {living} lives, {needed} is needed \
                 (hysteresis {hysteresis})"
            )
        }
        Event::Sorry { service, server, serves } => {
            let what = if *serves { "serves" } else { "leaves" };
            format!("{service}: sorry server {server} {what}")
        }
        Event::Notice(notice) => {
            let kind = if notice.group { "group" } else { "instance" };
            format!("{kind} {}: {}", notice.name, notice.kind)
        }
        Event::Bfd { name, up } => {
            format!("BFD session {name} is {}", if *up { "up" } else { "down" })
        }
        Event::Log { text, .. } => text.clone(),
    }
}
