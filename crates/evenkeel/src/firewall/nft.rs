//! What `nft -j list ruleset` writes (libnftables-json(5)).

use std::net::IpAddr;

use model::marks::{MarkChange, OneOf, PacketMatch};
use model::vrrp::{Family, IpPrefix};
use serde_json::Value;

use super::chain::{Chain, Firewall, Hook, Meaning, Rule, Table, Verdict, protocol};

/// Most networks that a range of addresses becomes.
const NETWORKS_MAX: usize = 64;
/// Statements that let a packet go on with the mark it has.
const HARMLESS: [&str; 5] = ["counter", "log", "limit", "quota", "last"];

/// Every table of IP packets. `known` are the families whose mangle table iptables has told of.
pub(super) fn parse(text: &str, known: (bool, bool)) -> Result<Vec<Table>, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let objects = document["nftables"].as_array().ok_or("no list of objects")?;
    let mut tables: Vec<(String, Table)> = Vec::new();
    for object in objects {
        if let Some(chain) = object.get("chain") {
            add_chain(&mut tables, chain, known);
        }
    }
    for object in objects {
        if let Some(rule) = object.get("rule") {
            add_rule(&mut tables, rule);
        }
    }
    Ok(tables.into_iter().map(|(_, table)| table).collect())
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn table_name(of: &Value) -> String {
    format!("{} {}", text_of(of, "family"), text_of(of, "table"))
}

fn add_chain(tables: &mut Vec<(String, Table)>, chain: &Value, known: (bool, bool)) {
    let name = table_name(chain);
    let family = match (text_of(chain, "family"), text_of(chain, "table")) {
        ("ip", "mangle") if known.0 => return,
        ("ip6", "mangle") if known.1 => return,
        ("ip", _) => Some(Family::Ipv4),
        ("ip6", _) => Some(Family::Ipv6),
        ("inet" | "netdev" | "bridge", _) => None,
        (_, _) => return,
    };
    let is_ip = matches!(text_of(chain, "family"), "ip" | "ip6" | "inet");
    let hook = match text_of(chain, "hook") {
        "" => None,
        "prerouting" if is_ip => Some(Hook::Prerouting(chain["prio"].as_i64().unwrap_or(0))),
        _ => Some(Hook::Other),
    };
    let chain = Chain { name: text_of(chain, "name").to_owned(), hook, rules: Vec::new() };
    match tables.iter_mut().find(|(known, _)| *known == name) {
        Some((_, table)) => table.chains.push(chain),
        None => {
            let table = Table { firewall: Firewall::Nft, family, chains: vec![chain] };
            tables.push((name, table));
        }
    }
}

fn add_rule(tables: &mut [(String, Table)], rule: &Value) {
    let name = table_name(rule);
    let Some((_, table)) = tables.iter_mut().find(|(known, _)| *known == name) else { return };
    let in_chain = text_of(rule, "chain");
    let Some(chain) = table.chains.iter_mut().find(|chain| chain.name == in_chain) else { return };
    let statements = rule["expr"].as_array().map_or(&[][..], Vec::as_slice);
    let mut reader = Reader::new(table.family);
    statements.iter().for_each(|statement| reader.statement(statement));
    let text = statements.iter().map(Value::to_string).collect::<Vec<_>>().join(" ");
    chain.rules.push(Rule {
        family: reader.family,
        place: format!("{name} {in_chain} handle {}", rule["handle"]),
        text: reader.words.map_or(text, |words| words.join(" ")),
        meaning: reader.meaning,
    });
}

struct Reader {
    family: Option<Family>,
    meaning: Meaning,
    /// The rule in nft's words, as long as all of it is understood.
    words: Option<Vec<String>>,
}

impl Reader {
    fn new(family: Option<Family>) -> Reader {
        let packet = PacketMatch::default();
        let meaning = Meaning::Known { packet, change: None, verdict: Verdict::Continue };
        Reader { family, meaning, words: Some(Vec::new()) }
    }

