//! What `iptables-save` and `ip6tables-save` write.

use std::net::IpAddr;

use model::marks::{MarkChange, OneOf, PacketMatch};
use model::vrrp::IpPrefix;

use super::chain::{Chain, Firewall, Hook, MANGLE, Meaning, Rule, Table, Verdict, protocol};

/// Matches whose options are all known below.
const MATCHES: [&str; 5] = ["tcp", "udp", "sctp", "multiport", "comment"];
/// Options with a value of one word that are known.
const WITH_VALUE: [&str; 14] = [
    "-s",
    "-d",
    "-i",
    "-p",
    "-m",
    "-j",
    "-g",
    "--dport",
    "--dports",
    "--destination-port",
    "--destination-ports",
    "--comment",
    "--set-xmark",
    "--set-mark",
];
/// Targets that let a packet go on with the mark it has.
const HARMLESS: [&str; 16] = [
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CT",
    "DSCP",
    "ECN",
    "HL",
    "LOG",
    "NFLOG",
    "NOTRACK",
    "SET",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TOS",
    "TRACE",
    "TTL",
];

/// The mangle table, if it is there.
pub(super) fn parse(firewall: Firewall, text: &str) -> Option<Table> {
    let mut table = Table { firewall, family: firewall.family(), chains: Vec::new() };
    let mut is_mangle = false;
    let mut found = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            is_mangle = name.trim() == "mangle";
            found |= is_mangle;
        } else if !is_mangle {
            continue;
        } else if let Some(declared) = line.strip_prefix(':') {
            let name = declared.split_whitespace().next().unwrap_or_default();
            let hook = match (name, declared.split_whitespace().nth(1)) {
                ("PREROUTING", _) => Some(Hook::Prerouting(MANGLE)),
                (_, Some("-")) | (_, None) => None,
                (_, Some(_)) => Some(Hook::Other),
            };
            table.chains.push(Chain { name: name.to_owned(), hook, rules: Vec::new() });
        } else if let Some(at) = line.find("-A ") {
            // There may be counters before it.
            add(&mut table, &line[at..]);
        }
    }
    found.then_some(table)
}

fn add(table: &mut Table, line: &str) {
    let words = words(line);
    let Some((name, options)) = words.get(1).map(|name| (name.clone(), &words[2..])) else {
        return;
    };
    let chains: Vec<String> = table.chains.iter().map(|chain| chain.name.clone()).collect();
    let meaning = Reader::new(&chains).read(options);
    let Some(chain) = table.chains.iter_mut().find(|chain| chain.name == name) else { return };
    let number = chain.rules.len() + 1;
    let place = format!("mangle {name} rule {number}");
    let text = line.to_owned();
    chain.rules.push(Rule { family: table.family, place, text, meaning });
}

/// Words as a shell would make them: quotes hold blanks together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => (quoted, begun) = (!quoted, true),
            '\\' => word.extend(letters.next()),
            ' ' | '\t' if !quoted => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            other => word.push(other),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

/// One rule as far as it is read.
struct Reader<'a> {
    chains: &'a [String],
    packet: PacketMatch,
    change: Option<MarkChange>,
    verdict: Verdict,
    /// The target, if it is not a chain.
    target: Option<String>,
    /// What is not understood first.
    reason: Option<String>,
    changes_mark: bool,
}

impl<'a> Reader<'a> {
    fn new(chains: &'a [String]) -> Reader<'a> {
        Reader {
            chains,
            packet: PacketMatch::default(),
            change: None,
            verdict: Verdict::Continue,
            target: None,
            reason: None,
            changes_mark: false,
        }
    }

    fn read(mut self, options: &[String]) -> Meaning {
        let mut options = options.iter().map(String::as_str);
        let mut negated = false;
        while let Some(option) = options.next() {
            if option == "!" {
                negated = true;
                continue;
            }
            // Other words belong to options that are not known.
            if option.starts_with('-') {
                self.option(option, negated, &mut options);
            }
            negated = false;
        }
        match self.reason {
            None => {
                Meaning::Known { packet: self.packet, change: self.change, verdict: self.verdict }
            }
            Some(reason) => Meaning::Unknown {
                reason,
                changes_mark: self.changes_mark,
                mark: self.change.map(|change| change.value),
                verdict: self.verdict,
            },
        }
    }

    fn option<'o>(
        &mut self,
        option: &str,
        negated: bool,
        rest: &mut impl Iterator<Item = &'o str>,
    ) {
        if !WITH_VALUE.contains(&option) {
            return self.option_of_another(option);
        }
        let value = rest.next().unwrap_or_default();
        match option {
            "-s" => self.packet.sources = self.networks(value, negated),
            "-d" => self.packet.destinations = self.networks(value, negated),
            "-i" => self.packet.interfaces = OneOf { values: vec![value.to_owned()], negated },
            "-p" if value != "all" => {
                self.packet.protocols = OneOf { values: vec![protocol(value)], negated };
            }
            "-p" => {}
            "-m" if MATCHES.contains(&value) => {}
            "-m" => self.miss(&format!("the match {value} is not visible before the kernel")),
            "--dport" | "--dports" | "--destination-port" | "--destination-ports" => {
                self.ports(value, negated);
            }
            "-j" => self.target(value),
            "-g" => self.verdict = Verdict::Goto(value.to_owned()),
            "--set-xmark" | "--set-mark" => self.mark(value, option == "--set-mark"),
            // --comment
            _ => {}
        }
    }

