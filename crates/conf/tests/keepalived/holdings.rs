//! Addresses, routes and rules in the words of ip(8).

use model::vrrp::{
    Broadcast, Family, PreferredLifetime, RouteKind, RouteMetric, RuleAction, VirtualAddress,
    VirtualRoute, VirtualRule, VrrpInstance,
};

use crate::common::{Table, keepalived, lines};

fn text(block: &str, line: &str) -> String {
    format!(
        "vrrp_instance A {{\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {{\n \
         10.0.0.1\n }}\n{block} {{\n{line}\n}}\n}}\n"
    )
}

fn instance(block: &str, line: &str) -> VrrpInstance {
    let loaded = keepalived(&text(block, line));
    let lines = lines(&loaded);
    loaded.plan.unwrap_or_else(|| panic!("{line}\n{lines:?}")).vrrp.instances[0].clone()
}

fn address(line: &str) -> VirtualAddress {
    instance("virtual_ipaddress_excluded", line).excluded_addresses[0].clone()
}

fn route(line: &str) -> VirtualRoute {
    instance("virtual_routes", line).routes[0].clone()
}

fn rule(line: &str) -> VirtualRule {
    instance("virtual_rules", line).rules[0].clone()
}

fn finding(block: &str, line: &str) -> String {
    lines(&keepalived(&text(block, line))).join("\n")
}

#[test]
fn addresses_take_every_option() {
    let one = address("10.1.0.1/24 brd + dev eth1 scope site label eth1:1 no_track noprefixroute");
    assert_eq!((one.prefix_len, one.broadcast), (24, Some(Broadcast::HostBitsSet)));
    assert_eq!((one.scope, one.track, one.flags.no_prefix_route), (200, false, true));
    let one = address("10.1.0.1 peer 10.1.0.2 autojoin scope 0x10");
    assert_eq!(one.peer.unwrap().address, "10.1.0.2".parse::<std::net::IpAddr>().unwrap());
    assert_eq!((one.scope, one.flags.auto_join), (16, true));
    let one = address("2001:db8::1 home -nodad mngtmpaddr preferred_lft forever");
    assert!(one.flags.home && one.flags.no_dad && one.flags.manage_temporary);
    assert_eq!((one.preferred, one.prefix_len), (PreferredLifetime::Forever, 128));
    assert_eq!(address("2001:db8::1/64 preferred_lft 0").preferred, PreferredLifetime::Seconds(0));
}

#[test]
fn options_that_do_not_go_together_are_left_out_or_refused() {
    let said = |line: &str| finding("virtual_ipaddress_excluded", line);
    assert!(said("10.1.0.1/24 peer 10.1.0.2 brd +").contains("broadcast address is left out"));
    assert_eq!(address("10.1.0.1/24 peer 10.1.0.2").prefix_len, 32);
    assert!(said("10.1.0.1/31 brd +").contains("has no broadcast address"));
    assert!(said("2001:db8::1 brd +").contains("IPv6 has no broadcast"));
    assert!(said("2001:db8::1 label x").contains("the label of 2001:db8::1 is left out"));
    assert!(said("2001:db8::1 scope link").contains("the scope of 2001:db8::1 is left out"));
    assert!(said("10.1.0.1 track_group G").contains("for static_ipaddress"));
    assert!(said("224.0.0.1").contains("cannot be a virtual address"));
    assert!(said("10.1.0.1 dev").contains("dev needs a value"));
}

#[test]
fn routes_take_the_grammar_of_the_manual() {
    let one = route(
        "192.168.200.0/24 dev eth1 table 6909 tos 0x04 protocol bird scope link priority 12 mtu \
         1000 hoplimit 100 advmss 101 rtt 300ms rttvar 2000 reordering 104 window 105 cwnd 106 \
         ssthresh lock 107 realms 3/0x14 rto_min 250ms initcwnd 109 initrwnd 110 features ecn \
         quickack 1 congctl lock cubic append no_track",
    );
    assert_eq!((one.table, one.tos, one.protocol), (Some(6909), 4, Some(12)));
    assert_eq!((one.scope, one.metric, one.realms), (Some(253), Some(12), Some((3, 20))));
    assert_eq!(one.congestion_control, Some(("cubic".into(), true)));
    assert!(one.append && !one.exclusive && !one.track);
    let metric = |kind| one.metrics.iter().copied().find(|metric| metric.kind == kind).unwrap();
    assert_eq!(metric(4), RouteMetric { kind: 4, value: 2_400, locked: false });
    assert_eq!(metric(6), RouteMetric { kind: 6, value: 107, locked: true });
    assert_eq!((metric(5).value, metric(13).value, metric(12).value), (2_000, 250, 1));
    assert_eq!(one.metrics.len(), 14);
    assert_eq!(one.next_hops[0].interface.as_deref(), Some("eth1"));

    let one = route("src 10.0.0.1 to 192.168.109.0/24 via 10.0.0.254 dev eth1");
    assert_eq!(one.source, Some("10.0.0.1".parse().unwrap()));
    assert_eq!(one.next_hops[0].gateway, Some("10.0.0.254".parse().unwrap()));
    assert!(one.track && one.protocol.is_none());
    let one = route("blackhole 192.168.114.0/24");
    assert_eq!((one.kind, one.next_hops.len(), one.track), (RouteKind::Blackhole, 0, false));
    let one = route("0.0.0.0/0 gw 192.168.0.1 table 100");
    assert_eq!((one.destination, one.table), (None, Some(100)));
    let one = route("inet6 default via fe80::1 dev eth1 expires 30 pref high");
    assert_eq!((one.family, one.expires, one.preference), (Family::Ipv6, Some(30), Some(1)));
}

