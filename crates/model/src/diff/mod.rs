//! What a reload changes: two Plans compared by the stable identities of their parts, in words.

mod layer4;
mod vrrp;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::Plan;
use crate::proxy::{Backend, Frontend, ProcessSettings, ProxyPlan, Server};

/// Who notices a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Area {
    /// The supervisor itself.
    Global,
    /// The vrrp role.
    Vrrp,
    /// The director role.
    Layer4,
    /// The proxy role.
    Layer7,
}

/// What happens to the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verb {
    /// It is new.
    Add,
    /// It goes.
    Remove,
    /// It stays and is different.
    Change,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Who notices it.
    pub area: Area,
    /// What happens.
    pub verb: Verb,
    /// What it happens to: `virtual server TCP 192.0.2.1:80`.
    pub subject: String,
    /// What is different, for [`Verb::Change`]: `weight 1 -> 2`.
    pub details: Vec<String>,
    /// What users lose by it; absent when nothing is dropped.
    pub drops: Option<String>,
}

/// Every difference between two Plans, in the order of the files. Empty when a reload would
/// change nothing.
pub fn diff(old: &Plan, new: &Plan) -> Vec<Change> {
    let mut changes = Vec::new();
    global(old, new, &mut changes);
    vrrp::compare(&old.vrrp, &new.vrrp, &mut changes);
    layer4::compare(&old.layer4, &new.layer4, &mut changes);
    layer7(&old.proxy, &new.proxy, &mut changes);
    changes
}

/// What to say of a pair of parts: the differing fields, as text.
struct Fields(Vec<String>);

impl Fields {
    fn new() -> Fields {
        Fields(Vec::new())
    }

    fn field<T: PartialEq + Debug>(mut self, name: &str, old: &T, new: &T) -> Fields {
        if old != new {
            self.0.push(format!("{name} {old:?} -> {new:?}"));
        }
        self
    }

    /// Says that it differs, and not how.
    fn secret<T: PartialEq>(mut self, name: &str, old: &T, new: &T) -> Fields {
        if old != new {
            self.0.push(format!("{name} changed"));
        }
        self
    }

    fn text(mut self, name: &str, old: impl ToString, new: impl ToString) -> Fields {
        let (old, new) = (old.to_string(), new.to_string());
        if old != new {
            self.0.push(format!("{name} {old} -> {new}"));
        }
        self
    }
}

/// How one kind of part is compared.
struct Kind<'a, T, K> {
    area: Area,
    name: &'a dyn Fn(&T) -> String,
    /// What makes two parts the same one.
    identity: &'a dyn Fn(&T) -> K,
    fields: &'a dyn Fn(&T, &T) -> Vec<String>,
    removal_drops: Option<&'a str>,
}

impl<T: PartialEq, K: Ord> Kind<'_, T, K> {
    fn compare(&self, old: &[T], new: &[T], changes: &mut Vec<Change>) {
        let mut gone: BTreeMap<K, &T> =
            old.iter().map(|part| ((self.identity)(part), part)).collect();
        let mut found = Vec::new();
        for part in new {
            match gone.remove(&(self.identity)(part)) {
                Some(before) if before != part => {
                    let details = (self.fields)(before, part);
                    if !details.is_empty() {
                        found.push(self.change(Verb::Change, part, details, None));
                    }
                }
                Some(_) => {}
                None => found.push(self.change(Verb::Add, part, Vec::new(), None)),
            }
        }
        let is_gone = |part: &&T| gone.contains_key(&(self.identity)(part));
        for part in old.iter().filter(is_gone) {
            changes.push(self.change(Verb::Remove, part, Vec::new(), self.removal_drops));
        }
        changes.append(&mut found);
    }

    fn change(&self, verb: Verb, part: &T, details: Vec<String>, drops: Option<&str>) -> Change {
        Change {
            area: self.area,
            verb,
            subject: (self.name)(part),
            details,
            drops: drops.map(String::from),
        }
    }
}

fn global(old: &Plan, new: &Plan, changes: &mut Vec<Change>) {
    let details = Fields::new()
        .field("router_id", &old.global.router_id, &new.global.router_id)
        .field("alerts", &old.global.alerts, &new.global.alerts)
        .0;
    if !details.is_empty() {
        changes.push(Change {
            area: Area::Global,
            verb: Verb::Change,
            subject: "global settings".into(),
            details,
            drops: None,
        });
    }
}

