//! What a reload changes at layer 4.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Area, Change, Fields, Kind, Verb};
use crate::layer4::{
    Layer4Plan, Outside, RealServer, ServiceKey, SorryServer, VirtualServer, VirtualServerId,
};
use crate::vrrp::Command;

/// Most services of a group that are named.
const NAMED_MOST: usize = 4;

pub(super) fn compare(old: &Layer4Plan, new: &Layer4Plan, changes: &mut Vec<Change>) {
    Kind {
        area: Area::Layer4,
        name: &|service: &VirtualServer| format!("virtual server {}", service.id),
        identity: &|one| one.id.clone(),
        fields: &virtual_server,
        removal_drops: Some("its connections are no longer forwarded"),
    }
    .compare(&old.virtual_servers, &new.virtual_servers, changes);
    let before: BTreeMap<&VirtualServerId, &VirtualServer> =
        old.virtual_servers.iter().map(|one| (&one.id, one)).collect();
    for service in &new.virtual_servers {
        let Some(before) = before.get(&service.id) else { continue };
        if before.real_servers == service.real_servers {
            continue;
        }
        Kind {
            area: Area::Layer4,
            name: &|server: &RealServer| {
                format!("real server {} of {}", server.endpoint, service.id)
            },
            identity: &|one| one.endpoint,
            fields: &real_server,
            removal_drops: Some("its connections end"),
        }
        .compare(&before.real_servers, &service.real_servers, changes);
    }
    let details = outside(&old.outside, &new.outside);
    if !details.is_empty() {
        changes.push(Change {
            area: Area::Layer4,
            verb: Verb::Change,
            subject: "programs, files and pipes of the director".into(),
            details,
            drops: None,
        });
    }
}

fn virtual_server(a: &VirtualServer, b: &VirtualServer) -> Vec<String> {
    let mut details = services(&a.services, &b.services);
    let (old, new) = (&a.quorum, &b.quorum);
    let fields = Fields::new()
        .text("lb_algo", a.scheduler, b.scheduler)
        .field("persistence", &a.persistence, &b.persistence)
        .text("quorum", old.weight, new.weight)
        .text("hysteresis", old.hysteresis, new.hysteresis)
        .text("quorum_up", program(old.up.as_ref()), program(new.up.as_ref()))
        .text("quorum_down", program(old.down.as_ref()), program(new.down.as_ref()))
        .text("sorry_server", sorry(old.sorry.as_ref()), sorry(new.sorry.as_ref()))
        .text("ha_suspend", a.ha_suspend, b.ha_suspend)
        .text("alpha", a.alpha, b.alpha)
        .text("omega", a.omega, b.omega)
        .text("smtp_alert", a.smtp_alert, b.smtp_alert);
    details.extend(fields.0);
    details
}

fn real_server(a: &RealServer, b: &RealServer) -> Vec<String> {
    Fields::new()
        .text("weight", a.weight, b.weight)
        .text("lb_kind", a.forwarding, b.forwarding)
        .text("inhibit_on_failure", a.inhibit_on_failure, b.inhibit_on_failure)
        .text("uthreshold", a.upper_threshold, b.upper_threshold)
        .text("lthreshold", a.lower_threshold, b.lower_threshold)
        .text("notify_up", program(a.notify_up.as_ref()), program(b.notify_up.as_ref()))
        .text("notify_down", program(a.notify_down.as_ref()), program(b.notify_down.as_ref()))
        .text("smtp_alert", a.smtp_alert, b.smtp_alert)
        .field("checkers", &a.checkers, &b.checkers)
        .0
}

fn outside(a: &Outside, b: &Outside) -> Vec<String> {
    Fields::new()
        .field("track_file", &a.files, &b.files)
        .field("fifos", &a.fifos, &b.fifos)
        .field("script_user", &a.script_user, &b.script_user)
        .text("enable_script_security", a.script_security, b.script_security)
        .field("child_wait_time", &a.finish_within, &b.finish_within)
        .text("umask", format!("{:o}", a.umask), format!("{:o}", b.umask))
        .field("SSL", &a.tls, &b.tls)
        .text("rs_init_notifies", a.init_notifies, b.init_notifies)
        .0
}

