//! The lines of `virtual_rules` and of `static_rules`: the words of `ip rule add`.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use model::vrrp::{Family, RuleAction, VirtualRule};

use super::addresses::misplaced;
use super::lexer::Word;
use super::options::{Claim, Options, Place, network, realms};
use super::reader::Reader;
use super::routes::KEEPALIVED;
use super::structure::Statement;
use super::surroundings::{Name, any_base};
use crate::source::{Span, Spanned};
use crate::suggest;

const OPTIONS: &[&str] = &[
    "not",
    "from",
    "to",
    "tos",
    "dsfield",
    "fwmark",
    "iif",
    "dev",
    "oif",
    "preference",
    "priority",
    "order",
    "table",
    "lookup",
    "goto",
    "nop",
    "blackhole",
    "unreachable",
    "prohibit",
    "realms",
    "tunnel-id",
    "uidrange",
    "l3mdev",
    "protocol",
    "ipproto",
    "ip_proto",
    "sport",
    "dport",
    "suppress_prefixlength",
    "suppress_ifgroup",
    "inet",
    "inet6",
    "no_track",
];

/// Numbers of protocols over IP that people name (IANA protocol-numbers).
const IP_PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ospf", 89),
    ("vrrp", 112),
    ("sctp", 132),
    ("udplite", 136),
];

/// Reads every line of the block.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    place: Place,
    to: &mut Vec<Spanned<VirtualRule>>,
) {
    reader.no_more(statement, 0);
    for line in reader.block(statement) {
        if let Some(value) = rule(reader, line, place) {
            to.push(Spanned { value, span: line.header() });
        }
    }
}

/// A rule that is being read.
struct Draft {
    rule: VirtualRule,
    family: Claim,
    place: Place,
    preference: Option<u32>,
    action: Option<(RuleAction, Span)>,
    /// An option that only a rule with a table takes.
    needs_table: Option<Span>,
}

fn rule(reader: &mut Reader<'_>, line: &Statement<'_>, place: Place) -> Option<VirtualRule> {
    let mut draft = Draft {
        rule: VirtualRule::new(Family::Ipv4, 0, 0),
        family: Claim::default(),
        place,
        preference: None,
        action: None,
        needs_table: None,
    };
    let mut options = Options::new(line.words());
    while let Some(option) = options.next() {
        draft.read(reader, &mut options, option)?;
    }
    draft.finish(reader, line)
}

