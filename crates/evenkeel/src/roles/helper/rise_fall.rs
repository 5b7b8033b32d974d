//! How many results in a row it takes (`rise`, `fall`), as Keepalived counts.

/// Counts the results of a `vrrp_script`. While up the count goes from `rise + fall - 1` down to
/// `rise`, one more failure takes it down; while down it goes from 0 up to `rise - 1`, one more
/// success brings it up. The first result of all decides at once, unless it began as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RiseFall {
    rise: u64,
    fall: u64,
    count: u64,
    decided: bool,
}

impl RiseFall {
    /// A count that knows nothing yet, or begins as failed (`init_fail`). Zero counts as one.
    pub(super) fn new(rise: u32, fall: u32, init_fail: bool) -> RiseFall {
        let (rise, fall) = (u64::from(rise.max(1)), u64::from(fall.max(1)));
        let count = if init_fail { 0 } else { rise - 1 };
        RiseFall { rise, fall, count, decided: init_fail }
    }

    /// The same state under other numbers, for a reload.
    pub(super) fn with(self, rise: u32, fall: u32) -> RiseFall {
        let mut new = RiseFall::new(rise, fall, false);
        if let Some(up) = self.up() {
            new.decided = true;
            new.count = if up { new.full() } else { 0 };
        }
        new
    }

    /// Up, down, or not known yet.
    pub(super) fn up(self) -> Option<bool> {
        self.decided.then_some(self.count >= self.rise)
    }

    /// Takes in a result; what it is now, if that is something else than before.
    pub(super) fn handle_result(&mut self, success: bool) -> Option<bool> {
        let before = self.up();
        if success {
            self.count = if self.count + 1 < self.rise { self.count + 1 } else { self.full() };
        } else {
            self.count = if self.count > self.rise { self.count - 1 } else { 0 };
        }
        self.decided = true;
        self.up().filter(|_| self.up() != before)
    }

    fn full(self) -> u64 {
        self.rise + self.fall - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(mut counter: RiseFall, results: &str) -> String {
        let told = |result| match counter.handle_result(result == '+') {
            Some(true) => 'U',
            Some(false) => 'D',
            None => '.',
        };
        results.chars().map(told).collect()
    }

    #[test]
    fn the_first_result_decides_at_once() {
        assert_eq!(changes(RiseFall::new(3, 2, false), "+"), "U");
        assert_eq!(changes(RiseFall::new(3, 2, false), "-"), "D");
    }

    #[test]
    fn init_fail_needs_every_rise() {
        let counter = RiseFall::new(3, 2, true);
        assert_eq!(counter.up(), Some(false));
        assert_eq!(changes(counter, "++-+++"), ".....U");
    }

    #[test]
    fn rise_and_fall_are_results_in_a_row() {
        assert_eq!(changes(RiseFall::new(2, 3, false), "+--+---+-++"), "U.....D...U");
        assert_eq!(changes(RiseFall::new(1, 1, false), "+-+-"), "UDUD");
    }

    #[test]
    fn a_reload_keeps_the_state_and_not_the_count() {
        let mut counter = RiseFall::new(1, 3, false);
        counter.handle_result(true);
        counter.handle_result(false);
        assert_eq!(changes(counter.with(2, 2), "--"), ".D");
        assert_eq!(RiseFall::new(1, 1, false).with(2, 2).up(), None);
        assert_eq!(changes(RiseFall::new(1, 1, true).with(2, 2), "++"), ".U");
    }

    #[test]
    fn numbers_at_their_limits_do_not_overflow() {
        assert_eq!(changes(RiseFall::new(u32::MAX, u32::MAX, false), "+-"), "U.");
        assert_eq!(changes(RiseFall::new(0, 0, false), "+-"), "UD");
    }
}
