//! A LAN: what one station sends reaches the others after a short while, or is lost, or is kept
//! from crossing a partition.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::Time;

use crate::random::Random;

/// A frame on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Who sent it.
    pub from: usize,
    /// Who gets it.
    pub to: usize,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The network of `stations` stations.
#[derive(Debug)]
pub struct Lan {
    stations: usize,
    /// Frames in 100 that are lost.
    pub loss_percent: u64,
    /// Longest time on the way.
    pub latency: Duration,
    cut_off: BTreeSet<usize>,
    random: Random,
    /// By time of arrival, then in the order they were sent.
    on_the_way: BTreeMap<(Time, u64), Frame>,
    sent: u64,
}

impl Lan {
    /// A network without loss, with up to 1 ms of latency.
    pub fn new(stations: usize, random: Random) -> Lan {
        Lan {
            stations,
            loss_percent: 0,
            latency: Duration::from_millis(1),
            cut_off: BTreeSet::new(),
            random,
            on_the_way: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Cuts these stations off from the others (not from each other); frames on the way arrive.
    pub fn partition(&mut self, stations: &[usize]) {
        self.cut_off = stations.iter().copied().collect();
    }

    /// Sends a frame from one station to all others.
    pub fn broadcast(&mut self, now: Time, from: usize, bytes: &[u8]) {
        for to in (0..self.stations).filter(|to| *to != from) {
            let apart = self.cut_off.contains(&from) != self.cut_off.contains(&to);
            if apart || self.random.percent(self.loss_percent) {
                continue;
            }
            let span = (self.latency.as_nanos() as u64).max(1);
            let arrival = now + Duration::from_nanos(1 + self.random.below(span));
            self.sent += 1;
            let frame = Frame { from, to, bytes: bytes.to_vec() };
            self.on_the_way.insert((arrival, self.sent), frame);
        }
    }

    /// When the next frame arrives; [`Time::NEVER`] when none is on the way.
    pub fn next_arrival(&self) -> Time {
        self.on_the_way.keys().next().map_or(Time::NEVER, |(arrival, _)| *arrival)
    }

    /// A frame that has arrived by `now`.
    pub fn arrive(&mut self, now: Time) -> Option<Frame> {
        let first = self.on_the_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(lan: &mut Lan) -> Vec<(usize, usize)> {
        std::iter::from_fn(|| lan.arrive(Time::NEVER)).map(|f| (f.from, f.to)).collect()
    }

    #[test]
    fn a_broadcast_reaches_all_others_within_the_latency() {
        let mut lan = Lan::new(3, Random::new(1));
        lan.broadcast(Time::ZERO, 1, b"x");
        assert!(lan.next_arrival() > Time::ZERO);
        let mut got = Vec::new();
        while let Some(frame) = lan.arrive(Time::ZERO + lan.latency) {
            got.push(frame.to);
        }
        got.sort_unstable();
        assert_eq!(got, [0, 2]);
    }

    #[test]
    fn nothing_crosses_a_partition() {
        let mut lan = Lan::new(4, Random::new(1));
        lan.partition(&[0, 1]);
        lan.broadcast(Time::ZERO, 0, b"x");
        lan.broadcast(Time::ZERO, 3, b"y");
        let mut got = arrivals(&mut lan);
        got.sort_unstable();
        assert_eq!(got, [(0, 1), (3, 2)]);
    }

    #[test]
    fn all_is_lost_at_a_hundred_percent() {
        let mut lan = Lan::new(2, Random::new(1));
        lan.loss_percent = 100;
        lan.broadcast(Time::ZERO, 0, b"x");
        assert_eq!(arrivals(&mut lan), []);
    }
}
