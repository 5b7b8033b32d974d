//! IPv4 and IPv6 side by side: what fits together and what does not.

use model::layer4::{Forwarding, Persistence, Tunnel, VirtualServer};

use crate::common::{keepalived, lines};

fn said(text: &str) -> String {
    lines(&keepalived(text)).join("\n")
}

/// A virtual server with these lines in it.
fn service(address: &str, settings: &str) -> String {
    format!("virtual_server {address} 80 {{\nprotocol TCP\n{settings}\n}}\n")
}

const V6: &str = "2001:db8::1";

/// Without a word of complaint.
fn virtual_server(text: &str) -> VirtualServer {
    let loaded = keepalived(text);
    assert_eq!(lines(&loaded), [""; 0]);
    loaded.plan.unwrap().layer4.virtual_servers.remove(0)
}

const REAL: &str = "real_server 2001:db8:1::1 80 {\nTCP_CHECK {\n}\n}\n";

#[test]
fn a_virtual_server_of_ipv6_arrives_as_written() {
    let more = "ip_family inet6\npersistence_timeout 50\nsorry_server ::1 8080\n";
    let server = virtual_server(&service(V6, &format!("{more}{REAL}")));
    assert_eq!(server.id.to_string(), "TCP [2001:db8::1]:80");
    let real = &server.real_servers[0];
    assert_eq!(real.endpoint.to_string(), "[2001:db8:1::1]:80");
    assert_eq!(real.checkers[0].target.to_string(), "[2001:db8:1::1]:80");
    assert_eq!(server.quorum.sorry.unwrap().endpoint.to_string(), "[::1]:8080");
    let whole = |one: Option<Persistence>| one.map(|one| one.prefix_len);
    assert_eq!(whole(server.persistence), Some(128));
    let more = "persistence_timeout 50\npersistence_granularity 64\n";
    let server = virtual_server(&service(V6, &format!("{more}{REAL}")));
    assert_eq!(whole(server.persistence), Some(64));
}

#[test]
fn a_tunnel_leads_to_either_family() {
    for (address, server) in [(V6, "10.0.0.1"), ("192.0.2.1", "2001:db8:1::1")] {
        let text = format!("lb_kind TUN\nreal_server {server} 80 {{\nTCP_CHECK {{\n}}\n}}\n");
        let read = virtual_server(&service(address, &text));
        assert_eq!(read.real_servers[0].forwarding, Forwarding::Tunnel(Tunnel::IpIp));
        assert_eq!(read.real_servers[0].endpoint.address.to_string(), server);
    }
}

#[test]
fn lines_of_a_group_of_ipv6_become_services() {
    for (line, services) in [
        ("2001:db8::fe-101 80", &["fe", "ff", "100", "101"][..]),
        ("2001:db8::fe-2001:db8::ff 80", &["fe", "ff"]),
        ("2001:db8::10/127 80", &["10", "11"]),
    ] {
        let group = format!("virtual_server_group web {{\n{line}\n}}\n");
        let text = group + &format!("virtual_server group web {{\nprotocol TCP\n{REAL}}}\n");
        let read: Vec<String> =
            virtual_server(&text).services.iter().map(ToString::to_string).collect();
        let wanted = services.iter().map(|last| format!("TCP [2001:db8::{last}]:80"));
        assert_eq!(read, wanted.collect::<Vec<_>>());
    }
}

#[test]
fn a_group_of_both_families_has_servers_behind_tunnels() {
    let text = |kind: &str| {
        format!(
            "virtual_server_group web {{\n192.0.2.1 80\n{V6} 80\n}}\n\
             virtual_server group web {{\nprotocol TCP\npersistence_timeout 50\n\
             lb_kind {kind}\n{REAL}}}\n"
        )
    };
    let server = virtual_server(&text("TUN"));
    assert_eq!(server.services.len(), 2);
    assert_eq!(server.persistence.map(|one| one.prefix_len), Some(128));
    assert!(said(&text("DR")).contains("is not of the family of TCP 192.0.2.1:80"));
}

