//! Metrics of a route: `mtu`, `rtt`, `features`... (linux/rtnetlink.h RTAX_*).

use alloc::format;
use alloc::string::ToString;
use core::time::Duration;

use model::vrrp::{RouteMetric, VirtualRoute};

use crate::keepalived::lexer::Word;
use crate::keepalived::options::Options;
use crate::keepalived::reader::{Reader, parse_seconds};

/// The unit of a metric.
#[derive(Clone, Copy)]
enum Unit {
    /// A plain number up to this.
    Number(u32),
    /// A time in so many parts of a millisecond.
    Time(u32),
    /// 0 or 1.
    Switch,
}

/// A metric's word, its RTAX number, whether `lock` may stand before the value, and the unit.
const METRICS: &[(&str, u8, bool, Unit)] = &[
    ("mtu", 2, true, Unit::Number(u32::MAX)),
    ("window", 3, false, Unit::Number(u32::MAX)),
    ("rtt", 4, true, Unit::Time(8)),
    ("rttvar", 5, true, Unit::Time(4)),
    ("ssthresh", 6, true, Unit::Number(u32::MAX)),
    ("cwnd", 7, true, Unit::Number(u32::MAX)),
    ("advmss", 8, true, Unit::Number(u32::MAX)),
    ("reordering", 9, true, Unit::Number(u32::MAX)),
    ("hoplimit", 10, false, Unit::Number(255)),
    ("initcwnd", 11, false, Unit::Number(u32::MAX)),
    ("rto_min", 13, true, Unit::Time(1)),
    ("initrwnd", 14, false, Unit::Number(u32::MAX)),
    ("quickack", 15, false, Unit::Switch),
    ("fastopen_no_cookie", 17, false, Unit::Switch),
];
/// RTAX_FEATURES, and the bit for explicit congestion notification.
const FEATURES: (u8, u32) = (12, 1);
/// Times the kernel works with (net/tcp.h TCP_RTO_MIN, TCP_RTO_MAX), in milliseconds.
const TIME_RANGE: (u32, u32) = (200, 120_000);

/// Reads a metric; false when the word is none, nothing when it is a wrong one.
pub(super) fn read(
    reader: &mut Reader<'_>,
    options: &mut Options<'_, '_>,
    option: &Word<'_>,
    route: &mut VirtualRoute,
) -> Option<bool> {
    match option.text.as_ref() {
        "features" => {
            let word = options.value(reader, option)?;
            if word.text != "ecn" {
                let message = format!("unknown feature \"{}\" of a route", word.text);
                reader.error(word.span, message, "the only feature is ecn");
                return None;
            }
            let (kind, value) = FEATURES;
            set(route, RouteMetric { kind, value, locked: false });
            return Some(true);
        }
        "congctl" => {
            let locked = options.skip("lock");
            let word = options.value(reader, option)?;
            route.congestion_control = Some((word.text.to_string(), locked));
            return Some(true);
        }
        _ => {}
    }
    let Some(&(_, kind, lockable, unit)) = METRICS.iter().find(|row| row.0 == option.text) else {
        return Some(false);
    };
    let locked = lockable && options.skip("lock");
    let word = options.value(reader, option)?;
    let value = match unit {
        Unit::Number(most) => reader.number_of(word, "a number", 0..=most)?,
        Unit::Switch => reader.number_of(word, "0 or 1", 0..=1)?,
        Unit::Time(parts) => time(reader, word, parts)?,
    };
    set(route, RouteMetric { kind, value, locked });
    Some(true)
}

/// The last value of a metric counts.
fn set(route: &mut VirtualRoute, metric: RouteMetric) {
    route.metrics.retain(|other| other.kind != metric.kind);
    route.metrics.push(metric);
}

/// `NUMBER` in the kernel's unit, or with `ms` or `s` after it, held within what TCP works with.
fn time(reader: &mut Reader<'_>, word: &Word<'_>, parts: u32) -> Option<u32> {
    let Some(value) = parse_time(&word.text, parts) else {
        let message = format!("\"{}\" is not a time", word.text);
        reader.error(word.span, message, "write a number with ms or s after it: 300ms");
        return None;
    };
    let (least, most) = (TIME_RANGE.0 * parts, TIME_RANGE.1 * parts);
    let held = value.clamp(u64::from(least), u64::from(most));
    if held != value {
        let message = format!("{} is not between 200 ms and 120 s: it is held there", word.text);
        reader.warning(word.span, message, "write a time between 200ms and 120s");
    }
    u32::try_from(held).ok()
}

fn parse_time(text: &str, parts: u32) -> Option<u64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    // What is read as seconds may be milliseconds or plain.
    let value = parse_seconds(number)?;
    let per_second = |value: Duration, parts: u32| {
        u64::try_from(value.as_micros().checked_mul(parts.into())? / 1_000_000).ok()
    };
    match unit.to_ascii_lowercase().as_str() {
        "" => number.parse().ok(),
        "ms" | "msec" | "msecs" => per_second(value, parts),
        "s" | "sec" | "secs" => per_second(value, parts.checked_mul(1_000)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_the_kernels_unit_unless_they_say_theirs() {
        assert_eq!(parse_time("2400", 8), Some(2_400));
        assert_eq!(parse_time("300ms", 8), Some(2_400));
        assert_eq!(parse_time("0.3s", 4), Some(1_200));
        assert_eq!(parse_time("1.5SECS", 1), Some(1_500));
        for wrong in ["", "s", "1h", "1e3", "-1"] {
            assert_eq!(parse_time(wrong, 8), None, "{wrong}");
        }
    }
}
