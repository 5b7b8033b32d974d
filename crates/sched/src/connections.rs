//! Schedulers that look at the connections a server has.

use crate::Candidate;

/// An active connection weighs as much as this many inactive ones. Kernel:
/// ip_vs_dest_conn_overhead.
const ACTIVE: u64 = 256;

fn overhead(candidate: &Candidate) -> u64 {
    u64::from(candidate.active) * ACTIVE + u64::from(candidate.inactive)
}

/// Weighted least connection (`wlc`): the server with the least `(256 active + inactive) /
/// weight`; of equals the first. Kernel: net/netfilter/ipvs/ip_vs_wlc.c.
pub fn least_connection(candidates: &[Candidate]) -> Option<usize> {
    let mut least: Option<(usize, &Candidate)> = None;
    for (index, candidate) in candidates.iter().enumerate().filter(|(_, one)| one.weight > 0) {
        let better = least.is_none_or(|(_, best)| {
            overhead(best) * u64::from(candidate.weight)
                > overhead(candidate) * u64::from(best.weight)
        });
        if better {
            least = Some((index, candidate));
        }
    }
    least.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(weight: u32, active: u32, inactive: u32) -> Candidate {
        Candidate { weight, active, inactive }
    }

    #[test]
    fn load_is_measured_against_weight() {
        let servers = [server(1, 10, 0), server(4, 30, 0), server(2, 21, 0)];
        assert_eq!(least_connection(&servers), Some(1));
    }

    #[test]
    fn an_active_connection_outweighs_255_inactive_ones() {
        assert_eq!(least_connection(&[server(1, 1, 0), server(1, 0, 255)]), Some(1));
        assert_eq!(least_connection(&[server(1, 1, 0), server(1, 0, 257)]), Some(0));
    }

    #[test]
    fn of_equals_the_first_and_never_one_of_weight_zero() {
        assert_eq!(least_connection(&[server(0, 0, 0), server(1, 2, 0), server(1, 2, 0)]), Some(1));
        assert_eq!(least_connection(&[server(0, 0, 0)]), None);
        assert_eq!(least_connection(&[]), None);
    }
}
