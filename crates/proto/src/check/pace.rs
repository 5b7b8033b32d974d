//! When a check runs, and how its results become a verdict ([`model::check::Pace`]).

use core::time::Duration;

use model::Time;
use model::check::Pace;

/// No pace, however configured, makes a checker spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Pacer {
    pace: Pace,
    up: bool,
    /// Results in a row that disagree with `up`.
    against: u32,
    started: Time,
}

impl Pacer {
    pub(super) fn new(pace: Pace, up: bool) -> Pacer {
        Pacer { pace, up, against: 0, started: Time::ZERO }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        if self.up { self.against } else { 0 }
    }

    /// A point within the warm-up, spread evenly over seeds.
    pub(super) fn first_wait(&self, seed: u64) -> Duration {
        let span = u64::try_from(self.pace.warmup.as_nanos()).unwrap_or(u64::MAX);
        // The high half of a 64 x 64 bit product maps the seed onto 0..span without bias.
        Duration::from_nanos(((u128::from(scatter(seed)) * u128::from(span)) >> 64) as u64)
    }

    pub(super) fn postponed_wait(&self) -> Duration {
        self.pace.retry_interval.max(SHORTEST_WAIT)
    }

    pub(super) fn handle_start(&mut self, now: Time) {
        self.started = now;
    }

    /// Returns whether the verdict changed, and when the next probe begins.
    pub(super) fn handle_result(&mut self, now: Time, passed: bool) -> (bool, Time) {
        let agrees = passed == self.up;
        self.against = if agrees { 0 } else { self.against + 1 };
        let needed = if self.up { self.pace.fall } else { self.pace.rise };
        let changed = !agrees && self.against >= needed.max(1);
        if changed {
            self.up = passed;
            self.against = 0;
        }
        let settled =
            self.started + if self.up { self.pace.interval } else { self.pace.down_interval };
        let next = if self.against > 0 { now + self.pace.retry_interval } else { settled };
        (changed, next.max(now + SHORTEST_WAIT))
    }
}

/// Neighbouring seeds give distant numbers (the finaliser of SplitMix64).
fn scatter(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        interval: Duration::from_secs(10),
        down_interval: Duration::from_secs(4),
        retry_interval: Duration::from_secs(1),
        rise: 2,
        fall: 3,
        warmup: Duration::from_secs(10),
        initially_up: true,
    };

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn three_failures_take_it_down_and_two_successes_bring_it_up() {
        let mut pacer = Pacer::new(PACE, true);
        // (passed, verdict changes, up afterwards, seconds until the next start)
        let story = [
            (true, false, true, 10),
            (false, false, true, 1),
            (false, false, true, 1),
            (true, false, true, 10),
            (false, false, true, 1),
            (false, false, true, 1),
            (false, true, false, 4),
            (false, false, false, 4),
            (true, false, false, 1),
            (false, false, false, 4),
            (true, false, false, 1),
            (true, true, true, 10),
        ];
        let mut now = at(100);
        for (step, (passed, changes, up, wait)) in story.into_iter().enumerate() {
            pacer.handle_start(now);
            let (changed, next) = pacer.handle_result(now, passed);
            assert_eq!((changed, pacer.is_up()), (changes, up), "step {step}");
            assert_eq!(next.since(now), Duration::from_secs(wait), "step {step}");
            now = next;
        }
    }

    #[test]
    fn the_interval_runs_from_the_start_and_the_retry_from_the_end() {
        let mut pacer = Pacer::new(PACE, true);
        pacer.handle_start(at(0));
        assert_eq!(pacer.handle_result(at(3), true).1, at(10));
        pacer.handle_start(at(10));
        assert_eq!(pacer.handle_result(at(13), false).1, at(14));
        pacer.handle_start(at(14));
        assert_eq!(pacer.handle_result(at(44), true).1, at(44) + SHORTEST_WAIT);
    }

    #[test]
    fn seeds_spread_first_probes_evenly_over_the_warmup() {
        let pacer = Pacer::new(PACE, true);
        let mut buckets = [0u32; 10];
        for seed in 0..1000 {
            let wait = pacer.first_wait(seed);
            assert!(wait < PACE.warmup);
            buckets[wait.as_secs() as usize] += 1;
        }
        assert!(buckets.iter().all(|&count| (60..=140).contains(&count)), "{buckets:?}");
        let no_warmup = Pace { warmup: Duration::ZERO, ..PACE };
        assert_eq!(Pacer::new(no_warmup, true).first_wait(42), Duration::ZERO);
    }
}
