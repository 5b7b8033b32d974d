//! Schedulers that fill the heaviest server first.

use crate::Candidate;
use crate::connections::least;

/// Weighted failover (`fo`): the available server with the greatest weight; of equals the first.
/// Kernel: net/netfilter/ipvs/ip_vs_fo.c.
pub fn failover(candidates: &[Candidate]) -> Option<usize> {
    least(candidates, |_| 1, |one| one.weight)
}

/// Weighted overflow (`ovf`): the server with the greatest weight among those with no more active
/// connections than their weight; of equals the first. Kernel: net/netfilter/ipvs/ip_vs_ovf.c.
pub fn overflow(candidates: &[Candidate]) -> Option<usize> {
    let mut heaviest: Option<(usize, u32)> = None;
    for (index, one) in candidates.iter().enumerate() {
        if !one.is_available() || one.active > one.weight {
            continue;
        }
        if heaviest.is_none_or(|(_, weight)| one.weight > weight) {
            heaviest = Some((index, one.weight));
        }
    }
    heaviest.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{full, server};

    #[test]
    fn everything_goes_to_the_heaviest_until_it_is_full_or_gone() {
        let servers = [server(3, 0, 0), server(9, 70, 0), server(9, 0, 0), full(50, 0, 0)];
        assert_eq!(failover(&servers), Some(1));
        assert_eq!(failover(&servers[..1]), Some(0));
        assert_eq!(failover(&servers[3..]), None);
        assert_eq!(failover(&[server(0, 0, 0)]), None);
    }

    #[test]
    fn more_active_connections_than_weight_flow_over() {
        assert_eq!(overflow(&[server(1, 0, 0), server(3, 3, 900)]), Some(1));
        assert_eq!(overflow(&[server(1, 0, 0), server(3, 4, 0)]), Some(0));
        assert_eq!(overflow(&[server(1, 2, 0), server(3, 4, 0), server(0, 0, 0)]), None);
        assert_eq!(overflow(&[full(1, 0, 0)]), None);
    }
}
