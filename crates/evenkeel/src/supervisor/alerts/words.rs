//! Keepalived's words: subjects that people filter by, and bodies.

use model::Plan;
use model::check::{CheckKind, Checker};
use model::control::NoticeKind;
use model::layer4::{Endpoint, Protocol, VirtualServerId};

use super::QuorumChange;
use crate::supervisor::names;

/// Keepalived's names of a virtual server and a real server of it, as events name them:
/// `TCP 192.0.2.1:80` and `10.0.0.1:80` are `[192.0.2.1]:tcp:80` and `[10.0.0.1]:tcp:80`. Of a
/// group `[web]:0`: the number counts the virtual servers that use this group.
pub(super) fn virtual_server(plan: &Plan, id: &VirtualServerId) -> String {
    match id {
        VirtualServerId::Service(key) => {
            trio(Endpoint { address: key.address, port: key.port }, key.protocol)
        }
        VirtualServerId::Group { name, .. } => {
            let of_group = |one: &&VirtualServerId| matches!(one, VirtualServerId::Group { name: known, .. } if known == name);
            let ids = plan.layer4.virtual_servers.iter().map(|server| &server.id);
            let place = ids.filter(of_group).position(|one| one == id).unwrap_or_default();
            format!("[{name}]:{place}")
        }
    }
}

/// The same of a real server.
pub(super) fn real_server(id: &VirtualServerId, server: Endpoint) -> String {
    let protocol = match id {
        VirtualServerId::Service(key) => key.protocol,
        VirtualServerId::Group { protocol, .. } => *protocol,
    };
    trio(server, protocol)
}

fn trio(endpoint: Endpoint, protocol: Protocol) -> String {
    let protocol = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("[{}]:{protocol}:{}", endpoint.address, endpoint.port)
}

/// What a mail about a real server says: in the words of the checker that changed, or of the first
/// one where none did.
pub(super) fn check(
    plan: &Plan,
    id: &VirtualServerId,
    server: Endpoint,
    place: Option<usize>,
    up: bool,
    reason: &str,
) -> String {
    let succeed = if up { "succeed" } else { "failed" };
    let succeeded = if up { "succeeded" } else { "failed" };
    let checker: Option<&Checker> = names::checkers(plan, id, server).get(place.unwrap_or(0));
    match checker.map(|checker| &checker.kind) {
        Some(CheckKind::Tcp) => format!("=> TCP CHECK {succeed} on service <="),
        Some(CheckKind::Http(_)) if !up => {
            "=> CHECK failed on service : HTTP request failed <=".to_owned()
        }
        Some(CheckKind::Smtp(_)) if !up => format!("=> CHECK failed on service : {reason} <="),
        Some(CheckKind::Dns(_)) => format!("=> DNS_CHECK: {succeed} on service <="),
        Some(CheckKind::Udp(_)) => format!("=> UDP CHECK {succeed} on service <="),
        Some(CheckKind::Ping) => format!("=> ICMP CHECK {succeed} on service <="),
        Some(CheckKind::Misc(_)) => format!("=> MISC CHECK {succeeded} on service <="),
        Some(CheckKind::Bfd(name)) => format!("=> BFD CHECK {name} {succeeded} on service <="),
        Some(CheckKind::Http(_) | CheckKind::Smtp(_) | CheckKind::File(_)) | None => {
            format!("=> CHECK {succeed} on service <=")
        }
    }
}

/// What a mail about a quorum says.
pub(super) fn quorum(change: &QuorumChange<'_>) -> String {
    let QuorumChange { gained, needed, hysteresis, living, starting, .. } = *change;
    let (needed_wide, hysteresis_wide) = (i64::from(needed), i64::from(hysteresis));
    let (what, bound) = match (gained, starting) {
        (true, true) => ("Starting with quorum up", needed_wide + hysteresis_wide),
        (true, false) => ("Gained quorum", needed_wide + hysteresis_wide),
        (false, true) => ("Starting with quorum down", needed_wide - hysteresis_wide),
        (false, false) => ("Lost quorum", needed_wide - hysteresis_wide),
    };
    format!("=> {what} {needed}+{hysteresis}={bound} <= {living} <=")
}