    fn statement(&mut self, statement: &Value) {
        let Some((name, value)) = statement.as_object().and_then(|object| object.iter().next())
        else {
            return self.miss("a statement without a name", false, None);
        };
        match name.as_str() {
            "match" => self.matches(value),
            "mangle" => self.mangle(value),
            "accept" => self.verdict(Verdict::Accept, name),
            "drop" => self.verdict(Verdict::Drop, name),
            "return" => self.verdict(Verdict::Return, name),
            "continue" => {}
            "jump" | "goto" => {
                let target = text_of(value, "target").to_owned();
                let words = format!("{name} {target}");
                let verdict = match name.as_str() {
                    "jump" => Verdict::Jump(target),
                    _ => Verdict::Goto(target),
                };
                self.verdict(verdict, &words);
            }
            // A rate lets only some packets pass.
            "limit" | "quota" => self.miss(&format!("{name} is not followed"), false, None),
            harmless if HARMLESS.contains(&harmless) => {}
            "xt" => {
                let is_target = text_of(value, "type") == "target";
                let target = text_of(value, "name");
                let marks = is_target && (target == "MARK" || target == "CONNMARK");
                self.miss(&format!("{target} is a part of iptables"), marks, None);
            }
            "vmap" => self.vmap(value),
            other => self.miss(&format!("{other} is not understood"), false, None),
        }
    }

    fn say(&mut self, words: String) {
        if let Some(all) = &mut self.words {
            all.push(words);
        }
    }

    /// Something is not understood: the whole rule is not. What it may do is kept.
    fn miss(&mut self, reason: &str, marks: bool, value: Option<u32>) {
        self.words = None;
        match &mut self.meaning {
            Meaning::Known { change, verdict, .. } => {
                self.meaning = Meaning::Unknown {
                    reason: reason.to_owned(),
                    changes_mark: marks || change.is_some(),
                    mark: value.or(change.map(|change| change.value)),
                    verdict: verdict.clone(),
                };
            }
            Meaning::Unknown { changes_mark, mark, .. } => {
                *changes_mark |= marks;
                *mark = mark.or(value);
            }
        }
    }

    fn verdict(&mut self, new: Verdict, words: &str) {
        let (Meaning::Known { verdict, .. } | Meaning::Unknown { verdict, .. }) = &mut self.meaning;
        *verdict = new;
        self.say(words.to_owned());
    }

    /// A map of verdicts: only that it may lead somewhere is known.
    fn vmap(&mut self, value: &Value) {
        let data = value["data"]["set"].as_array().map_or(&[][..], Vec::as_slice);
        let target = data.iter().find_map(|pair| {
            let object = pair.get(1)?.as_object()?;
            let (_, value) =
                object.iter().find(|(name, _)| matches!(name.as_str(), "jump" | "goto"))?;
            Some(text_of(value, "target").to_owned())
        });
        self.miss("maps of verdicts are not followed", false, None);
        let verdict = target.map_or(Verdict::Return, Verdict::Jump);
        self.verdict(verdict, "vmap");
    }

    fn mangle(&mut self, value: &Value) {
        if value["key"]["meta"]["key"] != "mark" {
            return; // Of the packet's bytes or connection, not its mark.
        }
        match (change_of(&value["value"]), &mut self.meaning) {
            (Some(new), Meaning::Known { change, .. }) => {
                let before = change.unwrap_or(MarkChange { value: 0, mask: 0 });
                *change = Some(after(before, new));
                self.say(format!("meta mark set {new}"));
            }
            (new, _) => {
                let mark = new.map(|new| new.value);
                self.miss("a mark that depends on more than the rule", true, mark);
            }
        }
    }

    fn matches(&mut self, value: &Value) {
        let negated = match text_of(value, "op") {
            "==" => false,
            "!=" => true,
            other => {
                let what = what_is_matched(&value["left"]);
                return self.miss(&format!("{what} ({other}) is not looked at"), false, None);
            }
        };
        let (left, right) = (&value["left"], &value["right"]);
        let Some(values) = values_of(right) else {
            return self.miss(&format!("{} of a named set", what_is_matched(left)), false, None);
        };
        if negated && values.len() > 1 && !is_plain(left) {
            return self.miss("none of several is not followed here", false, None);
        }
        match self.condition(left, &values, negated) {
            Some(words) => self.say(words),
            None => {
                let what = what_is_matched(left);
                self.miss(&format!("{what} is not visible before the kernel"), false, None);
            }
        }
    }

