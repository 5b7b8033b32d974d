//! The configurations of the documents the project starts from, in our own typing.

use std::time::Duration;

use conf::Loaded;
use model::check::CheckKind;
use model::layer4::{Forwarding, Scheduler};
use model::vrrp::Authentication;

use crate::common::{keepalived, lines};

const NAT: &str = include_str!("../documents/book-nat.conf");
const DIRECT: &str = include_str!("../documents/book-direct-routing.conf");
const VIDEO: &str = include_str!("../documents/video-cluster.conf");
const SMTP: &str = include_str!("../documents/nat-smtp.conf");
const SCANNED: &str = include_str!("../documents/scanned.conf");
const SCANNED_NAT: &str = include_str!("../documents/scanned-nat.conf");

const CUT: &str = "warning: auth_pass is longer than 8 characters: it is cut to \"password\"; \
                   VRRP carries 8 characters; write a password of at most 8";

/// What the usual timers of examples get told: 3 s, four tries, three waits of 3 s.
fn slow(delay_loop: u32, others: u32) -> String {
    let others = if others == 1 { "does 1 other".into() } else { format!("do {others} others") };
    format!(
        "this check takes up to 21 s to find its server down, longer than delay_loop {delay_loop}; \
         so {others}; lower connect_timeout, retry or delay_before_retry, or write delay_loop 21"
    )
}

fn plan(loaded: &Loaded) -> &model::Plan {
    loaded.plan.as_ref().expect("it loads")
}

#[test]
fn the_books_nat_example_loads_with_the_address_nobody_holds_named() {
    let loaded = keepalived(NAT);
    assert_eq!(
        lines(&loaded),
        [
            format!("25:19 {CUT}"),
            format!("40:19 {CUT}"),
            "47:16 warning: no vrrp_instance holds 192.168.1.11, so this service does not fail \
             over; add 192.168.1.11 to virtual_ipaddress of RH_INT, or serve 192.168.1.1"
                .into(),
            "47:16 warning: this virtual_server names no protocol: it serves UDP, not TCP; write \
             protocol TCP, or protocol UDP if that is meant"
                .into(),
            format!("52:9 note: {}", slow(6, 3)),
        ]
    );
    let plan = plan(&loaded);
    assert_eq!(plan.global.alerts.to, ["admin@example.com"]);
    assert_eq!(plan.global.alerts.connect_timeout, Some(Duration::from_secs(60)));
    assert_eq!(plan.vrrp.sync_groups[0].members, ["RH_EXT", "RH_INT"]);
    assert_eq!(plan.vrrp.instances[1].interface, "eth1");
    assert_eq!(plan.vrrp.instances[1].authentication, Authentication::Pass(*b"password"));
    let service = &plan.layer4.virtual_servers[0];
    assert_eq!(service.key().to_string(), "UDP 192.168.1.11:80");
    assert_eq!(service.scheduler, Scheduler::RoundRobin);
    assert_eq!(service.real_servers.len(), 4);
    assert_eq!(service.real_servers[3].endpoint.to_string(), "192.168.1.23:80");
    assert_eq!(service.real_servers[3].checkers[0].timeout, Duration::from_secs(10));
    assert_eq!(service.real_servers[3].checkers[0].pace.interval, Duration::from_secs(6));
    assert_eq!(plan.layer4.interfaces, ["eth0", "eth1"]);
    assert!(plan.has_keepalived && !plan.has_haproxy);
}

#[test]
fn the_books_direct_routing_example_loads_with_its_priority_doubted() {
    let loaded = keepalived(DIRECT);
    assert_eq!(
        lines(&loaded),
        [
            "14:5 warning: state MASTER with priority 1, the lowest: any other director takes \
             over; give the director that should be master the highest priority"
                .to_string(),
            format!("18:19 {CUT}"),
            format!("34:9 note: {}", slow(10, 2)),
        ]
    );
    let service = &plan(&loaded).layer4.virtual_servers[0];
    assert_eq!(service.persistence.unwrap().timeout, Duration::from_secs(9600));
    assert!(service.real_servers.iter().all(|s| s.forwarding == Forwarding::DirectRouting));
    assert_eq!(plan(&loaded).layer4.interfaces, ["eth0"]);
}