#[test]
fn a_link_local_address_is_no_place_for_a_server() {
    let found = said(&service("fe80::1", REAL));
    assert!(found.contains("fe80::1 is of one link only and cannot be the address of a virtual"));
    let found = said(&service(V6, "real_server fe80::2 80 {\n}\n"));
    assert!(found.contains("fe80::2 is of one link only and cannot be the address of a real"));
}

#[test]
fn the_other_family_is_reached_in_tunnels_only() {
    for kind in ["NAT", "DR"] {
        for (address, server) in [(V6, "10.0.0.1"), ("192.0.2.1", "2001:db8:1::1")] {
            let real = format!("lb_kind {kind}\nreal_server {server} 80 {{\n}}");
            let found = said(&service(address, &real));
            let wanted = format!("the real server {server} is not of the family of TCP ");
            assert!(found.contains(&wanted), "{found}");
            assert!(found.contains("use a server of the same family, or lb_kind TUN"), "{found}");
            let sorry = format!("lb_kind {kind}\nsorry_server {server} 80");
            let found = said(&service(address, &sorry));
            assert!(found.contains(&format!("the sorry server {server} is not of")), "{found}");
        }
    }
    let tunnel = "lb_kind TUN\nreal_server 2001:db8:1::1 80 {\n}";
    assert!(!said(&service("192.0.2.1", tunnel)).contains("family"));
}

#[test]
fn persistence_granularity_is_a_netmask_of_ipv4_and_a_length_of_ipv6() {
    let with = |address: &str, granularity: &str| {
        let settings = "persistence_timeout 50\npersistence_granularity ".to_owned();
        said(&service(address, &(settings + granularity)))
    };
    for (address, granularity, found) in [
        ("192.0.2.1", "64", "does not fit TCP 192.0.2.1:80; write a netmask like 255.255.255.0"),
        (V6, "255.255.255.0", "does not fit TCP [2001:db8::1]:80; write the prefix length"),
        (V6, "129", "129 is not between 1 and 128"),
        (V6, "0", "0 is not between 1 and 128"),
        (V6, "/64", "\"/64\" is not a netmask; write a netmask like 255.255.255.0, or for IPv6"),
    ] {
        let said = with(address, granularity);
        assert!(said.contains(found), "{said}");
    }
    assert!(!with("192.0.2.1", "255.255.255.0").contains("granularity"));
    assert!(!with(V6, "64").contains("granularity"));
}

#[test]
fn ip_family_agrees_with_the_services() {
    for (address, right, wrong) in [("192.0.2.1", "inet", "inet6"), (V6, "inet6", "inet")] {
        assert!(!said(&service(address, &format!("ip_family {right}"))).contains("ip_family"));
        let found = said(&service(address, &format!("ip_family {wrong}")));
        assert!(found.contains(&format!("write ip_family {right}, or remove it")), "{found}");
    }
}

#[test]
fn wrong_lines_of_a_group_of_ipv6_say_what_would_be_right() {
    for (line, finding) in [
        ("2001:db8::9-1 80", "did you mean 2001:db8::1-2001:db8::9?"),
        ("2001:db8::1-g 80", "\"g\" is not the last group of an address"),
        ("2001:db8::1-10000 80", "\"10000\" is not the last group of an address"),
        ("2001:db8::1-10.0.0.1 80", "are not of the same family"),
        ("2001:db8::1/126 80", "write 2001:db8::/126 for the network, or 2001:db8::1 for"),
        ("2001:db8::/129 80", "129 is not between 1 and 128"),
        ("2001:db8::/116 80", "more than 2048 virtual servers"),
        ("8000::/1 80", "more than 2048 virtual servers"),
    ] {
        let group = format!("virtual_server_group web {{\n{line}\n}}\n");
        let found = said(&(group + "virtual_server group web {\nprotocol TCP\n}\n"));
        assert!(found.contains(finding), "{line}: {found}");
    }
}
