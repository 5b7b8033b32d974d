//! Arguments to values. Every method reports what is wrong and returns nothing then.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::ops::RangeInclusive;
use core::str::FromStr;
use core::time::Duration;

use super::ast::{Location, Written};
use super::keyword::Fill;
use super::lexer::Word;
use super::structure::{Meaning, Statement};
use super::surroundings::Surroundings;
use crate::diagnostic::Diagnostic;
use crate::row::Status;
use crate::short_list::ShortList;
use crate::source::{Span, Spanned};
use crate::suggest;

/// Longest interface name, and address label, that Linux takes (IFNAMSIZ - 1).
const INTERFACE_NAME_MAX: usize = 15;

/// Collects what is wrong while statements become values.
pub(crate) struct Reader<'r> {
    pub(crate) surroundings: &'r Surroundings<'r>,
    pub(crate) diagnostics: &'r mut Vec<Diagnostic>,
}

/// Keywords of a block, and where each was written first.
#[derive(Default)]
pub(crate) struct Firsts(ShortList<(&'static str, Span), 6>);

impl Reader<'_> {
    pub(crate) fn error(&mut self, span: Span, message: String, help: &str) {
        let diagnostic = Diagnostic::error(span, message);
        self.push(diagnostic, help);
    }

    pub(crate) fn warning(&mut self, span: Span, message: String, help: &str) {
        let diagnostic = Diagnostic::warning(span, message);
        self.push(diagnostic, help);
    }

    fn push(&mut self, diagnostic: Diagnostic, help: &str) {
        self.diagnostics.push(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    }

    /// Hands every statement of a block that works to `fill`, and reports the others. Returns
    /// the keywords that were written.
    pub(crate) fn fields<'s, 'a>(
        &mut self,
        statements: &'s [Statement<'a>],
        fill: impl FnMut(&mut Self, &'s Statement<'a>, Fill),
    ) -> Written {
        let mut firsts = Firsts::default();
        self.more_fields(statements, &mut firsts, fill);
        let mut written = Written::default();
        firsts.0.iter().for_each(|(name, _)| written.0.push(name));
        written
    }

    /// The same for a part of a block; `firsts` is what was written in the parts before.
    pub(crate) fn more_fields<'s, 'a>(
        &mut self,
        statements: &'s [Statement<'a>],
        Firsts(written): &mut Firsts,
        mut fill: impl FnMut(&mut Self, &'s Statement<'a>, Fill),
    ) {
        for statement in statements {
            let row = match statement.meaning {
                Meaning::Keyword(row) | Meaning::Typo(row) => row,
                Meaning::Item | Meaning::Unknown => continue,
            };
            let keyword = statement.keyword();
            if let Status::Rejected(instead) = row.info.status {
                let message = format!("{} is not supported by this version", keyword.text);
                self.error(keyword.span, message, instead);
            }
            let Some(rule) = row.parse else { continue };
            let earlier = written.iter().find(|(name, _)| *name == row.info.name);
            match earlier {
                None => written.push((row.info.name, keyword.span)),
                Some(_) if rule.repeats => {}
                Some(&(_, first)) => {
                    let message = format!("{} is given twice; the last one counts", keyword.text);
                    let diagnostic = Diagnostic::warning(keyword.span, message);
                    self.diagnostics.push(diagnostic.related(first, "given here first"));
                }
            }
            if let Status::NoEffect(why) = row.info.status {
                let message = format!("{} has no effect", keyword.text);
                self.diagnostics.push(Diagnostic::note(keyword.span, message).help(why));
            }
            match rule.fill {
                Fill::Check(check) => check(self, statement),
                other => fill(self, statement, other),
            }
        }
    }

    /// The only argument: `needs` says what it is (`a port`).
    pub(crate) fn argument<'s, 'a>(
        &mut self,
        statement: &'s Statement<'a>,
        needs: &str,
    ) -> Option<&'s Word<'a>> {
        let word = self.first_argument(statement, needs)?;
        self.no_more(statement, 1);
        Some(word)
    }

    /// The first of several arguments.
    pub(crate) fn first_argument<'s, 'a>(
        &mut self,
        statement: &'s Statement<'a>,
        needs: &str,
    ) -> Option<&'s Word<'a>> {
        let word = statement.arguments().first();
        if word.is_none_or(|word| word.text.is_empty()) {
            let keyword = statement.keyword();
            let help = format!("write {needs} after {}, or remove the line", keyword.text);
            self.error(statement.header(), format!("{} needs {needs}", keyword.text), &help);
            return None;
        }
        word
    }

    /// Reports arguments beyond the first `most`.
    pub(crate) fn no_more(&mut self, statement: &Statement<'_>, most: usize) {
        let Some(extra) = statement.arguments().get(most..).filter(|extra| !extra.is_empty())
        else {
            return;
        };
        let (first, last) = (&extra[0], &extra[extra.len() - 1]);
        let message = format!("unexpected \"{}\" after {}", first.text, statement.keyword().text);
        self.error(first.span.to(last.span), message, "remove it, or begin a new line");
    }

    /// A keyword without arguments. Keepalived ignores what follows it, even `false`.
    pub(crate) fn flag(&mut self, statement: &Statement<'_>) -> Span {
        if let (Some(first), Some(last)) =
            (statement.arguments().first(), statement.arguments().last())
        {
            let keyword = &statement.keyword().text;
            let message = format!("\"{}\" is ignored: {keyword} alone says it all", first.text);
            self.warning(first.span.to(last.span), message, "remove it, or the whole line");
        }
        statement.header()
    }

    /// A keyword that may say `true`, `on`, `yes`, `false`, `off` or `no`; alone it means true.
    pub(crate) fn boolean(&mut self, statement: &Statement<'_>) -> Option<bool> {
        self.no_more(statement, 1);
        let Some(word) = statement.arguments().first() else { return Some(true) };
        match word.text.as_ref() {
            "true" | "on" | "yes" => Some(true),
            "false" | "off" | "no" => Some(false),
            _ => {
                let message = format!("\"{}\" is neither true nor false", word.text);
                self.error(word.span, message, "write true or false");
                None
            }
        }
    }

    /// A whole number as the only argument.
    pub(crate) fn number(
        &mut self,
        statement: &Statement<'_>,
        needs: &str,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let word = self.argument(statement, needs)?;
        self.number_of(word, needs, range)
    }

    /// A whole number.
    pub(crate) fn number_of(
        &mut self,
        word: &Word<'_>,
        needs: &str,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let digits = !word.text.is_empty() && word.text.bytes().all(|b| b.is_ascii_digit());
        let number = word.text.parse::<u32>().ok().filter(|n| digits && range.contains(n));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let message = if digits {
                format!("{} is not between {least} and {most}", word.text)
            } else {
                format!("\"{}\" is not {needs}", word.text)
            };
            let help = format!("write {needs} between {least} and {most}");
            self.error(word.span, message, &help);
        }
        number
    }

    /// A whole number that may be negative.
    pub(crate) fn integer_of(
        &mut self,
        word: &Word<'_>,
        needs: &str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let digits = word.text.strip_prefix('-').unwrap_or(&word.text);
        let digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let number = word.text.parse::<i64>().ok().filter(|n| digits && range.contains(n));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let message = if digits {
                format!("{} is not between {least} and {most}", word.text)
            } else {
                format!("\"{}\" is not {needs}", word.text)
            };
            let help = format!("write {needs} between {least} and {most}");
            self.error(word.span, message, &help);
        }
        number
    }

    /// Seconds with an optional fraction as the only argument, exact to the microsecond.
    pub(crate) fn seconds(
        &mut self,
        statement: &Statement<'_>,
        least: Duration,
        most: Duration,
    ) -> Option<Duration> {
        let word = self.argument(statement, "a number of seconds")?;
        self.seconds_of(word, least, most)
    }

    /// Seconds with an optional fraction.
    pub(crate) fn seconds_of(
        &mut self,
        word: &Word<'_>,
        least: Duration,
        most: Duration,
    ) -> Option<Duration> {
        let Some(value) = parse_seconds(&word.text) else {
            let message = format!("\"{}\" is not a number of seconds", word.text);
            self.error(word.span, message, "write seconds, with a fraction if need be: 3 or 0.5");
            return None;
        };
        if value < least || value > most {
            let range = format!("between {} and {} seconds", Decimal(least), Decimal(most));
            let message = format!("{} is not {range}", word.text);
            self.error(word.span, message, &format!("write a time {range}"));
            return None;
        }
        Some(value)
    }

    /// An address of either family.
    pub(crate) fn ip(&mut self, word: &Word<'_>) -> Option<IpAddr> {
        let address = IpAddr::from_str(&word.text).ok();
        if address.is_none() {
            let message = format!("\"{}\" is not an IP address", word.text);
            let help = address_help(&word.text);
            self.error(word.span, message, &help);
        }
        address
    }

    /// A port as the only argument.
    pub(crate) fn port(&mut self, statement: &Statement<'_>) -> Option<u16> {
        let word = self.argument(statement, "a port")?;
        self.port_of(word, 1)
    }

    /// A port not less than `least`.
    pub(crate) fn port_of(&mut self, word: &Word<'_>, least: u32) -> Option<u16> {
        let port = self.number_of(word, "a port number", least..=u32::from(u16::MAX))?;
        u16::try_from(port).ok()
    }

    /// `ADDRESS [PORT]`
    pub(crate) fn location(&mut self, statement: &Statement<'_>) -> Option<Spanned<Location>> {
        let word = self.first_argument(statement, "an IP address and a port")?;
        self.no_more(statement, 2);
        let address = self.ip(word);
        let (port, end) = match statement.arguments().get(1) {
            None => (None, word.span),
            Some(port) => (Some(self.port_of(port, 0)?), port.span),
        };
        let value = Location { address: address?, port };
        Some(Spanned { value, span: word.span.to(end) })
    }

    /// A name of an interface, or a label, as the system takes it.
    pub(crate) fn interface(&mut self, word: &Word<'_>) -> Option<String> {
        let text = &word.text;
        let good = text.len() <= INTERFACE_NAME_MAX
            && !matches!(text.as_ref(), "" | "." | "..")
            && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
        if !good {
            let message = format!("\"{text}\" cannot be the name of an interface");
            self.error(word.span, message, "names have 1 to 15 bytes, without blanks and slashes");
        }
        good.then(|| text.clone().into_owned())
    }

    /// One of a few words, as the only argument.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        statement: &Statement<'_>,
        choices: &[(&'static str, T)],
        rejected: &[(&'static str, &'static str)],
    ) -> Option<T> {
        let needs = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ");
        let word = self.argument(statement, &needs)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == word.text) {
            return Some(*value);
        }
        let keyword = &statement.keyword().text;
        if let Some((_, instead)) = rejected.iter().find(|(name, _)| *name == word.text) {
            let message = format!("{keyword} {} is not supported by this version", word.text);
            self.error(word.span, message, instead);
            return None;
        }
        let names = choices.iter().map(|(name, _)| *name);
        let help = suggest::did_you_mean(&word.text, names).unwrap_or(format!("use {needs}"));
        self.error(word.span, format!("unknown {keyword} \"{}\"", word.text), &help);
        None
    }

    /// The statements of the block, or none.
    pub(crate) fn block<'s, 'a>(&self, statement: &'s Statement<'a>) -> &'s [Statement<'a>] {
        statement.block.as_deref().unwrap_or_default()
    }
}

