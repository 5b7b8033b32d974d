//! Schedulers that go round.

use crate::Candidate;

/// Round robin (`rr`): the next server in turn. Kernel: net/netfilter/ipvs/ip_vs_rr.c.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    /// Where the next look begins.
    next: usize,
}

impl RoundRobin {
    /// The position of the server whose turn it is; `None` when none is available.
    pub fn choose(&mut self, candidates: &[Candidate]) -> Option<usize> {
        let count = candidates.len();
        let start = if self.next < count { self.next } else { 0 };
        let chosen =
            (start..start + count).map(|n| n % count).find(|n| candidates[*n].is_available())?;
        self.next = chosen + 1;
        Some(chosen)
    }

    /// A server was put before all others.
    pub fn handle_added(&mut self) {
        if self.next > 0 {
            self.next += 1;
        }
    }

    /// The server at a position went: if it was the last one chosen, the round goes on from the
    /// one before it. Kernel: ip_vs_rr_del_dest.
    pub fn handle_removed(&mut self, position: usize) {
        if self.next > position {
            self.next -= 1;
        }
    }
}

/// Weighted round robin (`wrr`), interleaved: the rounds go down from the greatest weight in
/// steps of the greatest common divisor, and each round visits the servers whose weight is at
/// least the current one. Kernel: net/netfilter/ipvs/ip_vs_wrr.c.
#[derive(Clone, Debug, Default)]
pub struct WeightedRoundRobin {
    next: usize,
    current: u32,
}

impl WeightedRoundRobin {
    /// The servers or their weights changed: begins at the first again, and keeps the current
    /// weight as far as the new ones allow. Kernel: ip_vs_wrr_dest_changed.
    pub fn handle_change(&mut self, candidates: &[Candidate]) {
        self.next = 0;
        let (greatest, step) = steps(candidates).unwrap_or_default();
        self.current = match self.current {
            0 => greatest,
            current if current > greatest => greatest,
            current if step > 1 => current / step * step + 1,
            current => current,
        };
    }

    /// The position of the server whose turn it is; `None` when none is available.
    pub fn choose(&mut self, candidates: &[Candidate]) -> Option<usize> {
        let (greatest, step) = steps(candidates)?;
        if self.current == 0 || self.current > greatest {
            self.current = greatest;
        }
        if !candidates.iter().any(Candidate::is_available) {
            // The kernel's search ends at the head, or in the last round where it began.
            if self.next == 0 || self.current > step {
                *self = WeightedRoundRobin { next: 0, current: greatest };
            }
            return None;
        }
        loop {
            let rest = candidates.iter().enumerate().skip(self.next);
            let turn =
                |(_, one): &(usize, &Candidate)| one.is_available() && one.weight >= self.current;
            if let Some((chosen, _)) = rest.into_iter().find(turn) {
                self.next = chosen + 1;
                return Some(chosen);
            }
            self.next = 0;
            self.current = match self.current.saturating_sub(step) {
                0 => greatest,
                lower => lower,
            };
        }
    }
}

