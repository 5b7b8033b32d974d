//! IPv4 and IPv6 side by side: what fits together and what does not.

use crate::common::{keepalived, lines};

fn said(text: &str) -> String {
    lines(&keepalived(text)).join("\n")
}

/// A virtual server with these lines in it.
fn service(address: &str, settings: &str) -> String {
    format!("virtual_server {address} 80 {{\nprotocol TCP\n{settings}\n}}\n")
}

const V6: &str = "2001:db8::1";

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