/// What may have happened to something that should be an address.
fn address_help(text: &str) -> String {
    if text.contains('/') || text.contains('-') {
        return "write a single address; ranges and networks are not supported here".to_owned();
    }
    let repaired: String = text
        .chars()
        .map(|c| match c {
            'l' | 'I' | '|' => '1',
            'O' | 'o' => '0',
            ',' => '.',
            c => c,
        })
        .collect();
    match Ipv4Addr::from_str(&repaired) {
        Ok(address) => format!("did you mean \"{address}\"?"),
        Err(_) if text.contains(':') => "write an address like 2001:db8::1".to_owned(),
        Err(_) => "write an address like 192.0.2.1 or 2001:db8::1".to_owned(),
    }
}

/// `3`, `0.5`, `.25`: seconds, exact to the microsecond; more digits are cut.
pub(crate) fn parse_seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let seconds: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let micros: u32 = (0..6).fold(0, |sum, place| {
        let digit = fraction.as_bytes().get(place).map_or(0, |b| u32::from(b - b'0'));
        sum * 10 + digit
    });
    Some(Duration::new(seconds, micros * 1_000))
}

/// Seconds as people write them.
pub(crate) struct Decimal(pub(crate) Duration);

impl core::fmt::Display for Decimal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let text = format!("{}.{:06}", self.0.as_secs(), self.0.subsec_micros());
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_a_fraction() {
        assert_eq!(parse_seconds("3"), Some(Duration::from_secs(3)));
        assert_eq!(parse_seconds("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(parse_seconds(".25"), Some(Duration::from_millis(250)));
        assert_eq!(parse_seconds("2.7182818"), Some(Duration::from_micros(2_718_281)));
        for wrong in ["", ".", "-1", "1s", "1.2.3", "99999999999999999999"] {
            assert_eq!(parse_seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn seconds_are_shown_without_idle_zeros() {
        assert_eq!(format!("{}", Decimal(Duration::from_millis(1_500))), "1.5");
        assert_eq!(format!("{}", Decimal(Duration::from_secs(10))), "10");
    }

    #[test]
    fn a_scanned_address_is_repaired_in_the_suggestion() {
        assert_eq!(address_help("l92.168.O.1"), "did you mean \"192.168.0.1\"?");
    }
}
