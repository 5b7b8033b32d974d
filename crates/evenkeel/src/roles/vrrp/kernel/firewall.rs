//! `no_accept`: packets to the addresses of others are routed but not taken.
//!
//! The rules are there from the configuration on, for all addresses of such instances, held or
//! not: an address that is not on this machine gets no packets anyway. So a transition changes
//! nothing here.

use std::io;
use std::net::IpAddr;

use edge::nft::{Drops, Filter};
use model::vrrp::{VrrpInstance, VrrpPlan};

/// What we last put into the packet filter.
#[derive(Default)]
pub(super) struct Firewall {
    filter: Option<Filter>,
    present: Option<Drops>,
}

impl Firewall {
    /// Puts in place what a configuration wants, if that is something else than before.
    pub(super) fn settle(&mut self, plan: &VrrpPlan) -> Option<String> {
        let wanted = wanted(plan);
        if wanted == self.present {
            return None;
        }
        let complaint = self.change(wanted.as_ref()).err();
        self.present = wanted;
        complaint.map(|error| format!("no_accept cannot be kept by nf_tables: {error}"))
    }

    /// Removes the tables of a configuration, also those that a killed predecessor left.
    pub(super) fn finish(&mut self, plan: &VrrpPlan) -> Option<String> {
        if self.present.is_none() {
            self.present = wanted(plan);
        }
        self.settle(&VrrpPlan::default())
    }

    fn change(&mut self, wanted: Option<&Drops>) -> io::Result<()> {
        let filter = match &mut self.filter {
            Some(filter) => filter,
            none => none.insert(Filter::open()?),
        };
        let table = wanted.map(|drops| &drops.table);
        if let Some(former) = self.present.as_ref().filter(|former| Some(&former.table) != table) {
            filter.remove(&former.table)?;
        }
        match wanted {
            Some(drops) => filter.replace(drops),
            None => Ok(()),
        }
    }
}

/// Nothing where every instance accepts. The owner of addresses always does.
fn wanted(plan: &VrrpPlan) -> Option<Drops> {
    let settings = &plan.settings.firewall;
    let strangers = plan.instances.iter().filter(|one| !one.accept && one.priority.number() < 255);
    let addresses_of = |one: &VrrpInstance| -> Vec<(IpAddr, String)> {
        let held = one.held_addresses();
        held.map(|address| (address.address, one.interface_of(address).to_owned())).collect()
    };
    let mut addresses: Vec<_> = strangers.flat_map(addresses_of).collect();
    addresses.sort();
    addresses.dedup();
    (!addresses.is_empty()).then(|| Drops {
        table: settings.table.clone(),
        priority: settings.priority,
        counters: settings.counters,
        addresses,
    })
}