#[test]
fn routes_have_several_ways() {
    let one = route(
        "192.168.100.0/24 table 6909 nexthop via 10.0.1.1 dev wlan0 onlink weight 1 nexthop via \
         10.0.1.2 dev wlan1 weight 256",
    );
    assert_eq!(one.next_hops.len(), 2);
    assert!(one.next_hops[0].onlink && !one.next_hops[1].onlink);
    assert_eq!(one.next_hops[1].weight, 256);
    let one = route("192.168.113.0/24 via 10.0.0.254 or 10.0.0.253 dev eth1");
    assert_eq!(one.next_hops.len(), 2);
    assert!(one.next_hops.iter().all(|hop| hop.interface.as_deref() == Some("eth1")));
}

#[test]
fn wrong_routes_say_what_would_be_right() {
    let said = |line: &str| finding("virtual_routes", line);
    assert!(said("10.1.0.0/16 via 2001:db8::1").contains("IPv4 and IPv6 cannot be mixed"));
    assert!(said("via 10.0.0.1").contains("leads nowhere"));
    assert!(said("10.1.0.0/16 encap ip id 3").contains("make a tunnel interface"));
    assert!(said("10.1.0.0/16 vrf blue").contains("number of the routing domain's table"));
    assert!(said("10.1.0.0/16 tabel 3").contains("did you mean \"table\"?"));
    assert!(said("10.1.0.0/16 table small").contains("unknown routing table \"small\""));
    assert!(said("10.1.0.0/16 dev eth1 protocol bird").contains("has the protocol keepalived"));
    assert!(said("10.1.0.0/16 via 10.0.0.9").contains("note: this route is not tracked"));
    assert!(said("10.1.0.0/16 nexthop via 10.0.0.9 weight 0").contains("0 is not between 1"));
    assert!(said("10.1.0.0/16 dev eth1 rtt 3").contains("it is held there"));
}

#[test]
fn rules_take_the_grammar_of_the_manual() {
    let one = rule(
        "from 192.168.28.0/24 to 192.168.29.0/26 table 12 iif eth1 oif eth2 tos 22 fwmark 24/12 \
         preference 39 realms 30/20",
    );
    assert_eq!((one.preference, one.action), (39, RuleAction::Table(12)));
    assert_eq!((one.mark, one.realms, one.tos), (Some((24, Some(12))), Some((30, 20)), 22));
    assert_eq!((one.input.as_deref(), one.output.as_deref()), (Some("eth1"), Some("eth2")));
    let one = rule(
        "not to 1:2:3:4:6:6:7:0/112 l3mdev no_track protocol 12 ip_proto UDP sport 10-20 dport 53 \
         uidrange 10000-19999 priority 0x10",
    );
    assert!(one.invert && one.l3mdev && !one.track);
    assert_eq!(
        (one.family, one.action, one.protocol),
        (Family::Ipv6, RuleAction::Table(0), Some(12))
    );
    assert_eq!((one.ip_protocol, one.source_ports), (Some(17), Some((10, 20))));
    assert_eq!((one.destination_ports, one.users), (Some((53, 53)), Some((10_000, 19_999))));
    assert_eq!(one.preference, 16);
    assert_eq!(rule("preference 5 goto 9").action, RuleAction::Goto(9));
    assert_eq!(rule("from 10.0.0.0/8 blackhole preference 5").action, RuleAction::Blackhole);
    let one = rule("table main suppress_prefixlength 0 suppress_ifgroup 3 preference 5");
    assert_eq!((one.suppress_prefix_length, one.suppress_group), (Some(0), Some(3)));
}

#[test]
fn rules_without_preference_count_down_per_family() {
    let one =
        instance("virtual_rules", "from 10.0.0.1 table 1\nfrom ::1 table 1\nto 10.0.0.2 table 1");
    let preferences: Vec<u32> = one.rules.iter().map(|rule| rule.preference).collect();
    assert_eq!(preferences, [16_384, 16_384, 16_383]);
}

#[test]
fn wrong_rules_say_what_would_be_right() {
    let said = |line: &str| finding("virtual_rules", line);
    assert!(said("from 10.0.0.1").contains("this rule does nothing"));
    assert!(said("from 10.0.0.1 table 1 blackhole").contains("does one thing only"));
    assert!(said("from 10.0.0.1 to ::1 table 1").contains("cannot be mixed"));
    assert!(said("preference 9 goto 9").contains("does not lead forward"));
    assert!(said("realms 3 nop preference 1").contains("only a rule with a table"));
    assert!(said("from 10.0.0.1 table 0").contains("there is no table 0"));
    assert!(said("from 10.0.0.1 tabel 3").contains("did you mean \"table\"?"));
    assert!(said("table 1 sport 20-10").contains("not a range"));
}

#[test]
fn names_are_read_from_iproute2() {
    let loaded = Table::default()
        .with("k.conf", &text("virtual_rules", "from 10.0.0.1 table small preference 1"))
        .with("/etc/iproute2/rt_tables", "# names\n77 small\n")
        .only("k.conf");
    let plan = loaded.plan.unwrap();
    assert_eq!(plan.vrrp.instances[0].rules[0].action, RuleAction::Table(77));
}
