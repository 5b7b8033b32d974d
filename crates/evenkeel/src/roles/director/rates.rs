//! What is counted per second, estimated as IPVS does: every two seconds a quarter of the way from
//! the former estimate to what these two seconds had. Kernel: net/netfilter/ipvs/ip_vs_est.c.

use std::collections::HashMap;
use std::time::Duration;

use director::Engine;
use model::Time;
use model::layer4::{Endpoint, ServiceKey};
use model::status::Counters;

/// From one look at a destination to the next.
const ROUND: Duration = Duration::from_secs(2);
/// Destinations looked at in a row: a system call each, and less than half a millisecond together.
const SLICE: usize = 200;
/// Pause between two slices: 65,536 destinations take a second and a half.
const PAUSE: Duration = Duration::from_millis(4);
/// Fractional bits of an estimate.
const FRACTION: u32 = 10;

/// Estimates of everything in the tables.
#[derive(Debug, Default)]
pub(super) struct Rates {
    estimates: HashMap<(ServiceKey, Endpoint), Estimate>,
    /// What is left of this round.
    left: Vec<(ServiceKey, Endpoint)>,
    round: Time,
    next: Time,
}

#[derive(Clone, Copy, Debug)]
struct Estimate {
    at: Time,
    last: Counters,
    /// Per second, with [`FRACTION`] bits.
    scaled: [i64; 5],
}

fn figures(counters: &Counters) -> [u64; 5] {
    let Counters { connections, packets_in, packets_out, bytes_in, bytes_out } = *counters;
    [connections, packets_in, packets_out, bytes_in, bytes_out]
}

fn counters([connections, packets_in, packets_out, bytes_in, bytes_out]: [u64; 5]) -> Counters {
    Counters { connections, packets_in, packets_out, bytes_in, bytes_out }
}

impl Estimate {
    fn new(at: Time, last: Counters) -> Estimate {
        Estimate { at, last, scaled: [0; 5] }
    }

    fn step(&mut self, now: Time, counters: Counters) {
        let nanoseconds = now.since(self.at).as_nanos().max(1);
        let pairs = figures(&counters).into_iter().zip(figures(&self.last));
        for (scaled, (now, before)) in self.scaled.iter_mut().zip(pairs) {
            // Counters that begin anew: nothing is known of what was before.
            let more = u128::from(now.saturating_sub(before));
            let rate = (more << FRACTION) * 1_000_000_000 / nanoseconds;
            let rate = i64::try_from(rate).unwrap_or(i64::MAX / 2);
            *scaled += (rate - *scaled) >> 2;
        }
        (self.at, self.last) = (now, counters);
    }

    fn rounded(&self) -> [u64; 5] {
        let half = (1 << (FRACTION - 1)) - 1;
        self.scaled.map(|scaled| ((scaled + half) >> FRACTION).max(0) as u64)
    }
}

impl Rates {
    pub(super) fn next_deadline(&self) -> Time {
        self.next
    }

    /// Looks at some destinations, if it is time.
    pub(super) fn handle_timeout(&mut self, now: Time, engine: &dyn Engine) {
        if now < self.next {
            return;
        }
        if self.left.is_empty() {
            self.begin(now, engine);
        }
        let rest = self.left.len().saturating_sub(SLICE);
        for (key, endpoint) in self.left.split_off(rest) {
            let counters = engine.destination_counters(key, endpoint);
            let fresh = || Estimate::new(now, counters);
            let estimate = self.estimates.entry((key, endpoint)).or_insert_with(fresh);
            if estimate.at < now {
                estimate.step(now, counters);
            }
        }
        self.next = match self.left.is_empty() {
            true => self.round + ROUND,
            false => now + PAUSE,
        };
    }

    fn begin(&mut self, now: Time, engine: &dyn Engine) {
        let tables = engine.tables();
        let places = tables.iter().flat_map(|(key, table)| {
            table.destinations.iter().map(move |destination| (*key, destination.endpoint))
        });
        self.left = places.collect();
        self.round = now;
        // Those that left the tables were looked at before the last round.
        let old = ROUND * 2;
        self.estimates.retain(|_, estimate| now.since(estimate.at) < old);
    }

    /// Of a real server of a service.
    pub(super) fn of_destination(&self, key: &ServiceKey, endpoint: Endpoint) -> Counters {
        let found = self.estimates.get(&(*key, endpoint));
        found.map_or_else(Counters::default, |estimate| counters(estimate.rounded()))
    }

    /// Of these real servers together.
    pub(super) fn of_service(
        &self,
        key: &ServiceKey,
        servers: impl Iterator<Item = Endpoint>,
    ) -> Counters {
        let mut sum = [0i64; 5];
        for estimate in servers.filter_map(|server| self.estimates.get(&(*key, server))) {
            sum.iter_mut().zip(estimate.scaled).for_each(|(sum, one)| *sum += one);
        }
        let sum = Estimate { scaled: sum, ..Estimate::new(Time::ZERO, Counters::default()) };
        counters(sum.rounded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(count: u64) -> Counters {
        Counters { connections: count, ..Counters::default() }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn an_estimate_goes_a_quarter_of_the_way_every_two_seconds_as_in_ipvs() {
        let mut estimate = Estimate::new(at(0), connections(0));
        // 100 in a second: cps += (rate - cps) >> 2, by hand.
        let mut shown = Vec::new();
        for step in 1..=5 {
            estimate.step(at(2 * step), connections(200 * step));
            shown.push(estimate.rounded()[0]);
        }
        assert_eq!(shown, [25, 44, 58, 68, 76]);
        for step in 6..=40 {
            estimate.step(at(2 * step), connections(1000));
        }
        assert_eq!(estimate.rounded()[0], 0);
    }

    #[test]
    fn a_late_look_counts_the_time_that_passed_and_zeroed_counters_are_no_rate() {
        let mut estimate = Estimate::new(at(0), connections(0));
        estimate.step(at(4), connections(400));
        assert_eq!(estimate.rounded()[0], 25);
        estimate.step(at(6), connections(0));
        assert_eq!(estimate.rounded()[0], 19);
    }
}
