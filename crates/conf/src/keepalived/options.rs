//! A line in the words of ip(8): options, each perhaps with values, in any order.

use alloc::format;
use alloc::string::String;
use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::str::FromStr;

use model::vrrp::{Family, IpPrefix};

use super::lexer::Word;
use super::reader::Reader;
use super::surroundings::{Name, any_base};
use crate::source::Span;
use crate::suggest;

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In an instance: it moves with the master.
    Virtual,
    /// In a `static_*` block: it stays, and may belong to a `track_group`.
    #[allow(dead_code)] // The rows of statics are to come.
    Static,
}

/// The words of one line that were not read yet.
pub(crate) struct Options<'w, 'a> {
    rest: &'w [Word<'a>],
}

impl<'w, 'a> Options<'w, 'a> {
    pub(crate) fn new(words: &'w [Word<'a>]) -> Options<'w, 'a> {
        Options { rest: words }
    }

    /// The next word.
    pub(crate) fn next(&mut self) -> Option<&'w Word<'a>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The next word, if it is this one.
    pub(crate) fn skip(&mut self, text: &str) -> bool {
        let found = self.rest.first().is_some_and(|word| word.text == text);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// The value of an option.
    pub(crate) fn value(
        &mut self,
        reader: &mut Reader<'_>,
        option: &Word<'_>,
    ) -> Option<&'w Word<'a>> {
        let value = self.next();
        if value.is_none() {
            let message = format!("{} needs a value", option.text);
            reader.error(option.span, message, "write it on this line");
        }
        value
    }

    /// An interface as the value of an option.
    pub(crate) fn interface(
        &mut self,
        reader: &mut Reader<'_>,
        option: &Word<'_>,
    ) -> Option<String> {
        let word = self.value(reader, option)?;
        reader.interface(word)
    }

    /// A number as the value of an option.
    pub(crate) fn number(
        &mut self,
        reader: &mut Reader<'_>,
        option: &Word<'_>,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let word = self.value(reader, option)?;
        reader.number_of(word, "a number", range)
    }

    /// A number or its name as the value of an option.
    pub(crate) fn named(
        &mut self,
        reader: &mut Reader<'_>,
        option: &Word<'_>,
        kind: Name,
    ) -> Option<u32> {
        let word = self.value(reader, option)?;
        named(reader, word.span, &word.text, kind)
    }

    /// A byte or its name as the value of an option.
    pub(crate) fn named_byte(
        &mut self,
        reader: &mut Reader<'_>,
        option: &Word<'_>,
        kind: Name,
    ) -> Option<u8> {
        u8::try_from(self.named(reader, option, kind)?).ok()
    }
}

/// A number or its name.
fn named(reader: &mut Reader<'_>, span: Span, text: &str, kind: Name) -> Option<u32> {
    let surroundings = reader.surroundings;
    if let Some(number) = surroundings.number(kind, text) {
        return Some(number);
    }
    let what = kind.what();
    if any_base(text).is_some() {
        let help = format!("write a number up to {}", kind.most());
        reader.error(span, format!("{text} is no {what}"), &help);
        return None;
    }
    let names = surroundings.names(kind).iter().map(|(_, name)| name.as_str());
    let help = suggest::did_you_mean(text, names)
        .unwrap_or_else(|| format!("write its number, or add the name to {}", kind.files()[0]));
    reader.error(span, format!("unknown {what} \"{text}\""), &help);
    None
}

/// `REALM` of the destination, or `SOURCE/DESTINATION`.
pub(crate) fn realms(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<(u16, u16)> {
    let (source, destination) = match word.text.split_once('/') {
        None => (None, word.text.as_ref()),
        Some((source, destination)) => (Some(source), destination),
    };
    let source = match source {
        None => 0,
        Some(source) => named(reader, word.span, source, Name::Realm)?,
    };
    let destination = named(reader, word.span, destination, Name::Realm)?;
    Some((u16::try_from(source).ok()?, u16::try_from(destination).ok()?))
}

/// `ADDRESS[/LENGTH]` of either family.
pub(crate) fn prefix(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<IpPrefix> {
    let (address, length) = match word.text.split_once('/') {
        None => (word.text.as_ref(), None),
        Some((address, length)) => (address, Some(length)),
    };
    let part = |text: &str| Word { text: String::from(text).into(), span: word.span };
    let address = reader.ip(&part(address))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => most,
        Some(length) => reader.number_of(&part(length), "a prefix length", 0..=most)?,
    };
    Some(IpPrefix { address, length: u8::try_from(length).ok()? })
}

/// A network, or `default`, `any` or `all`: every address.
pub(crate) enum Network {
    Every,
    Prefix(IpPrefix),
}

/// `NETWORK` after `from` or `to`, or where a route leads; claims the family it says.
pub(crate) fn network(
    reader: &mut Reader<'_>,
    word: &Word<'_>,
    family: &mut Claim,
) -> Option<Network> {
    match word.text.as_ref() {
        "default" | "any" | "all" => Some(Network::Every),
        "default6" => {
            family.claim(reader, Family::Ipv6, word.span);
            let message = String::from("default6 is an old name");
            reader.warning(word.span, message, "write inet6 default");
            Some(Network::Every)
        }
        _ => {
            let prefix = prefix(reader, word)?;
            family.claim(reader, Family::of(prefix.address), word.span);
            let every = prefix.length == 0 && prefix.address.is_unspecified();
            Some(if every { Network::Every } else { Network::Prefix(prefix) })
        }
    }
}

impl Network {
    /// Nothing for every address.
    pub(crate) fn prefix(self) -> Option<IpPrefix> {
        match self {
            Network::Every => None,
            Network::Prefix(prefix) => Some(prefix),
        }
    }
}

/// The family of a line, said by the first word that can only be of one.
#[derive(Default)]
pub(crate) struct Claim {
    said: Option<(Family, Span)>,
}

impl Claim {
    /// A word of the line is of this family.
    pub(crate) fn claim(&mut self, reader: &mut Reader<'_>, family: Family, span: Span) {
        let Some((said, first)) = self.said else {
            self.said = Some((family, span));
            return;
        };
        if said != family {
            let diagnostic = crate::Diagnostic::error(span, "IPv4 and IPv6 cannot be mixed here");
            let diagnostic = diagnostic.related(first, format!("this is {}", name(said)));
            let help = format!("write {}, or a line of its own", name(said));
            reader.diagnostics.push(diagnostic.help(help));
        }
    }

    /// What was said; IPv4 when nothing was.
    pub(crate) fn family(&self) -> Family {
        self.said.map_or(Family::Ipv4, |(family, _)| family)
    }

    /// An address that claims its family.
    pub(crate) fn address(&mut self, reader: &mut Reader<'_>, word: &Word<'_>) -> Option<IpAddr> {
        let text = word.text.as_ref();
        if IpAddr::from_str(text).is_err() && text.contains('/') {
            let message = format!("{text} is a network, not an address");
            reader.error(word.span, message, "leave out the slash and what follows it");
            return None;
        }
        let address = reader.ip(word)?;
        self.claim(reader, Family::of(address), word.span);
        Some(address)
    }
}

/// `IPv4` or `IPv6`
pub(crate) fn name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}