/// `service +TCP 192.0.2.3:80` for each that comes, `-` for each that goes.
fn services(old: &[ServiceKey], new: &[ServiceKey]) -> Vec<String> {
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (old.iter().collect(), new.iter().collect());
    let gone = before.difference(&after).map(|key| format!("service -{key}"));
    let come = after.difference(&before).map(|key| format!("service +{key}"));
    let mut named: Vec<String> = gone.chain(come).collect();
    if named.len() > NAMED_MOST {
        let more = named.len() - NAMED_MOST;
        named.truncate(NAMED_MOST);
        named.push(format!("{more} more services"));
    }
    named
}

/// A command line and who runs it.
fn program(command: Option<&Command>) -> String {
    let Some(command) = command else { return "none".to_string() };
    let words = command.words.join(" ");
    match &command.user {
        None => words,
        Some(user) => format!("{words} as {}:{}", user.name, user.gid),
    }
}

fn sorry(server: Option<&SorryServer>) -> String {
    let Some(server) = server else { return "none".to_string() };
    let inhibit = if server.inhibit { ", inhibited" } else { "" };
    format!("{} by {}{inhibit}", server.endpoint, server.forwarding)
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::layer4::{Endpoint, Forwarding, Protocol};

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
    }

    fn key(last: u8) -> ServiceKey {
        ServiceKey::Address { address: address(last), port: 80, protocol: Protocol::Tcp }
    }

    fn plan(server: VirtualServer) -> Layer4Plan {
        Layer4Plan { virtual_servers: vec![server], ..Layer4Plan::default() }
    }

    fn said(old: VirtualServer, new: VirtualServer) -> Vec<String> {
        let mut changes = Vec::new();
        compare(&plan(old), &plan(new), &mut changes);
        changes.into_iter().flat_map(|change| change.details).collect()
    }

    #[test]
    fn every_setting_of_a_virtual_server_is_told() {
        let old = VirtualServer::new(key(1));
        let mut new = old.clone();
        new.quorum.weight = 3;
        new.quorum.hysteresis = 1;
        new.quorum.up = Some(Command { words: vec!["/bin/a".into(), "b".into()], user: None });
        let endpoint = Endpoint { address: address(9), port: 81 };
        let forwarding = Forwarding::DirectRouting;
        new.quorum.sorry = Some(SorryServer { endpoint, forwarding, inhibit: true });
        new.ha_suspend = true;
        new.alpha = true;
        new.omega = true;
        new.smtp_alert = true;
        assert_eq!(
            said(old, new),
            [
                "quorum 1 -> 3",
                "hysteresis 0 -> 1",
                "quorum_up none -> /bin/a b",
                "sorry_server none -> 192.0.2.9:81 by DR, inhibited",
                "ha_suspend false -> true",
                "alpha false -> true",
                "omega false -> true",
                "smtp_alert false -> true",
            ]
        );
    }

    #[test]
    fn every_setting_of_a_real_server_is_told() {
        let mut old = VirtualServer::new(key(1));
        let server = RealServer::new(Endpoint { address: address(2), port: 80 });
        old.real_servers = vec![server].into();
        let mut new = old.clone();
        let server = &mut new.real_servers[0];
        server.inhibit_on_failure = true;
        server.upper_threshold = 9;
        server.lower_threshold = 5;
        server.notify_down = Some(Command { words: vec!["/bin/a".into()], user: None });
        server.smtp_alert = false;
        assert_eq!(
            said(old, new),
            [
                "inhibit_on_failure false -> true",
                "uthreshold 0 -> 9",
                "lthreshold 0 -> 5",
                "notify_down none -> /bin/a",
                "smtp_alert true -> false",
            ]
        );
    }

    #[test]
    fn services_that_come_and_go_with_a_group_are_named_or_counted() {
        let group = |keys: core::ops::Range<u8>| VirtualServer {
            id: VirtualServerId::Group { name: "web".into(), protocol: Protocol::Tcp },
            services: keys.map(key).collect(),
            ..VirtualServer::new(key(0))
        };
        assert_eq!(
            said(group(1..3), group(2..4)),
            ["service -TCP 192.0.2.1:80", "service +TCP 192.0.2.3:80"]
        );
        let many = said(group(1..2), group(1..22));
        assert_eq!((many.len(), many[4].as_str()), (5, "16 more services"));
    }
}
