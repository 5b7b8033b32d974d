//! Reading the rules of nf_tables, as far as a question about one protocol needs them.

use std::io;

use netlink_packet_core::NLM_F_DUMP;

use crate::netlink::Socket;
use crate::netlink::dump::{attribute, attributes, text};

// linux/netfilter/nfnetlink.h and nf_tables.h
const SUBSYSTEM: u16 = 10;
const GET_CHAIN: u16 = 4;
const GET_RULE: u16 = 7;
/// struct nfgenmsg: family, version, resource.
const HEADER: usize = 4;
const POLICY_DROP: u32 = 0;
const VERDICT_DROP: i32 = 0;
const VERDICT_ACCEPT: i32 = 1;
const BASE_NETWORK: u32 = 1;
/// Offset of the protocol in an IPv4 header.
const PROTOCOL_AT: u32 = 9;
const META_IIFNAME: u32 = 6;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const EQUAL: u32 = 0;

/// A chain and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Family of its table, `ip`, `ip6` or `inet`.
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where the kernel enters it; none when other chains jump to it only.
    pub hook: Option<Hook>,
    /// What no rule decides is dropped.
    pub drops: bool,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// Where the kernel enters a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// What is for this machine.
    Input,
    /// What goes through it.
    Forward,
    /// What it sends.
    Output,
    /// After routing.
    Postrouting,
}

/// A rule, as far as it was understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The one protocol (IP protocol number) that it is about.
    pub protocol: Option<u8>,
    /// The one interface that packets must come in by.
    pub interface: Option<String>,
    /// It has conditions besides.
    pub others: bool,
    /// What it decides.
    pub verdict: Verdict,
}

/// What a rule decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    #[default]
    None,
    /// Accepted.
    Accept,
    /// Dropped or rejected.
    Drop,
    /// Another chain decides.
    Jump,
}

/// All chains of the tables `ip`, `ip6` and `inet` of this thread's network namespace. Needs
/// CAP_NET_ADMIN. EOPNOTSUPP and the like: the kernel has no nf_tables.
pub fn chains() -> io::Result<Vec<Chain>> {
    let mut socket = Socket::open_netfilter()?;
    let all = [0u8, 0, 0, 0];
    let chains = socket.list(SUBSYSTEM << 8 | GET_CHAIN, NLM_F_DUMP, &all)?;
    let mut chains: Vec<Chain> = chains.iter().filter_map(|one| read_chain(one)).collect();
    for rule in socket.list(SUBSYSTEM << 8 | GET_RULE, NLM_F_DUMP, &all)? {
        let Some((family, table, name, rule)) = read_rule(&rule) else { continue };
        let is_its = |one: &&mut Chain| one.family == family && one.table == table;
        if let Some(chain) = chains.iter_mut().filter(is_its).find(|one| one.name == name) {
            chain.rules.push(rule);
        }
    }
    Ok(chains)
}

fn family(header: &[u8]) -> Option<&'static str> {
    match i32::from(*header.first()?) {
        libc::NFPROTO_IPV4 => Some("ip"),
        libc::NFPROTO_IPV6 => Some("ip6"),
        libc::NFPROTO_INET => Some("inet"),
        _ => None,
    }
}

fn word(bytes: &[u8], number: u16) -> Option<u32> {
    Some(u32::from_be_bytes(*attribute(bytes, number)?.first_chunk::<4>()?))
}

fn read_chain(payload: &[u8]) -> Option<Chain> {
    let (family, list) = (family(payload)?, payload.get(HEADER..)?);
    let hook = attribute(list, 4).and_then(|hook| match word(hook, 1)? {
        0 => Some(Hook::Prerouting),
        1 => Some(Hook::Input),
        2 => Some(Hook::Forward),
        3 => Some(Hook::Output),
        4 => Some(Hook::Postrouting),
        _ => None,
    });
    Some(Chain {
        family,
        table: text(attribute(list, 1)?),
        name: text(attribute(list, 3)?),
        hook,
        drops: word(list, 5) == Some(POLICY_DROP),
        rules: Vec::new(),
    })
}

fn read_rule(payload: &[u8]) -> Option<(&'static str, String, String, Rule)> {
    let (family, list) = (family(payload)?, payload.get(HEADER..)?);
    let (table, chain) = (text(attribute(list, 1)?), text(attribute(list, 2)?));
    let expressions = attribute(list, 4).unwrap_or_default();
    Some((family, table, chain, understand(expressions)))
}

/// What is loaded and not yet compared.
enum Loaded {
    Nothing,
    Protocol,
    Interface,
    /// The family: a rule of `inet` for IPv4 asks for it first.
    Family,
    Other,
}