/// The current weight that a cycle begins with, the lowest at which the heaviest are visited
/// alone, and the step; `None` when no server has a weight.
fn steps(candidates: &[Candidate]) -> Option<(u32, u32)> {
    let greatest = candidates.iter().map(|one| one.weight).max().filter(|most| *most > 0)?;
    let step = candidates.iter().fold(0, |step, one| common_divisor(step, one.weight));
    Some((greatest - (step - 1), step))
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(weights: &[u32]) -> Vec<Candidate> {
        weights.iter().map(|weight| Candidate { weight: *weight, ..Default::default() }).collect()
    }

    fn sequence(weights: &[u32], length: usize) -> String {
        let (servers, mut scheduler) = (servers(weights), WeightedRoundRobin::default());
        let letter = |_| char::from(b'A' + scheduler.choose(&servers).unwrap() as u8);
        (0..length).map(letter).collect()
    }

    #[test]
    fn weights_4_3_2_interleave_as_the_books_say() {
        assert_eq!(sequence(&[4, 3, 2], 9), "AABABCABC");
    }

    #[test]
    fn each_server_gets_its_weight_in_every_cycle() {
        for weights in [&[1, 1, 1][..], &[5, 0, 10], &[6, 2, 4], &[100, 1], &[7, 3, 3, 1]] {
            let divisor = weights.iter().fold(0, |sum, weight| common_divisor(sum, *weight));
            let cycle = weights.iter().map(|weight| weight / divisor).sum::<u32>() as usize;
            for rounds in 1..3 {
                let sequence = sequence(weights, cycle * rounds);
                for (index, weight) in weights.iter().enumerate() {
                    let letter = char::from(b'A' + index as u8);
                    let turns = sequence.chars().filter(|one| *one == letter).count();
                    assert_eq!(turns, (weight / divisor) as usize * rounds, "{weights:?}");
                }
            }
        }
    }

    #[test]
    fn a_change_begins_at_the_first_server_with_the_weight_it_had() {
        let mut scheduler = WeightedRoundRobin::default();
        scheduler.handle_change(&servers(&[3]));
        scheduler.handle_change(&servers(&[2, 3]));
        let turns: Vec<_> = (0..3).map(|_| scheduler.choose(&servers(&[2, 3])).unwrap()).collect();
        assert_eq!(turns, [0, 1, 1], "one alone has the step 3, so the weight was 1");
    }

    #[test]
    fn plain_round_robin_takes_turns_and_passes_over_weight_zero() {
        let (servers, mut scheduler) = (servers(&[1, 0, 9]), RoundRobin::default());
        let turns: Vec<_> = (0..4).map(|_| scheduler.choose(&servers).unwrap()).collect();
        assert_eq!(turns, [0, 2, 0, 2]);
    }

    #[test]
    fn a_full_server_misses_its_turn_however_heavy_it_is() {
        let mut servers = servers(&[1, 60_000, 2]);
        servers[1].overloaded = true;
        let mut weighted = WeightedRoundRobin::default();
        let turns: Vec<_> = (0..6).map(|_| weighted.choose(&servers).unwrap()).collect();
        assert_eq!(turns, [2, 0, 2, 2, 0, 2]);
        let mut plain = RoundRobin::default();
        let turns: Vec<_> = (0..4).map(|_| plain.choose(&servers).unwrap()).collect();
        assert_eq!(turns, [0, 2, 0, 2]);
    }

    #[test]
    fn when_all_are_full_the_cycle_begins_again_but_for_its_last_round() {
        let mut all = servers(&[2, 1]);
        let mut scheduler = WeightedRoundRobin::default();
        let full: Vec<_> = all.iter().map(|one| Candidate { overloaded: true, ..*one }).collect();
        assert_eq!(scheduler.choose(&all), Some(0));
        assert_eq!(scheduler.choose(&full), None);
        assert_eq!((scheduler.choose(&all), scheduler.choose(&all)), (Some(0), Some(0)));
        assert_eq!(scheduler.choose(&full), None, "the second of the last round is next");
        assert_eq!(scheduler.choose(&all), Some(1));
        all.clear();
        assert_eq!(scheduler.choose(&all), None);
    }

    #[test]
    fn round_robin_goes_on_where_it_was_when_servers_come_and_go() {
        let mut scheduler = RoundRobin::default();
        let two = servers(&[1, 1]);
        assert_eq!(scheduler.choose(&two), Some(0));
        scheduler.handle_added();
        assert_eq!(scheduler.choose(&servers(&[1, 1, 1])), Some(2));
        scheduler.handle_removed(2);
        assert_eq!(scheduler.choose(&two), Some(0));
    }

    #[test]
    fn nobody_is_chosen_when_nobody_has_a_weight() {
        assert_eq!(RoundRobin::default().choose(&servers(&[0, 0])), None);
        assert_eq!(RoundRobin::default().choose(&[]), None);
        assert_eq!(WeightedRoundRobin::default().choose(&servers(&[0])), None);
    }
}