    /// Adds a condition; none if it is not known.
    fn condition(&mut self, left: &Value, values: &[&Value], negated: bool) -> Option<String> {
        let what = what_is_matched(left);
        let shown = shown(values, negated);
        let family = match what.split(' ').next() {
            Some("ip") => Some(Family::Ipv4),
            Some("ip6") => Some(Family::Ipv6),
            _ => None,
        };
        self.restrict(family);
        if matches!(what.as_str(), "meta nfproto" | "meta protocol") {
            let family = match (values, negated) {
                ([one], false) => family_named(one.as_str()?)?,
                (_, _) => return None,
            };
            self.restrict(Some(family));
            return Some(format!("{what} {shown}"));
        }
        let Meaning::Known { packet, .. } = &mut self.meaning else { return Some(String::new()) };
        match what.as_str() {
            "ip saddr" | "ip6 saddr" => packet.sources = networks(values, negated)?,
            "ip daddr" | "ip6 daddr" => packet.destinations = networks(values, negated)?,
            "ip protocol" | "ip6 nexthdr" | "meta l4proto" => {
                packet.protocols = OneOf { values: protocols(values)?, negated };
            }
            "tcp dport" | "udp dport" | "sctp dport" => {
                let name = what.split(' ').next().unwrap_or_default();
                packet.protocols = OneOf::of(vec![protocol(name)]);
                packet.ports = OneOf { values: ports(values)?, negated };
            }
            "th dport" => packet.ports = OneOf { values: ports(values)?, negated },
            "meta iifname" | "meta iif" => {
                packet.interfaces = OneOf { values: interfaces(values)?, negated };
            }
            _ => return None,
        }
        Some(format!("{} {shown}", what.trim_start_matches("meta ")))
    }

    fn restrict(&mut self, family: Option<Family>) {
        let Some(family) = family else { return };
        if self.family.is_some_and(|known| known != family) {
            // Both at once: no packet.
            if let Meaning::Known { packet, .. } = &mut self.meaning {
                packet.protocols = OneOf::of(vec![protocol("none")]);
            }
            return;
        }
        self.family = Some(family);
    }
}

/// Lists of which "none of them" is one condition to the data plane.
fn is_plain(left: &Value) -> bool {
    text_of(&left["payload"], "field") == "dport"
}

/// One change after another.
fn after(first: MarkChange, then: MarkChange) -> MarkChange {
    MarkChange { value: first.value & !then.mask ^ then.value, mask: first.mask | then.mask }
}