fn understand(expressions: &[u8]) -> Rule {
    let mut rule = Rule::default();
    let mut loaded = Loaded::Nothing;
    for (_, element) in attributes(expressions) {
        let name = attribute(element, 1).map(text).unwrap_or_default();
        let data = attribute(element, 2).unwrap_or_default();
        match name.as_str() {
            "meta" => {
                loaded = match word(data, 2) {
                    Some(META_L4PROTO) => Loaded::Protocol,
                    Some(META_IIFNAME) => Loaded::Interface,
                    Some(META_NFPROTO) => Loaded::Family,
                    _ => Loaded::Other,
                };
            }
            "payload" => {
                let place = (word(data, 2), word(data, 3), word(data, 4));
                loaded = match place {
                    (Some(BASE_NETWORK), Some(PROTOCOL_AT), Some(1)) => Loaded::Protocol,
                    _ => Loaded::Other,
                };
            }
            "cmp" => compare(&mut rule, &loaded, data),
            "immediate" => {
                let verdict = attribute(data, 2).and_then(|value| attribute(value, 2));
                match verdict.and_then(|code| word(code, 1)).map(u32::cast_signed) {
                    Some(VERDICT_ACCEPT) => rule.verdict = Verdict::Accept,
                    Some(VERDICT_DROP) => rule.verdict = Verdict::Drop,
                    Some(code) if code < 0 => rule.verdict = Verdict::Jump,
                    _ => {}
                }
            }
            "reject" => rule.verdict = Verdict::Drop,
            "counter" | "log" => {}
            _ => rule.others = true,
        }
    }
    rule
}

fn compare(rule: &mut Rule, loaded: &Loaded, data: &[u8]) {
    let value = attribute(data, 3).and_then(|value| attribute(value, 1)).unwrap_or_default();
    let equal = word(data, 2) == Some(EQUAL);
    match loaded {
        Loaded::Protocol if equal => rule.protocol = value.first().copied(),
        Loaded::Interface if equal => rule.interface = Some(text(value)),
        Loaded::Family if equal => {
            rule.others |= value.first() == Some(&(libc::NFPROTO_IPV6 as u8))
        }
        Loaded::Nothing | Loaded::Protocol | Loaded::Interface | Loaded::Family | Loaded::Other => {
            rule.others = true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::dump::append;

    fn expression(list: &mut Vec<u8>, name: &str, data: &[u8]) {
        let mut element = Vec::new();
        append(&mut element, 1, name.as_bytes());
        append(&mut element, 2, data);
        append(list, 1, &element);
    }

    fn words(values: &[(u16, u32)]) -> Vec<u8> {
        let mut data = Vec::new();
        for (number, value) in values {
            append(&mut data, *number, &value.to_be_bytes());
        }
        data
    }

    fn is(value: &[u8]) -> Vec<u8> {
        let mut data = words(&[(1, 1), (2, EQUAL)]);
        let mut nested = Vec::new();
        append(&mut nested, 1, value);
        append(&mut data, 3, &nested);
        data
    }

    fn verdict(code: i32) -> Vec<u8> {
        let mut value = Vec::new();
        append(&mut value, 2, &words(&[(1, code.cast_unsigned())]));
        let mut data = words(&[(1, 0)]);
        append(&mut data, 2, &value);
        data
    }

    #[test]
    fn a_rule_about_a_protocol_is_understood() {
        let mut list = Vec::new();
        expression(&mut list, "meta", &words(&[(2, META_L4PROTO), (1, 1)]));
        expression(&mut list, "cmp", &is(&[112]));
        expression(&mut list, "counter", &[]);
        expression(&mut list, "immediate", &verdict(VERDICT_DROP));
        let rule = understand(&list);
        let expected = Rule { protocol: Some(112), verdict: Verdict::Drop, ..Rule::default() };
        assert_eq!(rule, expected);
    }

    #[test]
    fn a_rule_about_an_interface_is_and_one_about_something_else_says_so() {
        let mut list = Vec::new();
        expression(&mut list, "meta", &words(&[(2, META_IIFNAME), (1, 1)]));
        expression(&mut list, "cmp", &is(b"eth0\0\0\0\0"));
        expression(&mut list, "immediate", &verdict(VERDICT_ACCEPT));
        let rule = understand(&list);
        assert_eq!((rule.interface.as_deref(), rule.others), (Some("eth0"), false));
        expression(&mut list, "ct", &words(&[(2, 0)]));
        assert!(understand(&list).others);
        let mut jump = Vec::new();
        expression(&mut jump, "immediate", &verdict(-3));
        assert_eq!(understand(&jump).verdict, Verdict::Jump);
    }

    #[test]
    fn no_bytes_panic() {
        for length in 0..64 {
            let bytes = vec![0xff; length];
            assert!(read_chain(&bytes).is_none() && read_rule(&bytes).is_none());
            understand(&bytes);
        }
    }
}
