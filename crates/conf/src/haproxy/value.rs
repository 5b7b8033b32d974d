//! Values: numbers, times, addresses.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use super::lexer::{Line, Word};
use crate::diagnostic::Diagnostic;
use crate::source::{Source, Span, Spanned};

/// HAProxy's greatest timer: a signed 32-bit number of milliseconds.
const TIMER_MAX_MS: u64 = i32::MAX as u64;

/// The only argument of a keyword of `words` words.
pub(super) fn argument<'a>(
    line: &'a Line,
    words: usize,
    what: &str,
) -> Result<&'a Word, Diagnostic> {
    let keyword = line.rest(0)[..words.min(line.rest(0).len())]
        .iter()
        .map(|word| word.text.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    let Some(word) = line.word(words).filter(|word| !word.text.is_empty()) else {
        return Err(Diagnostic::error(line.head(words), format!("`{keyword}` needs {what}")));
    };
    super::table::superfluous(&keyword, line.rest(words + 1))?;
    Ok(word)
}

/// A number within bounds.
pub(super) fn number(word: &Word, least: u32, most: u32) -> Result<Spanned<u32>, Diagnostic> {
    let digits = !word.text.is_empty() && word.text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return Err(Diagnostic::error(word.span, format!("`{}` is not a number", word.text))
            .help(format!("write a number from {least} to {most}")));
    }
    match word.text.parse::<u32>() {
        Ok(value) if (least..=most).contains(&value) => Ok(Spanned { value, span: word.span }),
        _ => Err(Diagnostic::error(
            word.span,
            format!("{} is not between {least} and {most}", word.text),
        )),
    }
}

/// A time: a number of milliseconds, or of the unit behind it (us ms s m h d).
pub(super) fn time(word: &Word) -> Result<Spanned<Duration>, Diagnostic> {
    let text = word.text.as_str();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let per_unit_us: u64 = match unit {
        "us" => 1,
        "ms" | "" => 1000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => {
            return Err(Diagnostic::error(word.span, format!("`{text}` is not a time"))
                .help("write a number and a unit: us, ms, s, m, h or d (10s, 500ms)"));
        }
    };
    if number.is_empty() {
        return Err(Diagnostic::error(word.span, format!("`{text}` is not a time"))
            .help("write a number and a unit: us, ms, s, m, h or d (10s, 500ms)"));
    }
    let us = number.parse::<u64>().ok().and_then(|number| number.checked_mul(per_unit_us));
    match us {
        Some(us) if us.div_ceil(1000) > TIMER_MAX_MS => Err(overflow(word)),
        None => Err(overflow(word)),
        // Whole milliseconds, rounded up, as HAProxy keeps them.
        Some(us) => {
            Ok(Spanned { value: Duration::from_millis(us.div_ceil(1000)), span: word.span })
        }
    }
}

fn overflow(word: &Word) -> Diagnostic {
    Diagnostic::error(word.span, format!("{} is more than the longest time", word.text))
        .help("the longest is 2147483647 ms, about 24.8 days")
}

/// The port range behind the last colon of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) first: u16,
    pub(super) last: u16,
}

/// An address as written: host part and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    /// Without brackets; empty or `*` takes all.
    pub(super) host: &'a str,
    /// Which family a prefix asked for.
    pub(super) family: Option<Family>,
    /// What stood behind the colon.
    pub(super) ports: Option<Ports>,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Splits an address: `host:port`, `[v6]:port`, `ipv4@host:first-last`...
pub(super) fn address(text: &str, span: Span) -> Result<Address<'_>, Diagnostic> {
    let (rest, family) = match text.split_once('@') {
        Some(("ipv4" | "udp4" | "tcp4", rest)) => (rest, Some(Family::V4)),
        Some(("ipv6" | "udp6" | "tcp6", rest)) => (rest, Some(Family::V6)),
        Some(("udp" | "tcp", rest)) => (rest, None),
        Some((prefix, _)) => {
            let message =
                format!("addresses of the form `{prefix}@` are not supported by this version");
            return Err(Diagnostic::error(span, message)
                .help("write an IPv4 or IPv6 address and a port: 192.0.2.1:80"));
        }
        None => (text, None),
    };
    if rest.starts_with('/') {
        return Err(Diagnostic::error(span, "Unix sockets are not supported here by this version")
            .help("write an IPv4 or IPv6 address and a port: 192.0.2.1:80"));
    }
    let (host, ports) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, ports)) => match ports.strip_prefix(':') {
            Some(ports) => (host, Some(ports)),
            None => {
                return Err(Diagnostic::error(span, format!("`{ports}` behind the bracket"))
                    .help("write the port behind a colon: [2001:db8::1]:80"));
            }
        },
        None => match rest.rsplit_once(':') {
            Some((host, ports)) => (host, Some(ports)),
            None => (rest, None),
        },
    };
    let ports = match ports {
        Some("") | None => None,
        Some(text) => Some(ports_of(text, span)?),
    };
    Ok(Address { host, family, ports })
}

fn ports_of(text: &str, span: Span) -> Result<Ports, Diagnostic> {
    let wrong = |text: &str| {
        let diagnostic = Diagnostic::error(span, format!("`{text}` is not a port"));
        if text.starts_with('+') {
            return diagnostic
                .help("offsets to the client's port are not supported by this version");
        }
        diagnostic.help("ports are numbers from 1 to 65535")
    };
    let one = |text: &str| -> Result<u16, Diagnostic> {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && *port > 0).ok_or_else(|| wrong(text))
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) if !first.is_empty() => (one(first)?, one(last)?),
        _ => {
            let port = one(text)?;
            (port, port)
        }
    };
    if last < first {
        let message = format!("the port range {text} ends before it begins");
        return Err(Diagnostic::error(span, message).help(format!("did you mean {last}-{first}?")));
    }
    Ok(Ports { first, last })
}