/// What a mark is set to: a number, or the former mark and some bits.
fn change_of(value: &Value) -> Option<MarkChange> {
    if let Some(number) = number(value) {
        return Some(MarkChange::set(number));
    }
    if value["meta"]["key"] == "mark" {
        return Some(MarkChange { value: 0, mask: 0 });
    }
    let (operator, sides) = value.as_object()?.iter().next()?;
    let (mark, bits) = (change_of(sides.get(0)?)?, number(sides.get(1)?)?);
    let then = match operator.as_str() {
        "|" => MarkChange { value: bits, mask: bits },
        "&" => MarkChange { value: 0, mask: !bits },
        "^" => MarkChange { value: bits, mask: 0 },
        _ => return None,
    };
    Some(after(mark, then))
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

/// `ip daddr`, `meta iifname`, `ct state`
fn what_is_matched(left: &Value) -> String {
    let Some((name, value)) = left.as_object().and_then(|object| object.iter().next()) else {
        return "something".to_owned();
    };
    match name.as_str() {
        "payload" => format!("{} {}", text_of(value, "protocol"), text_of(value, "field")),
        _ => format!("{name} {}", text_of(value, "key")).trim_end().to_owned(),
    }
}

/// The values of the right side; none for a named set.
fn values_of(right: &Value) -> Option<Vec<&Value>> {
    match right.get("set").and_then(Value::as_array) {
        Some(all) => Some(all.iter().collect()),
        None if right.as_str().is_some_and(|name| name.starts_with('@')) => None,
        None => Some(vec![right]),
    }
}

/// In nft's words.
fn shown(values: &[&Value], negated: bool) -> String {
    let all: Vec<String> = values.iter().map(|value| shown_one(value)).collect();
    let all = match &all[..] {
        [one] => one.clone(),
        _ => format!("{{ {} }}", all.join(", ")),
    };
    if negated { format!("!= {all}") } else { all }
}

fn shown_one(value: &Value) -> String {
    if let Some(range) = value.get("range") {
        return format!("{}-{}", shown_one(&range[0]), shown_one(&range[1]));
    }
    match (value.get("prefix"), value.as_str()) {
        (Some(prefix), _) => format!("{}/{}", text_of(prefix, "addr"), prefix["len"]),
        (None, Some(text)) => text.to_owned(),
        (None, None) => value.to_string(),
    }
}

fn family_named(name: &str) -> Option<Family> {
    match name {
        "ipv4" | "ip" => Some(Family::Ipv4),
        "ipv6" | "ip6" => Some(Family::Ipv6),
        _ => None,
    }
}

fn ports(values: &[&Value]) -> Option<Vec<(u16, u16)>> {
    let port = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let range = |value: &&Value| match value.get("range") {
        Some(range) => Some((port(&range[0])?, port(&range[1])?)),
        None => port(value).map(|port| (port, port)),
    };
    values.iter().map(range).collect()
}

fn protocols(values: &[&Value]) -> Option<Vec<u8>> {
    let one = |value: &&Value| match (value.as_str(), value.as_u64()) {
        (Some(name), _) => Some(protocol(name)),
        (None, number) => number.and_then(|number| u8::try_from(number).ok()),
    };
    values.iter().map(one).collect()
}

fn interfaces(values: &[&Value]) -> Option<Vec<String>> {
    let one = |value: &&Value| match value.as_str()?.strip_suffix('*') {
        Some(beginning) => Some(format!("{beginning}+")),
        None => value.as_str().map(str::to_owned),
    };
    values.iter().map(one).collect()
}

fn networks(values: &[&Value], negated: bool) -> Option<OneOf<IpPrefix>> {
    let mut found = Vec::new();
    for value in values {
        if let Some(prefix) = value.get("prefix") {
            let address = text_of(prefix, "addr").parse().ok()?;
            found.push(IpPrefix { address, length: u8::try_from(prefix["len"].as_u64()?).ok()? });
        } else if let Some(range) = value.get("range") {
            found.extend(networks_of_range(range[0].as_str()?, range[1].as_str()?)?);
        } else {
            let address: IpAddr = value.as_str()?.parse().ok()?;
            let length = if address.is_ipv4() { 32 } else { 128 };
            found.push(IpPrefix { address, length });
        }
    }
    (!negated || found.len() == 1).then_some(OneOf { values: found, negated })
}

/// The fewest networks that are a range of IPv4 addresses.
fn networks_of_range(first: &str, last: &str) -> Option<Vec<IpPrefix>> {
    let (IpAddr::V4(first), IpAddr::V4(last)) = (first.parse().ok()?, last.parse().ok()?) else {
        return None;
    };
    let (mut first, last) = (u64::from(first.to_bits()), u64::from(last.to_bits()));
    let mut networks = Vec::new();
    while first <= last && networks.len() < NETWORKS_MAX {
        let aligned = if first == 0 { 32 } else { first.trailing_zeros().min(32) };
        let fitting = (last - first + 1).ilog2();
        let bits = aligned.min(fitting);
        let address = std::net::Ipv4Addr::from_bits(first as u32).into();
        networks.push(IpPrefix { address, length: (32 - bits) as u8 });
        first += 1 << bits;
    }
    (first > last).then_some(networks)
}

#[cfg(test)]
mod tests;
