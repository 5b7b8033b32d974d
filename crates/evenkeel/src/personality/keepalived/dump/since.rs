//! Since when instances are in their states, by the wall clock.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::status::{InstanceStatus, VrrpReport, VrrpState};

/// Difference between two calculations of the same moment, seconds: reports have whole seconds.
const SAME_MOMENT: f64 = 2.0;

/// When each instance entered its state. Readers of the files take a change of this moment for a
/// transition: it stays the same from one file to the next.
#[derive(Debug, Default)]
pub(crate) struct Since(BTreeMap<String, Moment>);

#[derive(Clone, Copy, Debug)]
struct Moment {
    state: VrrpState,
    /// Times it became master and stopped being it.
    turns: u64,
    /// Seconds since the epoch.
    at: f64,
}

impl Since {
    /// Takes in a report made now. Its counters are those since the start.
    pub(crate) fn see(&mut self, now: SystemTime, report: &VrrpReport) {
        let former = std::mem::take(&mut self.0);
        for status in &report.instances {
            let moment = moment(now, status);
            let known = former.get(&status.name).filter(|known| known.is(&moment)).copied();
            self.0.insert(status.name.clone(), known.unwrap_or(moment));
        }
    }

    /// Seconds since the epoch.
    pub(super) fn at(&self, name: &str) -> f64 {
        self.0.get(name).map_or(0.0, |moment| moment.at)
    }
}

impl Moment {
    fn is(&self, other: &Moment) -> bool {
        self.state == other.state
            && self.turns == other.turns
            && (self.at - other.at).abs() < SAME_MOMENT
    }
}

fn moment(now: SystemTime, status: &InstanceStatus) -> Moment {
    let age = Duration::from_secs(status.state_seconds);
    let since = now.checked_sub(age).unwrap_or(UNIX_EPOCH);
    Moment {
        state: status.state,
        turns: status.became_master + status.released_master,
        at: since.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_stays_the_same_until_something_happens() {
        let mut since = Since::default();
        let mut see = |millis: u64, state, state_seconds, became_master| {
            let status = InstanceStatus {
                state,
                state_seconds,
                became_master,
                ..super::super::tests::status()
            };
            let report = VrrpReport { instances: vec![status], ..VrrpReport::default() };
            since.see(UNIX_EPOCH + Duration::from_millis(millis), &report);
            since.at("VI_1")
        };
        let first = see(10_400, VrrpState::Master, 5, 1);
        assert_eq!(first, 5.4);
        assert_eq!(see(10_900, VrrpState::Master, 5, 1), first);
        assert_eq!(see(12_100, VrrpState::Master, 7, 1), first);
        // It was backup in between.
        assert_eq!(see(12_300, VrrpState::Master, 0, 2), 12.3);
        assert_eq!(see(12_400, VrrpState::Backup, 0, 2), 12.4);
    }
}