impl Draft {
    /// Reads one option; nothing when what follows belongs to a mistake.
    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        options: &mut Options<'_, '_>,
        option: &Word<'_>,
    ) -> Option<()> {
        let Draft { rule, family, .. } = self;
        match option.text.as_ref() {
            "inet" => family.claim(reader, Family::Ipv4, option.span),
            "inet6" => family.claim(reader, Family::Ipv6, option.span),
            "not" => rule.invert = true,
            "from" => {
                let word = options.value(reader, option)?;
                rule.from = network(reader, word, family)?.prefix();
            }
            "to" => {
                let word = options.value(reader, option)?;
                rule.to = network(reader, word, family)?.prefix();
            }
            "tos" | "dsfield" => {
                rule.tos = options.named_byte(reader, option, Name::Dsfield).unwrap_or_default();
            }
            "fwmark" => {
                let word = options.value(reader, option)?;
                rule.mark = Some(mark(reader, word)?);
            }
            "dev" | "iif" => rule.input = options.interface(reader, option),
            "oif" => rule.output = options.interface(reader, option),
            "preference" | "priority" | "order" => {
                let word = options.value(reader, option)?;
                self.preference = Some(wide(reader, word)?);
            }
            "tunnel-id" => {
                let word = options.value(reader, option)?;
                rule.tunnel_id = Some(tunnel(reader, word)?);
            }
            "uidrange" => {
                let word = options.value(reader, option)?;
                rule.users = Some(range(reader, word, u32::MAX)?);
            }
            "protocol" => rule.protocol = options.named_byte(reader, option, Name::Protocol),
            "ipproto" | "ip_proto" => {
                let word = options.value(reader, option)?;
                rule.ip_protocol = Some(ip_protocol(reader, word)?);
            }
            "sport" => rule.source_ports = Some(ports(reader, options, option)?),
            "dport" => rule.destination_ports = Some(ports(reader, options, option)?),
            "realms" | "suppress_prefixlength" | "sup_pl" | "suppress_ifgroup" | "sup_group" => {
                self.table_option(reader, options, option)?;
            }
            "no_track" => rule.track = false,
            "track_group" => self.track_group(reader, options, option)?,
            _ => self.action(reader, options, option)?,
        }
        Some(())
    }

    /// Options of a rule that looks a table up.
    fn table_option(
        &mut self,
        reader: &mut Reader<'_>,
        options: &mut Options<'_, '_>,
        option: &Word<'_>,
    ) -> Option<()> {
        self.needs_table = Some(option.span);
        match option.text.as_ref() {
            "realms" => {
                self.family.claim(reader, Family::Ipv4, option.span);
                let word = options.value(reader, option)?;
                self.rule.realms = realms(reader, word);
            }
            "suppress_prefixlength" | "sup_pl" => {
                let length = options.number(reader, option, 0..=128)?;
                self.rule.suppress_prefix_length = u8::try_from(length).ok();
            }
            _ => self.rule.suppress_group = options.named(reader, option, Name::Group),
        }
        Some(())
    }

    fn track_group(
        &mut self,
        reader: &mut Reader<'_>,
        options: &mut Options<'_, '_>,
        option: &Word<'_>,
    ) -> Option<()> {
        if self.place == Place::Virtual {
            let (message, help) = misplaced("track_group");
            reader.error(option.span, message, help);
            return None;
        }
        let word = options.value(reader, option)?;
        self.rule.track_group = Some(word.text.to_string());
        Some(())
    }

    /// What the rule does: `[type] ACTION`.
    fn action(
        &mut self,
        reader: &mut Reader<'_>,
        options: &mut Options<'_, '_>,
        option: &Word<'_>,
    ) -> Option<()> {
        let word = if option.text == "type" { options.value(reader, option)? } else { option };
        let action = match word.text.as_ref() {
            "table" | "lookup" => {
                let table = options.named(reader, word, Name::Table)?;
                if table == 0 {
                    let message = "there is no table 0".to_string();
                    reader.error(word.span, message, "write a table from 1 to 4294967295");
                    return None;
                }
                RuleAction::Table(table)
            }
            "l3mdev" => {
                self.rule.l3mdev = true;
                RuleAction::Table(0)
            }
            "goto" => {
                let target = options.value(reader, word)?;
                RuleAction::Goto(wide(reader, target)?)
            }
            "nop" => RuleAction::Nop,
            "blackhole" => RuleAction::Blackhole,
            "unreachable" => RuleAction::Unreachable,
            "prohibit" => RuleAction::Prohibit,
            other => {
                let help = suggest::did_you_mean(other, OPTIONS.iter().copied())
                    .unwrap_or_else(|| "write one rule per line, as after ip rule add".into());
                let message = format!("unknown option \"{other}\" of a rule");
                reader.error(word.span, message, &help);
                return None;
            }
        };
        if let Some((_, first)) = self.action {
            let diagnostic = crate::Diagnostic::error(word.span, "a rule does one thing only");
            let diagnostic = diagnostic.related(first, "it does this already");
            reader.diagnostics.push(diagnostic.help("write two rules"));
            return None;
        }
        self.action = Some((action, word.span));
        Some(())
    }

    fn finish(mut self, reader: &mut Reader<'_>, line: &Statement<'_>) -> Option<VirtualRule> {
        let span = line.header();
        let Some((action, action_span)) = self.action else {
            let message = "this rule does nothing".to_string();
            reader.error(span, message, "write table NUMBER, goto, blackhole...");
            return None;
        };
        if let RuleAction::Goto(target) = action
            && self.preference.is_none_or(|preference| preference >= target)
        {
            let message = format!("goto {target} does not lead forward");
            let help = format!("write preference with a number below {target}");
            reader.error(action_span, message, &help);
            return None;
        }
        if let Some(option) = self.needs_table
            && !matches!(action, RuleAction::Table(_))
        {
            let message = "only a rule with a table takes this".to_string();
            reader.error(option, message, "remove it, or write table NUMBER");
            return None;
        }
        self.rule.action = action;
        self.rule.family = self.family.family();
        self.check_tracking(reader, span);
        self.rule.preference = match self.preference {
            Some(preference) => preference,
            None => {
                let preference = reader.surroundings.next_preference(self.rule.family);
                let message = format!("this rule has no preference: it is {preference}");
                reader.warning(
                    span,
                    message,
                    "write preference NUMBER, so that the order is yours",
                );
                preference
            }
        };
        Some(self.rule)
    }

    /// Keepalived's rules of what can be tracked.
    fn check_tracking(&mut self, reader: &mut Reader<'_>, span: Span) {
        let rule = &mut self.rule;
        if rule.track && rule.protocol.take().is_some_and(|protocol| protocol != KEEPALIVED) {
            let message = "a tracked rule has the protocol keepalived".to_string();
            reader.warning(span, message, "remove protocol, or write no_track");
        }
        if rule.input.is_none() && rule.track_group.take().is_some() {
            let message = "track_group has no effect without iif".to_string();
            reader.warning(span, message, "write iif INTERFACE");
        }
    }
}

