//! Rules as nft 1.0.6 writes them.

use model::marks::{MarkRules, Packet};

use super::*;
use crate::firewall::compile::compile;

fn read(rules: &[&str]) -> MarkRules {
    let mut objects = vec![
        r#"{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}"#.to_owned(),
        r#"{"table": {"family": "inet", "name": "lb", "handle": 3}}"#.to_owned(),
        r#"{"chain": {"family": "inet", "table": "lb", "name": "pre", "handle": 1, "type": "filter",
            "hook": "prerouting", "prio": -150, "policy": "accept"}}"#
            .to_owned(),
        r#"{"chain": {"family": "inet", "table": "lb", "name": "sub", "handle": 2}}"#.to_owned(),
        r#"{"rule": {"family": "inet", "table": "lb", "chain": "sub", "handle": 22, "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}},
            "right": {"range": [8080, 8081]}}},
            {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}]}}"#
            .to_owned(),
    ];
    objects.extend(rules.iter().enumerate().map(|(number, rule)| {
        format!(
            r#"{{"rule": {{"family": "inet", "table": "lb", "chain": "pre", "handle": {}, "expr":
                [{rule}]}}}}"#,
            number + 4
        )
    }));
    let document = format!(r#"{{"nftables": [{}]}}"#, objects.join(","));
    compile(&parse(&document, (false, false)).unwrap())
}

fn mark(rules: &MarkRules, protocol: u8, to: &str, port: u16) -> u32 {
    let destination: IpAddr = to.parse().unwrap();
    let source: IpAddr = if destination.is_ipv4() {
        [198, 51, 100, 7].into()
    } else {
        [0xfd00u16, 0, 0, 0, 0, 0, 0, 7].into()
    };
    rules.mark_of(&Packet { source, destination, protocol, port, interface: "eth0" })
}

const TO_VIRTUAL: &str = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip",
    "field": "daddr"}}, "right": "192.0.2.80"}}"#;
const MARK_80: &str = r#"{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 80}}"#;

fn port(protocol: &str, op: &str, right: &str) -> String {
    format!(
        r#"{{"match": {{"op": "{op}", "left": {{"payload": {{"protocol": "{protocol}",
            "field": "dport"}}}}, "right": {right}}}}}"#
    )
}

#[test]
fn address_ports_and_mark_of_the_books_form() {
    let ports = port("tcp", "==", r#"{"set": [80, 443]}"#);
    let range = port("tcp", "==", r#"{"range": [10000, 20000]}"#);
    let one = format!(r#"{TO_VIRTUAL}, {ports}, {MARK_80}, {{"counter": {{"packets": 0}}}}"#);
    let rules = read(&[&one, &format!("{TO_VIRTUAL}, {range}, {MARK_80}")]);
    assert_eq!(rules.unread, []);
    assert_eq!(rules.rules[0].place, "inet lb pre handle 4");
    assert_eq!(rules.rules[0].text, "ip daddr 192.0.2.80 tcp dport { 80, 443 } meta mark set 80");
    assert_eq!(rules.ipv6, [], "the address is IPv4");
    for (protocol, to, port, marked) in [
        (6, "192.0.2.80", 80, 80),
        (6, "192.0.2.80", 443, 80),
        (6, "192.0.2.80", 444, 0),
        (17, "192.0.2.80", 80, 0),
        (6, "192.0.2.81", 80, 0),
        (6, "192.0.2.80", 15_000, 80),
        (6, "2001:db8::80", 80, 0),
    ] {
        assert_eq!(mark(&rules, protocol, to, port), marked, "{protocol} {to} {port}");
    }
}

#[test]
fn both_families_ranges_of_addresses_and_bits_of_marks() {
    let addresses = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip",
        "field": "daddr"}}, "right": {"set": [{"range": ["1.1.1.1", "1.1.1.9"]},
        {"prefix": {"addr": "10.0.0.0", "len": 8}}, "192.0.2.1"]}}}"#;
    let bits = r#"{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"&": [{"meta":
        {"key": "mark"}}, 65298]}, 18]}}}"#;
    let six = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip6",
        "field": "daddr"}}, "right": {"prefix": {"addr": "2001:db8::", "len": 64}}}}"#;
    let rules = read(&[MARK_80, &format!("{addresses}, {bits}"), &format!("{six}, {bits}")]);
    assert_eq!(rules.unread, []);
    let changed = 80 & 65298 | 18;
    for (to, marked) in [
        ("1.1.1.0", 80),
        ("1.1.1.1", changed),
        ("1.1.1.9", changed),
        ("1.1.1.10", 80),
        ("10.255.255.255", changed),
        ("192.0.2.1", changed),
        ("2001:db8::1", changed),
        ("2001:db8:0:1::1", 80),
    ] {
        assert_eq!(mark(&rules, 17, to, 53), marked, "{to}");
    }
}

#[test]
fn chains_are_followed_and_what_cannot_be_seen_is_told() {
    let jump = r#"{"jump": {"target": "sub"}}"#;
    let not = port("tcp", "!=", "22");
    let rules = read(&[&format!("{not}, {jump}")]);
    assert_eq!((mark(&rules, 6, "192.0.2.1", 8081), rules.unread.len()), (7, 0));
    let state = r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}}"#;
    let named = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field":
        "daddr"}}, "right": "@vips"}}"#;
    let map = r#"{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"map": {}}}}"#;
    let verdicts = r#"{"vmap": {"key": {}, "data": {"set": [[80, {"jump": {"target": "sub"}}]]}}}"#;
    for (rule, reason, marked) in [
        (format!("{state}, {MARK_80}"), "ct state (in) is not looked at", Some(80)),
        (format!("{named}, {MARK_80}"), "ip daddr of a named set", Some(80)),
        (map.to_owned(), "a mark that depends on more than the rule", None),
        (verdicts.to_owned(), "maps of verdicts are not followed", None),
    ] {
        let rules = read(&[&rule]);
        assert_eq!((&*rules.unread[0].reason, rules.unread[0].mark), (reason, marked), "{rule}");
        assert_eq!(rules.ipv4, []);
    }
}

#[test]
fn bytes_that_are_no_ruleset_are_an_error() {
    for text in ["", "{}", "[]", r#"{"nftables": 5}"#, "\u{0}"] {
        assert!(parse(text, (false, false)).is_err(), "{text:?}");
    }
    for object in ["{\"rule\": 5}", "{\"chain\": {}}", "{\"rule\": {\"expr\": [{}]}}", "7"] {
        let text = format!(r#"{{"nftables": [{object}]}}"#);
        assert!(parse(&text, (false, false)).is_ok(), "{text}");
    }
}
