//! Giving the addresses away when the role cannot be kept alive.

use std::io;

use model::vrrp::VrrpPlan;
use proto::vrrp::packet;

use super::kernel::{Kernel, addresses};

/// Removes every virtual address from this machine and says goodbye (priority 0) for the
/// instances that held some, so that a backup takes over. For the supervisor, in the place of a
/// vrrp role that died and does not come back.
pub(crate) fn withdraw(plan: &VrrpPlan) -> io::Result<()> {
    let mut kernel = Kernel::open()?;
    let mut first_error = Ok(());
    let mut note = |result: io::Result<()>| {
        if first_error.is_ok() {
            first_error = result;
        }
    };
    for instance in &plan.instances {
        let source = instance.source.or_else(|| kernel.source(&instance.interface, plan));
        let mut held = false;
        for address in addresses(instance) {
            match kernel.remove(instance, address) {
                Ok(removed) => held |= removed,
                Err(error) => note(Err(error)),
            }
        }
        let index = kernel.interfaces.link(&instance.interface).map(|link| link.index);
        if let (true, Some(source), Some(index)) = (held, source, index) {
            note(kernel.station(&instance.interface, index).map(drop));
            note(kernel.send(&instance.interface, source, &packet::emit(instance, 0)));
        }
    }
    first_error
}