/// A number of 32 bits, `0x` for a hexadecimal one.
fn wide(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<u32> {
    let number = any_base(&word.text).and_then(|number| u32::try_from(number).ok());
    if number.is_none() {
        let message = format!("\"{}\" is not a number of 32 bits", word.text);
        reader.error(word.span, message, "write a number from 0 to 4294967295");
    }
    number
}

fn tunnel(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<u64> {
    let number = word.text.parse().ok();
    if number.is_none() {
        let message = format!("\"{}\" is not the number of a tunnel", word.text);
        reader.error(word.span, message, "write a number of 64 bits");
    }
    number
}

/// `VALUE[/MASK]`
fn mark(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<(u32, Option<u32>)> {
    let part = |text: &str| Word { text: text.to_string().into(), span: word.span };
    match word.text.split_once('/') {
        None => Some((wide(reader, word)?, None)),
        Some((value, mask)) => {
            Some((wide(reader, &part(value))?, Some(wide(reader, &part(mask))?)))
        }
    }
}

/// `FIRST-LAST`, or one number.
fn range(reader: &mut Reader<'_>, word: &Word<'_>, most: u32) -> Option<(u32, u32)> {
    let (first, last) = word.text.split_once('-').unwrap_or((&word.text, &word.text));
    let number = |text: &str| text.parse().ok().filter(|number: &u32| *number <= most);
    let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
    if range.is_none() {
        let message = format!("\"{}\" is not a range of numbers", word.text);
        reader.error(word.span, message, &format!("write FIRST-LAST, up to {most}"));
    }
    range
}

fn ports(
    reader: &mut Reader<'_>,
    options: &mut Options<'_, '_>,
    option: &Word<'_>,
) -> Option<(u16, u16)> {
    let word = options.value(reader, option)?;
    let (first, last) = range(reader, word, u16::MAX.into())?;
    Some((u16::try_from(first).ok()?, u16::try_from(last).ok()?))
}

fn ip_protocol(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<u8> {
    let text = word.text.to_ascii_lowercase();
    let named = IP_PROTOCOLS.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    let number = named.or_else(|| text.parse().ok());
    if number.is_none() {
        let help = suggest::did_you_mean(&text, IP_PROTOCOLS.iter().map(|(name, _)| *name))
            .unwrap_or_else(|| "write its number, from 0 to 255".into());
        reader.error(word.span, format!("unknown protocol \"{}\"", word.text), &help);
    }
    number
}