    fn option_of_another(&mut self, option: &str) {
        let target = self.target.as_deref().unwrap_or_default();
        match option {
            _ if HARMLESS.contains(&target) => {}
            "--tcp-flags" | "--syn" => self.miss("TCP flags are not looked at"),
            "--sport" | "--sports" | "--ports" | "--source-port" | "--source-ports" => {
                self.miss("the client's port is not looked at");
            }
            other => self.miss(&format!("{other} is not understood")),
        }
    }

    fn miss(&mut self, reason: &str) {
        self.reason.get_or_insert_with(|| reason.to_owned());
    }

    fn networks(&mut self, text: &str, negated: bool) -> OneOf<IpPrefix> {
        let prefix = prefix(text);
        if prefix.is_none() {
            self.miss(&format!("{text} is no network with a prefix"));
        }
        OneOf { values: prefix.into_iter().collect(), negated }
    }

    fn ports(&mut self, text: &str, negated: bool) {
        let mut values = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once(':').unwrap_or((part, part));
            let first = if first.is_empty() { Ok(0) } else { first.parse() };
            let last = if last.is_empty() { Ok(u16::MAX) } else { last.parse() };
            match (first, last) {
                (Ok(first), Ok(last)) => values.push((first, last)),
                (_, _) => self.miss(&format!("{part} are no ports")),
            }
        }
        self.packet.ports = OneOf { values, negated };
    }

    fn target(&mut self, name: &str) {
        match name {
            "ACCEPT" => self.verdict = Verdict::Accept,
            "DROP" => self.verdict = Verdict::Drop,
            "RETURN" => self.verdict = Verdict::Return,
            chain if self.chains.iter().any(|known| known == chain) => {
                self.verdict = Verdict::Jump(chain.to_owned());
            }
            "MARK" => self.changes_mark = true,
            harmless if HARMLESS.contains(&harmless) => {}
            other => {
                self.changes_mark = true;
                self.miss(&format!("what {other} does to marks is not followed"));
            }
        }
        self.target = Some(name.to_owned());
    }

    /// `VALUE[/MASK]`; `--set-mark` also clears the bits that it sets.
    fn mark(&mut self, text: &str, sets: bool) {
        let (value, mask) = match text.split_once('/') {
            Some((value, mask)) => (number(value), number(mask)),
            None => (number(text), Some(u32::MAX)),
        };
        match (value, mask) {
            (Some(value), Some(mask)) => {
                let mask = if sets { mask | value } else { mask };
                self.change = Some(MarkChange { value, mask });
            }
            (_, _) => self.miss(&format!("{text} is no mark")),
        }
        // Of CONNMARK it would be another mark.
        if self.target.as_deref() != Some("MARK") {
            self.change = None;
        }
    }
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// `192.0.2.0/24`, `192.0.2.1`, `192.0.2.0/255.255.255.0`
fn prefix(text: &str) -> Option<IpPrefix> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match (length, length.parse::<IpAddr>()) {
        ("", _) => most,
        (_, Ok(IpAddr::V4(mask))) => {
            let ones = mask.to_bits().leading_ones();
            (mask.to_bits().count_ones() == ones).then_some(ones as u8)?
        }
        (_, _) => length.parse().ok().filter(|&length| length <= most)?,
    };
    Some(IpPrefix { address, length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::compile::compile;
    use model::marks::{MarkRules, Packet};

    fn read(rules: &str) -> MarkRules {
        let text = format!(
            "# Generated by iptables-save v1.8.9\n*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT \
             [0:0]\n:web - [0:0]\n{rules}\nCOMMIT\n"
        );
        compile(&[parse(Firewall::Iptables, &text).unwrap()])
    }

    fn mark(rules: &MarkRules, protocol: u8, to: [u8; 4], port: u16) -> u32 {
        rules.mark_of(&Packet {
            source: [198, 51, 100, 7].into(),
            destination: to.into(),
            protocol,
            port,
            interface: "eth0",
        })
    }

    const VIRTUAL: [u8; 4] = [192, 0, 2, 80];

    #[test]
    fn the_rules_of_the_book_are_followed() {
        let rules = read(
            "-A PREROUTING -d 192.0.2.80/32 -p tcp -m multiport --dports 80,443 -j MARK --set-xmark \
             0x50/0xffffffff\n\
             -A PREROUTING -d 192.0.2.21/32 -p tcp -m tcp --dport 21 -j MARK --set-xmark \
             0x15/0xffffffff\n\
             -A PREROUTING -d 192.0.2.21/32 -p tcp -m tcp --dport 10000:20000 -j MARK --set-xmark \
             0x15/0xffffffff",
        );
        assert_eq!(rules.unread, []);
        assert_eq!(rules.rules.len(), 3);
        assert_eq!(rules.rules[2].place, "mangle PREROUTING rule 3");
        for (to, port, marked) in [
            (VIRTUAL, 80, 80),
            (VIRTUAL, 443, 80),
            (VIRTUAL, 81, 0),
            ([192, 0, 2, 21], 21, 21),
            ([192, 0, 2, 21], 10_000, 21),
            ([192, 0, 2, 21], 20_000, 21),
            ([192, 0, 2, 21], 20_001, 0),
        ] {
            assert_eq!(mark(&rules, 6, to, port), marked, "{to:?}:{port}");
            assert_eq!(mark(&rules, 17, to, port), 0, "UDP {to:?}:{port}");
        }
    }

    #[test]
    fn chains_lead_into_each_other_and_back() {
        let rules = read(
            "-A PREROUTING -s 10.0.0.0/8 -j ACCEPT\n\
             -A PREROUTING ! -d 192.0.2.81/32 -i eth+ -j web\n\
             -A PREROUTING -p udp -m comment --comment \"after \\\"web\\\"\" -j MARK --set-xmark \
             0x100/0x100\n\
             -A web -p tcp -m tcp ! --dport 80 -j RETURN\n\
             -A web -j MARK --set-xmark 0x7/0xffffffff",
        );
        assert_eq!(rules.unread, []);
        assert_eq!(mark(&rules, 6, VIRTUAL, 80), 7);
        assert_eq!(mark(&rules, 6, VIRTUAL, 81), 0);
        assert_eq!(mark(&rules, 17, VIRTUAL, 53), 0x107);
        assert_eq!(mark(&rules, 17, [192, 0, 2, 81], 53), 0x100);
    }

    #[test]
    fn goto_does_not_come_back_to_where_it_was() {
        let rules = read(
            "-A PREROUTING -p udp -g web\n\
             -A PREROUTING -j MARK --set-xmark 0x1/0xffffffff\n\
             -A web -p udp -m udp --dport 53 -j MARK --set-xmark 0x35/0xffffffff",
        );
        assert_eq!(mark(&rules, 17, VIRTUAL, 53), 0x35);
        assert_eq!(mark(&rules, 17, VIRTUAL, 54), 0);
        assert_eq!(mark(&rules, 6, VIRTUAL, 53), 1);
    }

    #[test]
    fn what_the_data_plane_cannot_see_is_told_by_name() {
        for (rule, reason, marked) in [
            ("-m conntrack --ctstate NEW -j MARK --set-xmark 0x5/0xffffffff", "conntrack", Some(5)),
            ("-m set --match-set vips dst -j MARK --set-xmark 0x5/0xffffffff", "set", Some(5)),
            ("-p tcp --sport 1:5 -j MARK --set-xmark 0x5/0xffffffff", "client's port", Some(5)),
            ("-p tcp -m tcp --tcp-flags SYN,RST SYN -j MARK --set-mark 5", "TCP flags", None),
            ("-j CONNMARK --restore-mark", "CONNMARK", None),
            ("-d 192.0.2.0/255.0.255.0 -j MARK --set-xmark 0x5/0xffffffff", "prefix", Some(5)),
        ] {
            let rules = read(&format!("-A PREROUTING {rule}"));
            assert_eq!(rules.unread.len(), 1, "{rule}");
            assert!(rules.unread[0].reason.contains(reason), "{:?}", rules.unread);
            assert!(marked.is_none() || rules.unread[0].mark == marked, "{rule}");
            assert_eq!(rules.ipv4, [], "{rule}");
        }
        let input = read("-A INPUT -p tcp --dport 80 -j MARK --set-xmark 0x5/0xffffffff");
        assert_eq!(input.unread[0].reason, "only rules in PREROUTING are followed");
    }

    #[test]
    fn an_unknown_condition_matters_only_before_marks() {
        let blocked = "-A PREROUTING -m set --match-set bad src -j DROP\n";
        let marked = "-A PREROUTING -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x5/0xffffffff\n";
        assert_eq!(read(&format!("{marked}{blocked}")).unread, []);
        assert_eq!(read(&format!("{blocked}{marked}")).unread.len(), 1);
        assert_eq!(read("-A PREROUTING -p tcp -j TCPMSS --clamp-mss-to-pmtu").unread, []);
    }

    #[test]
    fn more_rules_than_fit_are_an_error_and_not_half_a_program() {
        let rule = |port: usize| {
            format!(
                "-A PREROUTING -p tcp -m tcp --dport {port} -j MARK --set-xmark 0x5/0xffffffff\n"
            )
        };
        let some: String = (1..=256).map(rule).collect();
        assert_eq!((read(&some).ipv4.len(), read(&some).unread.len()), (256, 0));
        let many: String = (1..=257).map(rule).collect();
        assert_eq!(read(&many).ipv4, []);
        assert_eq!(read(&many).unread[0].reason, "more than 256 rules: none of them is followed");
    }
}
