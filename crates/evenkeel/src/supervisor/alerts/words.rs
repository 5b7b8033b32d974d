//! Keepalived's words: subjects that people filter by, and bodies.

use model::Plan;
use model::check::{CheckKind, Checker};
use model::control::{Cause, Moment, NoticeKind};
use model::layer4::{Endpoint, Protocol, ServiceKey, VirtualServerId};
use proto::check::SmtpFailure;

use super::QuorumChange;
use crate::supervisor::names;

/// Keepalived's names of a virtual server and a real server of it, as events name them:
/// `TCP 192.0.2.1:80` and `10.0.0.1:80` are `[192.0.2.1]:tcp:80` and `[10.0.0.1]:tcp:80`. Of a
/// group `[web]:0`: the number counts the virtual servers that use this group.
pub(super) fn virtual_server(plan: &Plan, id: &VirtualServerId) -> String {
    match id {
        VirtualServerId::Service(ServiceKey::Address { address, port, protocol }) => {
            trio(Endpoint { address: *address, port: *port }, Some(*protocol))
        }
        VirtualServerId::Service(ServiceKey::Mark { mark, .. }) => format!("FWM {mark}"),
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
        VirtualServerId::Service(key) => key.protocol(),
        VirtualServerId::Group { protocol, .. } => Some(*protocol),
    };
    trio(server, protocol)
}

fn trio(endpoint: Endpoint, protocol: Option<Protocol>) -> String {
    let protocol = match protocol {
        Some(Protocol::Tcp) => "tcp",
        Some(Protocol::Udp) => "udp",
        Some(Protocol::Sctp) => "sctp",
        None => "none",
    };
    format!("[{}]:{protocol}:{}", endpoint.address, endpoint.port)
}

/// What a mail about a real server says first: in the words of the checker that changed, or why it
/// goes.
pub(super) fn server(
    plan: &Plan,
    id: &VirtualServerId,
    server: Endpoint,
    cause: Cause,
    up: bool,
    reason: &str,
) -> String {
    let checkers = names::checkers(plan, id, server);
    let checker = match cause {
        Cause::Check(place) => checkers.get(place),
        Cause::Removal => return "=> Removing <=".to_owned(),
        Cause::End => return "=> Shutting down <=".to_owned(),
        // Keepalived tells nobody.
        Cause::Change => None,
    };
    match checker {
        Some(checker) => check(checker, up, reason),
        None => format!("=> CHECK {} on service <=", if up { "succeed" } else { "failed" }),
    }
}

fn check(checker: &Checker, up: bool, reason: &str) -> String {
    let succeed = if up { "succeed" } else { "failed" };
    let succeeded = if up { "succeeded" } else { "failed" };
    match &checker.kind {
        CheckKind::Tcp => format!("=> TCP CHECK {succeed} on service <="),
        CheckKind::Http(_) if !up => {
            "=> CHECK failed on service : HTTP request failed <=".to_owned()
        }
        CheckKind::Smtp(_) if !up => {
            let (host, port) = (checker.target.ip(), checker.target.port());
            let words = smtp_failure(reason);
            format!("=> CHECK failed on service : {words} server [{host}]:{port} <=")
        }
        CheckKind::Dns(_) => format!("=> DNS_CHECK: {succeed} on service <="),
        CheckKind::Udp(_) => format!("=> UDP CHECK {succeed} on service <="),
        CheckKind::Ping => format!("=> ICMP CHECK {succeed} on service <="),
        CheckKind::Misc(_) => format!("=> MISC CHECK {succeeded} on service <="),
        CheckKind::Bfd(name) => format!("=> BFD CHECK {name} {succeeded} on service <="),
        CheckKind::Http(_) | CheckKind::Smtp(_) | CheckKind::File(_) => {
            format!("=> CHECK {succeed} on service <=")
        }
    }
}

/// Keepalived's words for the failure of an SMTP_CHECK.
fn smtp_failure(reason: &str) -> &'static str {
    match SmtpFailure::of(reason) {
        SmtpFailure::NoConnection => "Could not connect to",
        SmtpFailure::ConnectTimeout => "Connection timeout to",
        SmtpFailure::ReadTimeout => "Read timeout from",
        SmtpFailure::ReadFailure => "Read failure from",
        SmtpFailure::Greeting => "Bad greeting banner from",
        SmtpFailure::Helo => "Bad HELO response from",
    }
}

/// What a mail about a quorum says.
pub(super) fn quorum(change: &QuorumChange<'_>) -> String {
    let QuorumChange { gained, needed, hysteresis, living, moment, .. } = *change;
    let what = match (moment, gained) {
        (Moment::End, _) => return "=> Shutting down <=".to_owned(),
        (Moment::Start | Moment::Reload, true) => "Starting with quorum up",
        (Moment::Start | Moment::Reload, false) => "Starting with quorum down",
        (Moment::Change | Moment::Removal, true) => "Gained quorum",
        (Moment::Change | Moment::Removal, false) => "Lost quorum",
    };
    let (needed_wide, hysteresis_wide) = (i64::from(needed), i64::from(hysteresis));
    let bound = match gained {
        true => needed_wide + hysteresis_wide,
        false => needed_wide - hysteresis_wide,
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
        let key = ServiceKey::Address {
            address: [192, 0, 2, 1].into(),
            port: 80,
            protocol: Protocol::Tcp,
        };
        let checkers = vec![checker(CheckKind::Ping), checker(CheckKind::Tcp)];
        let real_servers = vec![RealServer { checkers, ..RealServer::new(endpoint) }].into();
        let service = VirtualServer { real_servers, ..VirtualServer::new(key) };
        let mut plan = Plan::default();
        plan.layer4.virtual_servers = vec![service];
        let id = VirtualServerId::Service(key);
        let line = |cause, up| server(&plan, &id, endpoint, cause, up, "refused");
        assert_eq!(line(Cause::Check(1), false), "=> TCP CHECK failed on service <=");
        assert_eq!(line(Cause::Check(0), true), "=> ICMP CHECK succeed on service <=");
        assert_eq!(line(Cause::Removal, false), "=> Removing <=");
        assert_eq!(line(Cause::End, false), "=> Shutting down <=");
        assert_eq!(line(Cause::Change, true), "=> CHECK succeed on service <=");
    }

    #[test]
    fn a_quorum_says_whether_it_changed_or_is_so_from_the_start() {
        let line = |gained, moment| {
            let (needed, hysteresis, living) = (3, 1, 4);
            quorum(&QuorumChange { service: "", gained, living, needed, hysteresis, moment })
        };
        assert_eq!(line(true, Moment::Start), "=> Starting with quorum up 3+1=4 <= 4 <=");
        assert_eq!(line(false, Moment::Reload), "=> Starting with quorum down 3+1=2 <= 4 <=");
        assert_eq!(line(true, Moment::Change), "=> Gained quorum 3+1=4 <= 4 <=");
        assert_eq!(line(false, Moment::Change), "=> Lost quorum 3+1=2 <= 4 <=");
        assert_eq!(line(false, Moment::Removal), "=> Lost quorum 3+1=2 <= 4 <=");
        assert_eq!(line(false, Moment::End), "=> Shutting down <=");
    }
}