/// Keepalived's words for a state: the end of the subject, and the body. Priorities and weaker
/// masters are not mailed.
pub(super) fn vrrp(group: bool, kind: NoticeKind) -> Option<(&'static str, &'static str)> {
    Some(match (group, kind) {
        (false, NoticeKind::Master) => {
            ("Entering MASTER state", "=> VRRP Instance is now owning VRRP VIPs <=")
        }
        (false, NoticeKind::Backup) => {
            ("Entering BACKUP state", "=> VRRP Instance is no longer owning VRRP VIPs <=")
        }
        (false, NoticeKind::Fault) => {
            ("Entering FAULT state", "=> VRRP Instance is no longer owning VRRP VIPs <=")
        }
        (false, NoticeKind::Stop) => ("Stopping", "=> VRRP Instance stopping <="),
        (false, NoticeKind::Deleted) => ("Deleted", "=> VRRP Deleted at reload <="),
        (true, NoticeKind::Master) => {
            ("Entering MASTER state", "=> All VRRP group instances are now in MASTER state <=")
        }
        (true, NoticeKind::Backup) => {
            ("Entering BACKUP state", "=> All VRRP group instances are now in BACKUP state <=")
        }
        (true, NoticeKind::Fault) => {
            ("Entering FAULT state", "=> All VRRP group instances are now in FAULT state <=")
        }
        (true, NoticeKind::Stop) => ("Stopping", "=> All VRRP group instances are now stopping <="),
        (true, NoticeKind::Deleted)
        | (
            _,
            NoticeKind::MasterRxLowerPri | NoticeKind::MasterPriority | NoticeKind::BackupPriority,
        ) => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::check::Pace;
    use model::layer4::{RealServer, ServiceKey, VirtualServer};

    use super::*;

    #[test]
    fn a_mail_speaks_of_the_checker_that_changed() {
        let target = "10.0.0.1:80".parse().unwrap();
        let second = Duration::from_secs(1);
        let pace = Pace::every(second);
        let checker = |kind| Checker::new(kind, target, second, pace);
        let endpoint = Endpoint { address: [10, 0, 0, 1].into(), port: 80 };
        let key = ServiceKey { address: [192, 0, 2, 1].into(), port: 80, protocol: Protocol::Tcp };
        let checkers = vec![checker(CheckKind::Ping), checker(CheckKind::Tcp)];
        let real_servers = vec![RealServer { checkers, ..RealServer::new(endpoint) }];
        let service = VirtualServer { real_servers, ..VirtualServer::new(key) };
        let mut plan = Plan::default();
        plan.layer4.virtual_servers = vec![service];
        let id = VirtualServerId::Service(key);
        let line = |place, up| check(&plan, &id, endpoint, place, up, "refused");
        assert_eq!(line(Some(1), false), "=> TCP CHECK failed on service <=");
        assert_eq!(line(Some(0), true), "=> ICMP CHECK succeed on service <=");
    }

    #[test]
    fn a_quorum_says_whether_it_changed_or_is_so_from_the_start() {
        let line = |gained, starting| {
            let (needed, hysteresis, living) = (3, 1, 4);
            quorum(&QuorumChange { service: "", gained, living, needed, hysteresis, starting })
        };
        assert_eq!(line(true, true), "=> Starting with quorum up 3+1=4 <= 4 <=");
        assert_eq!(line(false, true), "=> Starting with quorum down 3+1=2 <= 4 <=");
        assert_eq!(line(true, false), "=> Gained quorum 3+1=4 <= 4 <=");
        assert_eq!(line(false, false), "=> Lost quorum 3+1=2 <= 4 <=");
    }
}
