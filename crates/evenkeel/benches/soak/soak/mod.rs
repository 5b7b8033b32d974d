//! The soak itself.

mod audit;
mod generator;
mod place;

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use audit::{Found, Table};
use generator::{Generator, Sent};
use place::{Memory, Place};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Seconds after its time is over until the sweep has been there: a round begins each second.
const SWEPT_WITHIN: Duration = Duration::from_secs(4);
/// IPVS's time for a connection that was reset.
const CLOSE: Duration = Duration::from_secs(10);
/// IPVS's time for SYN_RECV.
const HALF_OPEN: Duration = Duration::from_secs(60);
/// Between two adverts.
const ADVERT_MS: f64 = 10.0;
/// By how much memory may grow after the table is full for the first time, in KiB: what pools
/// and the log take.
const GROWTH_MOST: u64 = 4096;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) length: Duration,
    pub(crate) audit_every: Duration,
    /// Without load, before it, to see how the adverts go out.
    pub(crate) quiet: Duration,
    /// New flows of UDP, one datagram each.
    pub(crate) flows_per_second: u32,
    /// TCP connections that are established and reset.
    pub(crate) streams_per_second: u32,
    pub(crate) udp_timeout: Duration,
    /// Room in the table.
    pub(crate) connections: u32,
}

/// What is not there, if anything.
pub(crate) fn missing() -> Option<String> {
    lab::net::missing()
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) sent: Sent,
    pub(crate) audits: Vec<Found>,
    pub(crate) memory: Vec<Memory>,
    /// Of the adverts, in ms.
    pub(crate) before: Lateness,
    pub(crate) during: Lateness,
}

/// Soaks. An error says what was not as it should be.
pub(crate) fn soak(settings: &Settings) -> Result<Outcome> {
    let place = Place::start(settings)?;
    let table = Table::open(place.pins())?;
    place.adverts();
    thread::sleep(settings.quiet);
    let before = lateness(&place.adverts())?;
    let generator = Generator::start(&place, settings)?;
    let begun = Instant::now();
    let (mut audits, mut memory) = (Vec::new(), Vec::new());
    let mut next = settings.audit_every.min(settings.length);
    while next <= settings.length {
        thread::sleep(next.saturating_sub(begun.elapsed()));
        let found = table.audit(&generator, settings, audits.len())?;
        println!("{:>5.0} s: {found}", begun.elapsed().as_secs_f64());
        // The first one may come before the table is as full as it gets.
        if next > settings.udp_timeout + SWEPT_WITHIN {
            memory.push(place.memory()?);
        }
        audits.push(found);
        next += settings.audit_every;
    }
    let during = lateness(&place.adverts())?;
    let sent = generator.end()?;
    println!("sent {} flows per second, {} frames not taken", sent.per_second, sent.refused);
    thread::sleep(settings.udp_timeout.max(CLOSE) + SWEPT_WITHIN);
    // Whose RST was lost on the way takes as long as a half-open one.
    let end = Instant::now() + HALF_OPEN;
    while table.is_empty().is_err() && Instant::now() < end {
        thread::sleep(Duration::from_secs(1));
    }
    table.is_empty()?;
    println!("nothing is left");
    println!("lateness of adverts, ms: before {before:?}, during {during:?}");
    println!("memory, KiB: {memory:?}");
    judge(&memory)?;
    Ok(Outcome { sent, audits, memory, before, during })
}

fn judge(memory: &[Memory]) -> Result<()> {
    if let (Some(first), Some(last)) = (memory.first(), memory.last()) {
        if last.processes > first.processes + GROWTH_MOST {
            return Err(format!("the processes grow: {memory:?}").into());
        }
        if last.maps != first.maps {
            return Err(format!("the maps grow: {memory:?}").into());
        }
    }
    Ok(())
}

/// Median, 99th percentile and most.
pub(crate) type Lateness = [f64; 3];

/// By how much the time between two adverts was longer than it should be, in milliseconds.
fn lateness(adverts: &[crate::capture::Packet]) -> Result<Lateness> {
    let gaps = adverts.windows(2).map(|pair| pair[1].at.saturating_sub(pair[0].at));
    let mut late: Vec<f64> = gaps.map(|gap| (gap as f64 / 1e6 - ADVERT_MS).max(0.0)).collect();
    if late.len() < 100 {
        return Err(format!("only {} adverts were seen", adverts.len()).into());
    }
    late.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let place = (late.len() as f64 * part) as usize;
        (late[place.min(late.len() - 1)] * 1000.0).round() / 1000.0
    };
    Ok([at(0.5), at(0.99), at(1.0)])
}
