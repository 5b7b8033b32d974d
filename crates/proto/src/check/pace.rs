//! When a check runs, and how its results become a verdict ([`model::check::Pace`]).

use core::time::Duration;

use model::Time;
use model::check::Pace;

use super::random::scatter;

/// No pace, however configured, makes a checker spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Pacer {
    up: bool,
    /// There was no result yet: the first failure counts at once, without retries. Both references
    /// have it so (Keepalived: check_data.c "one failure is enough initially"; HAProxy starts a
    /// server with its health at `rise`).
    untried: bool,
    /// Results in a row that disagree with `up`.
    against: u32,
    started: Time,
}

impl Pacer {
    pub(super) fn new(up: bool, untried: bool, failures: u32) -> Pacer {
        // Successes of a server that is down are not carried over: it has to show them again.
        let against = if up { failures } else { 0 };
        Pacer { up, untried, against, started: Time::ZERO }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    pub(super) fn is_untried(&self) -> bool {
        self.untried
    }

    /// Failures in a row since the server was last well, of those that count towards taking it
    /// down.
    pub(super) fn failures(&self) -> u32 {
        if self.up { self.against } else { 0 }
    }

    pub(super) fn handle_start(&mut self, now: Time) {
        self.started = now;
    }

    /// Returns whether the verdict changed, and when the next probe begins.
    pub(super) fn handle_result(&mut self, pace: &Pace, now: Time, passed: bool) -> (bool, Time) {
        let agrees = passed == self.up;
        self.against = if agrees { 0 } else { self.against.saturating_add(1) };
        let needed = match (self.up, self.untried) {
            (true, true) => 1,
            (true, false) => pace.fall,
            (false, _) => pace.rise,
        };
        let changed = !agrees && self.against >= needed.max(1);
        if changed {
            self.up = passed;
            self.against = 0;
        }
        self.untried = false;
        let next = if self.against > 0 { now + pace.retry_interval } else { self.settled(pace) };
        (changed, next.max(now + SHORTEST_WAIT))
    }

    /// One of several went well, and the others follow: at once when there is no time to lose.
    pub(super) fn handle_part(&mut self, pace: &Pace, now: Time, hurry: bool) -> Time {
        if self.up {
            self.against = 0;
        }
        let next = if hurry { now } else { self.settled(pace) };
        next.max(now + SHORTEST_WAIT)
    }

    /// Somebody knows, so that nothing has to be tried again. Returns whether the verdict changed.
    pub(super) fn handle_told(&mut self, up: bool) -> bool {
        let changed = self.up != up;
        (self.up, self.untried, self.against) = (up, false, 0);
        changed
    }

    fn settled(&self, pace: &Pace) -> Time {
        self.started + if self.up { pace.interval } else { pace.down_interval }
    }
}

/// A point within the warm-up, spread evenly over seeds.
pub(super) fn first_wait(pace: &Pace, seed: u64) -> Duration {
    let span = u64::try_from(pace.warmup.as_nanos()).unwrap_or(u64::MAX);
    // The high half of a 64 x 64 bit product maps the seed onto 0..span without bias.
    Duration::from_nanos(((u128::from(scatter(seed)) * u128::from(span)) >> 64) as u64)
}

/// How long a try waits that had to be put off or is to be made again.
pub(super) fn retry_wait(pace: &Pace) -> Duration {
    pace.retry_interval.max(SHORTEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        down_interval: Duration::from_secs(4),
        retry_interval: Duration::from_secs(1),
        rise: 2,
        fall: 3,
        warmup: Duration::from_secs(10),
        ..Pace::every(Duration::from_secs(10))
    };

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn three_failures_take_it_down_and_two_successes_bring_it_up() {
        let mut pacer = Pacer::new(true, false, 0);
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
            let (changed, next) = pacer.handle_result(&PACE, now, passed);
            assert_eq!((changed, pacer.is_up()), (changes, up), "step {step}");
            assert_eq!(next.since(now), Duration::from_secs(wait), "step {step}");
            now = next;
        }
    }

    #[test]
    fn the_very_first_failure_counts_without_retries_and_no_later_one_does() {
        let mut pacer = Pacer::new(true, true, 0);
        assert!(pacer.handle_result(&PACE, at(0), false).0);
        let mut pacer = Pacer::new(true, true, 0);
        pacer.handle_result(&PACE, at(0), true);
        assert!(!pacer.handle_result(&PACE, at(10), false).0);
    }

    #[test]
    fn the_interval_runs_from_the_start_and_the_retry_from_the_end() {
        let mut pacer = Pacer::new(true, false, 0);
        pacer.handle_start(at(0));
        assert_eq!(pacer.handle_result(&PACE, at(3), true).1, at(10));
        pacer.handle_start(at(10));
        assert_eq!(pacer.handle_result(&PACE, at(13), false).1, at(14));
        pacer.handle_start(at(14));
        assert_eq!(pacer.handle_result(&PACE, at(44), true).1, at(44) + SHORTEST_WAIT);
    }

    #[test]
    fn seeds_spread_first_probes_evenly_over_the_warmup() {
        let mut buckets = [0u32; 10];
        for seed in 0..1000 {
            let wait = first_wait(&PACE, seed);
            assert!(wait < PACE.warmup);
            buckets[wait.as_secs() as usize] += 1;
        }
        assert!(buckets.iter().all(|&count| (60..=140).contains(&count)), "{buckets:?}");
        let no_warmup = Pace { warmup: Duration::ZERO, ..PACE };
        assert_eq!(first_wait(&no_warmup, 42), Duration::ZERO);
    }
}