#[test]
fn the_video_cluster_loads_although_a_web_page_hid_its_address() {
    let loaded = keepalived(VIDEO);
    assert_eq!(
        lines(&loaded),
        [
            "6:27 warning: this is no address: a web page has hidden it; the default is used; \
             write the sender's address"
                .to_string(),
            "27:17 warning: no vrrp_instance holds 172.16.55.100, so this service does not fail \
             over; add 172.16.55.100 to virtual_ipaddress of VI_1, or serve 172.16.0.23"
                .to_string(),
            format!("36:3 note: {}", slow(6, 1)),
        ]
    );
    let plan = plan(&loaded);
    assert_eq!(plan.global.router_id.as_deref(), Some("LB_CLUSTER1"));
    let checker = &plan.layer4.virtual_servers[0].real_servers[0].checkers[0];
    let CheckKind::Http(model::check::HttpCheck { urls, .. }) = &checker.kind else {
        panic!("HTTP_GET")
    };
    assert_eq!(urls[0].path, "/testurl/test.jsp");
    assert_eq!(urls[0].digest.unwrap()[..4], [0x64, 0x02, 0x05, 0xb7]);
    assert_eq!(checker.pace.fall, 4);
    assert_eq!(checker.pace.retry_interval, Duration::from_secs(3));
}

#[test]
fn the_nat_and_smtp_example_loads_without_a_warning() {
    let loaded = keepalived(SMTP);
    let notes = lines(&loaded);
    assert!(notes.iter().all(|line| line.contains("longer than delay_loop")), "{notes:?}");
    let plan = plan(&loaded);
    assert_eq!(plan.layer4.virtual_servers[1].key().to_string(), "TCP 192.168.1.54:25");
    assert_eq!(plan.layer4.virtual_servers[1].real_servers[0].checkers[0].kind, CheckKind::Tcp);
    assert_eq!(loaded.summary.to_string(), "2 virtual servers, 4 real servers");
}

#[test]
fn the_scanned_example_gets_an_error_for_each_cause_and_no_cascade() {
    let loaded = keepalived(SCANNED);
    assert!(loaded.plan.is_none());
    let errors: Vec<String> =
        lines(&loaded).into_iter().filter(|line| line.contains(" error: ")).collect();
    let open = |name| format!("error: {name} is never closed; write `}}` where {name} ends");
    let port =
        "error: connect_port needs a port; write a port after connect_port, or remove the line";
    assert_eq!(
        errors,
        [
            format!("15:5 {}", open("authentication")),
            "22:1 error: virtual_server has no opening brace; write `{` after it: virtual_server \
             opens a block"
                .into(),
            "25:5 error: unknown keyword \"1b_kind\" in virtual_server; did you mean \"lb_kind\"?"
                .into(),
            format!("30:9 {}", open("TCP_CHECK")),
            format!("32:11 {port}"),
            format!("34:5 {}", open("real_server")),
            format!("36:9 {}", open("TCP_CHECK")),
            format!("38:11 {port}"),
            format!("41:9 {}", open("TCP_CHECK")),
            format!("43:11 {port}"),
        ]
    );
    assert_eq!(loaded.summary.real_servers, 3);
}

#[test]
fn the_nat_example_as_scanned_is_understood_in_spite_of_its_lost_braces() {
    let loaded = keepalived(SCANNED_NAT);
    let places: Vec<String> = lines(&loaded)
        .into_iter()
        .filter(|line| line.contains(" error: "))
        .map(|line| line.split(" is never").next().unwrap().to_string())
        .collect();
    assert_eq!(
        places,
        [
            "1:1 error: vrrp_sync_group",
            "12:5 error: authentication",
            "25:4 error: authentication",
            "37:9 error: TCP_CHECK",
            "41:9 error: TCP_CHECK",
            "44:5 error: real_server",
            "45:9 error: TCP_CHECK",
        ]
    );
    assert_eq!(loaded.summary.vrrp_instances, 2);
    assert_eq!(loaded.summary.real_servers, 4);
}