fn layer7(old: &ProxyPlan, new: &ProxyPlan, changes: &mut Vec<Change>) {
    if old.process != new.process {
        changes.push(process(&old.process, &new.process));
    }
    Kind {
        area: Area::Layer7,
        name: &|frontend: &Frontend| format!("frontend {}", frontend.name),
        identity: &|one| one.name.clone(),
        fields: &|a, b| {
            Fields::new()
                .field("mode", &a.mode, &b.mode)
                .field("bind", &addresses(a), &addresses(b))
                .field("maxconn", &a.max_connections, &b.max_connections)
                .field("log", &a.log, &b.log)
                .field("timeouts", &a.timeouts, &b.timeouts)
                .field("forwardfor", &a.forward_for, &b.forward_for)
                .field("connection mode", &a.connection_mode, &b.connection_mode)
                .field("rules", &a.use_backends, &b.use_backends)
                .field("default_backend", &a.default_backend, &b.default_backend)
                .0
        },
        removal_drops: Some("new connections are refused; open sessions finish"),
    }
    .compare(&old.frontends, &new.frontends, changes);
    Kind {
        area: Area::Layer7,
        name: &|backend: &Backend| format!("backend {}", backend.name),
        identity: &|one| one.name.clone(),
        fields: &|a, b| {
            Fields::new()
                .field("mode", &a.mode, &b.mode)
                .field("balance", &a.balance, &b.balance)
                .field("timeouts", &a.timeouts, &b.timeouts)
                .field("retries", &a.retries, &b.retries)
                .field("redispatch", &a.redispatch, &b.redispatch)
                .field("forwardfor", &a.forward_for, &b.forward_for)
                .field("connection mode", &a.connection_mode, &b.connection_mode)
                .field("log", &a.log, &b.log)
                .0
        },
        removal_drops: None,
    }
    .compare(&old.backends, &new.backends, changes);
    let before: BTreeMap<&str, &Backend> =
        old.backends.iter().map(|one| (one.name.as_str(), one)).collect();
    for backend in &new.backends {
        let Some(before) = before.get(backend.name.as_str()) else { continue };
        Kind {
            area: Area::Layer7,
            name: &|server: &Server| format!("server {}/{}", backend.name, server.name),
            identity: &|one| one.name.clone(),
            fields: &|a, b| {
                Fields::new()
                    .text("address", a.address, b.address)
                    .text("weight", a.weight, b.weight)
                    .text("backup", a.backup, b.backup)
                    .field("check", &a.check, &b.check)
                    .0
            },
            removal_drops: None,
        }
        .compare(&before.servers, &backend.servers, changes);
    }
}

fn addresses(frontend: &Frontend) -> Vec<String> {
    frontend.binds.iter().map(|bind| bind.address.to_string()).collect()
}

fn process(old: &ProcessSettings, new: &ProcessSettings) -> Change {
    let details = Fields::new()
        .field("user", &old.user, &new.user)
        .field("group", &old.group, &new.group)
        .field("chroot", &old.chroot, &new.chroot)
        .field("pidfile", &old.pid_file, &new.pid_file)
        .field("daemon", &old.daemon, &new.daemon)
        .text("nbthread", old.threads, new.threads)
        .field("maxconn", &old.max_connections, &new.max_connections)
        .0;
    Change {
        area: Area::Layer7,
        verb: Verb::Change,
        subject: "process settings of the proxy".into(),
        details,
        drops: old
            .needs_successor(new)
            .then(|| "nothing, but a new proxy process takes over while the old one drains".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer4::{
        Endpoint, Layer4Plan, Protocol, RealServer, Scheduler, ServiceKey, VirtualServer,
    };
    use core::net::{IpAddr, Ipv4Addr};

    fn server(last: u8, weight: u32) -> RealServer {
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        RealServer { weight, ..RealServer::new(Endpoint { address, port: 80 }) }
    }

    fn plan(servers: Vec<RealServer>) -> Plan {
        let key = ServiceKey::Address {
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            port: 80,
            protocol: Protocol::Tcp,
        };
        let service = VirtualServer {
            scheduler: Scheduler::RoundRobin,
            real_servers: servers.into(),
            ..VirtualServer::new(key)
        };
        Plan {
            layer4: Layer4Plan { virtual_servers: vec![service], ..Layer4Plan::default() },
            ..Plan::default()
        }
    }

    #[test]
    fn a_list_that_is_turned_round_has_no_differences_and_takes_no_time() {
        let servers: Vec<_> = (0..60_000_u32)
            .map(|number| {
                let mut one = server(0, 1);
                one.endpoint.address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
                one
            })
            .collect();
        let turned = servers.iter().rev().cloned().collect();
        assert_eq!(diff(&plan(servers), &plan(turned)), Vec::new());
    }

    #[test]
    fn equal_plans_have_no_differences() {
        let plan = plan(vec![server(1, 1), server(2, 1)]);
        assert_eq!(diff(&plan, &plan.clone()), Vec::new());
    }

    #[test]
    fn a_weight_a_new_and_a_lost_server_are_three_changes() {
        let old = plan(vec![server(1, 1), server(2, 1)]);
        let new = plan(vec![server(3, 1), server(1, 5)]);
        let changes = diff(&old, &new);
        let said: Vec<_> = changes.iter().map(|one| (one.verb, one.subject.as_str())).collect();
        assert_eq!(
            said,
            [
                (Verb::Remove, "real server 10.0.0.2:80 of TCP 192.0.2.1:80"),
                (Verb::Add, "real server 10.0.0.3:80 of TCP 192.0.2.1:80"),
                (Verb::Change, "real server 10.0.0.1:80 of TCP 192.0.2.1:80"),
            ]
        );
        assert_eq!(changes[2].details, ["weight 1 -> 5"]);
        assert_eq!(changes[0].drops.as_deref(), Some("its connections end"));
    }
}
