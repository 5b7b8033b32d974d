//! `virtual_server fwmark`.

use model::layer4::{ServiceKey, VirtualServer};
use model::vrrp::Family;

use crate::common::{keepalived, lines};

const SERVERS: &str = "real_server 10.0.0.1 {\nTCP_CHECK {\nconnect_port 80\n}\n}\n";

fn marked(settings: &str) -> String {
    format!("virtual_server fwmark 80 {{\nlb_algo wlc\n{settings}{SERVERS}}}\n")
}

fn findings(text: &str) -> Vec<String> {
    lines(&keepalived(text))
}

fn servers(text: &str) -> Vec<VirtualServer> {
    let loaded = keepalived(text);
    loaded.plan.unwrap_or_else(|| panic!("{:?}", findings(text))).layer4.virtual_servers
}

fn mark(mark: u32, family: Family) -> ServiceKey {
    ServiceKey::Mark { mark, family }
}

#[test]
fn a_mark_is_a_service_of_its_own_without_port_and_protocol() {
    let text = marked("lb_kind DR\npersistence_timeout 300\n");
    assert_eq!(findings(&text), Vec::<String>::new());
    let server = servers(&text).remove(0);
    assert_eq!(server.services, [mark(80, Family::Ipv4)]);
    assert_eq!(server.id.to_string(), "FWM 80");
    assert_eq!(server.real_servers[0].endpoint.port, 0, "that of the client");
    assert_eq!(server.real_servers[0].checkers[0].target.port(), 80);
    assert_eq!(server.persistence.map(|it| it.timeout.as_secs()), Some(300));
    let bare = servers(&marked("")).remove(0);
    assert_eq!(bare.persistence, None, "a mark is not a service for all ports");
}

#[test]
fn what_a_mark_cannot_have_is_told_as_keepalived_does() {
    for (settings, finding) in [
        ("protocol TCP\n", "a firewall mark is for every protocol; remove protocol"),
        ("ha_suspend\n", "a firewall mark has no address to wait for: checks go on"),
        ("ip_family inet6\n", "the real server 10.0.0.1 is not of the family of FWM 80 IPv6"),
    ] {
        let found = findings(&marked(settings));
        assert!(found.iter().any(|one| one.contains(finding)), "{settings}: {found:?}");
    }
}

#[test]
fn direct_routing_leaves_the_port_and_translation_makes_one_of_all() {
    let direct = marked("lb_kind DR\n").replace("10.0.0.1 {", "10.0.0.1 80 {");
    let found = findings(&direct);
    assert!(found[0].contains("direct routing cannot change the port"), "{found:?}");
    assert_eq!(servers(&direct)[0].real_servers[0].endpoint.port, 0);
    let nat = marked("lb_kind NAT\n").replace("10.0.0.1 {", "10.0.0.1 80 {");
    let found = findings(&nat);
    assert!(found[0].contains("clients of every port of this mark get port 80"), "{found:?}");
    assert_eq!(servers(&nat)[0].real_servers[0].endpoint.port, 80);
}

#[test]
fn the_families_of_a_mark_are_two_services_and_each_is_served_once() {
    let packed = "real_server 10.0.0.1 {\nlvs_method TUN\n}\n";
    let one = |family: &str| format!("virtual_server fwmark 80 {{\n{family}{packed}}}\n");
    let both = format!("{}{}", one(""), one("ip_family inet6\n"));
    let services: Vec<ServiceKey> = servers(&both).iter().map(VirtualServer::key).collect();
    assert_eq!(services, [mark(80, Family::Ipv4), mark(80, Family::Ipv6)]);
    let twice = findings(&format!("{}{}", one(""), one("")));
    assert!(
        twice.iter().any(|it| it.contains("virtual_server FWM 80 exists already")),
        "{twice:?}"
    );
}

#[test]
fn a_group_may_hold_marks_beside_addresses() {
    let group = "virtual_server_group web {\n192.0.2.1 80\nfwmark 7\nfwmark 8 inet6\n}\n";
    let text =
        format!("{group}virtual_server group web {{\nprotocol TCP\nlb_kind TUN\n{SERVERS}}}\n");
    let server = servers(&text).remove(0);
    assert_eq!(server.services.len(), 3);
    assert_eq!(server.services[1..], [mark(7, Family::Ipv4), mark(8, Family::Ipv6)]);
}
