//! Follows a network, and fails when it is without a holder, or with several, for too long.

use std::time::Duration;

use model::Time;
use sim::vrrp::Network;

use crate::ONE;

/// Frames on their way.
const BREATH: Duration = Duration::from_millis(10);

/// Since when something is wrong, and how long it may be.
pub(crate) struct Watch {
    wrong_since: Option<Time>,
    limit: Duration,
}

impl Watch {
    /// Nothing has happened yet.
    pub(crate) fn new(network: &Network) -> Watch {
        Watch { wrong_since: None, limit: network.master_down_interval() + BREATH }
    }

    /// Does something to the network: from here on it has one master-down interval, of before or
    /// after, to find one master.
    pub(crate) fn disturb(&mut self, network: &mut Network, what: impl FnOnce(&mut Network)) {
        let before = network.master_down_interval();
        what(network);
        self.limit = before.max(network.master_down_interval()) + BREATH;
        self.wrong_since = None;
    }

    /// Lets time pass and looks at every moment of it.
    pub(crate) fn run(&mut self, network: &mut Network, span: Duration, seed: u64) {
        let until = network.now() + span;
        loop {
            let more = network.step(until);
            let holders = network.holders(ONE).len();
            let able = (0..network.stations()).any(|station| network.is_able(station, ONE));
            if holders == usize::from(able) {
                self.wrong_since = None;
            } else {
                let since = *self.wrong_since.get_or_insert(network.now());
                let wrong = network.now().since(since);
                assert!(wrong <= self.limit, "seed {seed}: {holders} holders for {wrong:?}");
            }
            if !more {
                return;
            }
        }
    }
}
