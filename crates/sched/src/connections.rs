//! Schedulers that look at the connections a server has.

use crate::Candidate;

/// An active connection weighs as much as this many inactive ones. Kernel:
/// ip_vs_dest_conn_overhead.
const ACTIVE: u64 = 256;

pub(crate) fn overhead(candidate: &Candidate) -> u64 {
    u64::from(candidate.active) * ACTIVE + u64::from(candidate.inactive)
}

/// The delay of the connection to come, its own part included. Kernel: ip_vs_sed_dest_overhead.
fn delay(candidate: &Candidate) -> u64 {
    u64::from(candidate.active) + 1
}

/// The available server with the least `load / share`; of equals the first.
pub(crate) fn least(
    candidates: &[Candidate],
    load: impl Fn(&Candidate) -> u64,
    share: impl Fn(&Candidate) -> u32,
) -> Option<usize> {
    let mut least: Option<(usize, u64, u64)> = None;
    for (index, one) in candidates.iter().enumerate().filter(|(_, one)| one.is_available()) {
        let (load, share) = (load(one), u64::from(share(one)));
        if least.is_none_or(|(_, best, its_share)| best * share > load * its_share) {
            least = Some((index, load, share));
        }
    }
    least.map(|(index, ..)| index)
}

/// Least connection (`lc`): the server with the least `256 active + inactive`; of equals the
/// first. Kernel: net/netfilter/ipvs/ip_vs_lc.c.
pub fn least_connection(candidates: &[Candidate]) -> Option<usize> {
    least(candidates, overhead, |_| 1)
}

/// Weighted least connection (`wlc`): the server with the least `(256 active + inactive) /
/// weight`; of equals the first. Kernel: net/netfilter/ipvs/ip_vs_wlc.c.
pub fn weighted_least_connection(candidates: &[Candidate]) -> Option<usize> {
    least(candidates, overhead, |one| one.weight)
}

/// Shortest expected delay (`sed`): the server with the least `(active + 1) / weight`; of equals
/// the first. Kernel: net/netfilter/ipvs/ip_vs_sed.c.
pub fn shortest_delay(candidates: &[Candidate]) -> Option<usize> {
    least(candidates, delay, |one| one.weight)
}

/// Never queue (`nq`): the first server without an active connection, else as
/// [`shortest_delay`]. Kernel: net/netfilter/ipvs/ip_vs_nq.c.
pub fn never_queue(candidates: &[Candidate]) -> Option<usize> {
    let idle = candidates.iter().position(|one| one.is_available() && one.active == 0);
    idle.or_else(|| shortest_delay(candidates))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{Numbers, full, server};

    #[test]
    fn load_is_measured_against_weight() {
        let servers = [server(1, 10, 0), server(4, 30, 0), server(2, 21, 0)];
        assert_eq!(weighted_least_connection(&servers), Some(1));
        assert_eq!(least_connection(&servers), Some(0), "lc does not look at the weights");
    }

    #[test]
    fn an_active_connection_outweighs_255_inactive_ones() {
        for choose in [least_connection, weighted_least_connection] {
            assert_eq!(choose(&[server(1, 1, 0), server(1, 0, 255)]), Some(1));
            assert_eq!(choose(&[server(1, 1, 0), server(1, 0, 257)]), Some(0));
        }
    }

    #[test]
    fn the_delay_counts_the_connection_to_come_and_no_inactive_ones() {
        let servers = [server(1, 0, 0), server(3, 1, 9000)];
        assert_eq!(shortest_delay(&servers), Some(1), "1/1 is more than 2/3");
        assert_eq!(never_queue(&servers), Some(0), "the idle one at once");
        assert_eq!(never_queue(&[server(1, 1, 0), server(3, 2, 0)]), Some(1));
    }

    #[test]
    fn of_equals_the_first_and_never_one_that_is_full_or_drains() {
        for choose in [least_connection, weighted_least_connection, shortest_delay, never_queue] {
            let servers = [server(0, 0, 0), full(9, 0, 0), server(1, 2, 0), server(1, 2, 0)];
            assert_eq!(choose(&servers), Some(2));
            assert_eq!(choose(&servers[..2]), None);
            assert_eq!(choose(&[]), None);
        }
    }

    /// The kernel takes the first available one and then goes through the others.
    #[test]
    fn none_has_less_than_the_one_chosen_and_none_before_it_as_little() {
        let mut numbers = Numbers::new(1);
        for _ in 0..20_000 {
            let servers = numbers.servers();
            let Some(chosen) = weighted_least_connection(&servers) else {
                assert!(servers.iter().all(|one| !one.is_available()));
                continue;
            };
            let its = &servers[chosen];
            for (index, one) in servers.iter().enumerate().filter(|(_, one)| one.is_available()) {
                let (other, best) =
                    (overhead(one) * u64::from(its.weight), overhead(its) * u64::from(one.weight));
                assert!(if index < chosen { other > best } else { other >= best }, "{servers:?}");
            }
        }
    }
}
