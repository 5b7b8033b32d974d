//! Which addresses layer 4 answers for.

use std::collections::HashSet;
use std::net::IpAddr;

use model::vrrp::VrrpInstance;

use super::Kernel;

impl Kernel {
    /// Opens or closes the gate of an address.
    pub(super) fn set_gate(&self, address: IpAddr, open: bool) {
        if let Some(gate) = &self.gate {
            // It fails when the map is full: then the address is open, as without VRRP.
            let _ = gate.set(address, open);
        }
    }

    /// Closes the gate of an address that is taken away, or forgets it where the configuration
    /// does not have the address any more.
    pub(super) fn close_gate(&self, address: IpAddr) {
        let Some(gate) = &self.gate else { return };
        if self.gated.contains(&address) {
            self.set_gate(address, false);
        } else {
            // An address that has no gate is no error that matters here.
            let _ = gate.remove(address);
        }
    }

    /// Forgets the gates of addresses that the configuration does not have any more. The others
    /// stay as a predecessor may have left them.
    pub(super) fn renew_gates(&mut self) {
        let gated: HashSet<IpAddr> = self
            .plan
            .instances
            .iter()
            .flat_map(VrrpInstance::held_addresses)
            .map(|address| address.address)
            .collect();
        let former = std::mem::replace(&mut self.gated, gated);
        for gone in former.difference(&self.gated) {
            self.close_gate(*gone);
        }
    }

    /// The gates of addresses are open where an instance holds them and closed where none does.
    /// After the router has taken a configuration over.
    pub(in crate::roles::vrrp) fn settle_gates(&self) {
        for plan in &self.plan.instances {
            let open = self.holding.contains(&plan.name);
            plan.held_addresses().for_each(|address| self.set_gate(address.address, open));
        }
    }
}