/// The address of a host part: written as such, or resolved now (first IPv4, else IPv6).
pub(super) fn resolve(
    source: &dyn Source,
    address: &Address<'_>,
    span: Span,
) -> Result<IpAddr, Diagnostic> {
    let of_family = |ip: &IpAddr| match address.family {
        Some(Family::V4) => ip.is_ipv4(),
        Some(Family::V6) => ip.is_ipv6(),
        None => true,
    };
    let host = address.host;
    let written = match host {
        "" | "*" if address.family == Some(Family::V6) => Some(Ipv6Addr::UNSPECIFIED.into()),
        "" | "*" => Some(Ipv4Addr::UNSPECIFIED.into()),
        host => host.parse::<IpAddr>().ok(),
    };
    if let Some(ip) = written {
        if of_family(&ip) {
            return Ok(ip);
        }
        return Err(Diagnostic::error(span, format!("{ip} is not of the family its prefix says")));
    }
    if host.contains(':') || looks_like_ipv4(host) {
        return Err(Diagnostic::error(span, format!("`{host}` is not an address"))
            .help("write IPv4 as 192.0.2.1:80 and IPv6 as [2001:db8::1]:80"));
    }
    let found = source.resolve(host).map_err(|error| unresolved(span, host, &error))?;
    let best = found.iter().filter(|ip| of_family(ip)).min_by_key(|ip| ip.is_ipv6());
    best.copied().ok_or_else(|| unresolved(span, host, "no address of the right family"))
}

fn looks_like_ipv4(host: &str) -> bool {
    host.contains('.') && host.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn unresolved(span: Span, host: &str, error: &str) -> Diagnostic {
    Diagnostic::error(span, format!("the host `{host}` cannot be resolved: {error}"))
        .help("names are resolved once, when the file is loaded; write the address instead")
}

/// A network: `192.0.2.0/24`, `192.0.2.0/255.255.255.0`, `2001:db8::/32` or one address.
pub(super) fn network(text: &str, span: Span) -> Result<(IpAddr, u8), Diagnostic> {
    let wrong = || {
        Diagnostic::error(span, format!("`{text}` is not a network"))
            .help("write an address and a prefix length: 192.0.2.0/24")
    };
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match mask {
        None => most,
        Some(mask) => match mask.parse::<Ipv4Addr>() {
            Ok(dotted) if address.is_ipv4() => {
                let bits = u32::from(dotted);
                if bits.leading_ones() + bits.trailing_zeros() < 32 {
                    return Err(wrong());
                }
                bits.leading_ones() as u8
            }
            _ => mask.parse::<u8>().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
        },
    };
    Ok((address, length))
}

/// A copy of a word's text with its place.
pub(super) fn text(word: &Word) -> Spanned<String> {
    Spanned { value: word.text.clone(), span: word.span }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::testing::word;

    #[test]
    fn times_have_units_and_bounds() {
        let ms = |text: &str| time(&word(text)).map(|time| time.value.as_millis()).ok();
        assert_eq!(ms("10"), Some(10));
        assert_eq!(ms("10s"), Some(10_000));
        assert_eq!(ms("1m"), Some(60_000));
        assert_eq!(ms("1h"), Some(3_600_000));
        assert_eq!(ms("24d"), Some(24 * 86_400_000));
        assert_eq!(ms("1500us"), Some(2));
        assert_eq!(ms("5us"), Some(1));
        assert_eq!(ms("0"), Some(0));
        for wrong in ["", "s", "10x", "1.5s", "-1", "25d", "10 s", "99999999999999999999d"] {
            assert_eq!(ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_split_at_the_last_colon() {
        let split = |text| {
            let address = address(text, word("x").span).unwrap();
            (address.host, address.ports.map(|ports| (ports.first, ports.last)))
        };
        assert_eq!(split("*:80"), ("*", Some((80, 80))));
        assert_eq!(split(":80"), ("", Some((80, 80))));
        assert_eq!(split("1.2.3.4"), ("1.2.3.4", None));
        assert_eq!(split("1.2.3.4:8000-8002"), ("1.2.3.4", Some((8000, 8002))));
        assert_eq!(split("::1:80"), ("::1", Some((80, 80))));
        assert_eq!(split("[::1]:80"), ("::1", Some((80, 80))));
        assert_eq!(split("[::1]"), ("::1", None));
        assert_eq!(split("ipv6@:::80"), ("::", Some((80, 80))));
        for wrong in ["a:0", "a:65536", "a:+1", "a:9-1", "a:x", "unix@/x", "/x", "[::1]80", "a:-1"]
        {
            assert!(address(wrong, word("x").span).is_err(), "{wrong}");
        }
    }

    #[test]
    fn networks_take_lengths_and_masks() {
        let read = |text| network(text, word("x").span).ok();
        assert_eq!(read("10.0.0.0/8"), Some(("10.0.0.0".parse().unwrap(), 8)));
        assert_eq!(read("10.0.0.0/255.255.0.0"), Some(("10.0.0.0".parse().unwrap(), 16)));
        assert_eq!(read("10.0.0.1"), Some(("10.0.0.1".parse().unwrap(), 32)));
        assert_eq!(read("::1"), Some(("::1".parse().unwrap(), 128)));
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/255.0.255.0", "::1/129"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
