//! The states that outlive this process: a small table in memory that the supervisor keeps.
//!
//! Layout: 8 bytes of magic with the version, the number of records (`u32`, native order, 4
//! bytes unused), then records of 24 bytes: interface name (16 bytes, zero-padded), virtual
//! router id, 1 for master, 6 bytes unused.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use model::status::VrrpState;
use model::vrrp::VrrpInstance;
use proto::vrrp::Instance;

const MAGIC: [u8; 8] = *b"EKVRRP\0\x01";
const HEADER: usize = 16;
const RECORD: usize = 24;
/// Virtual routers of which the state is remembered.
const RECORDS_MAX: usize = 4096;

/// Identity of a virtual router, whatever its name: interface and number.
type Key = ([u8; 16], u8);

/// The supervisor's memory, and what a predecessor wrote there.
#[derive(Default)]
pub(super) struct Memory {
    file: Option<OwnedFd>,
    masters: BTreeSet<Key>,
}

impl Memory {
    /// Takes over the memory and reads what a predecessor that was killed left there.
    pub(super) fn over(file: OwnedFd) -> Memory {
        let mut bytes = vec![0; HEADER + RECORDS_MAX * RECORD];
        let length = rustix::io::pread(&file, &mut bytes, 0).unwrap_or(0);
        Memory { masters: parse(&bytes[..length]), file: Some(file) }
    }

    /// A predecessor was master of this virtual router when it was killed.
    pub(super) fn was_master(&self, plan: &VrrpInstance) -> bool {
        self.masters.contains(&key(plan))
    }

    /// The predecessor's states have been taken over; from here on they are ours.
    pub(super) fn forget(&mut self) {
        self.masters.clear();
    }

    /// Writes the states of all instances.
    pub(super) fn write(&self, instances: &[Instance]) {
        let Some(file) = &self.file else { return };
        // It fails only when the machine has no memory left. Then a successor begins as backup.
        let _ = rustix::io::pwrite(file, &emit(instances), 0);
    }
}

fn key(plan: &VrrpInstance) -> Key {
    let mut interface = [0; 16];
    let length = plan.interface.len().min(15);
    interface[..length].copy_from_slice(&plan.interface.as_bytes()[..length]);
    (interface, plan.virtual_router_id.number())
}

fn emit(instances: &[Instance]) -> Vec<u8> {
    let count = instances.len().min(RECORDS_MAX);
    let mut bytes = Vec::with_capacity(HEADER + count * RECORD);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&(count as u32).to_ne_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for instance in &instances[..count] {
        let (interface, id) = key(instance.plan());
        bytes.extend_from_slice(&interface);
        let master = u8::from(instance.state() == VrrpState::Master);
        bytes.extend_from_slice(&[id, master, 0, 0, 0, 0, 0, 0]);
    }
    bytes
}

fn parse(bytes: &[u8]) -> BTreeSet<Key> {
    let Some((header, records)) = bytes.split_first_chunk::<HEADER>() else {
        return BTreeSet::new();
    };
    if header[..8] != MAGIC {
        return BTreeSet::new();
    }
    let count = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let records = records.as_chunks::<RECORD>().0.iter().take(count);
    records
        .filter(|record| record[17] == 1)
        .filter_map(|record| Some((*record.first_chunk::<16>()?, record[16])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Time;
    use model::control::TrackerState;
    use model::units::{Centiseconds, Priority, VirtualRouterId};
    use model::vrrp::{Tracked, VrrpPlan};
    use proto::vrrp::{LinkState, Router, Surroundings};
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    fn plan(interface: &str, id: u8, priority: u8) -> VrrpInstance {
        VrrpInstance {
            name: format!("VI_{id}"),
            interface: interface.into(),
            virtual_router_id: VirtualRouterId::try_from(id).unwrap(),
            priority: Priority::try_from(priority).unwrap(),
            advert_interval: Centiseconds(100),
            initial_state: model::vrrp::InitialState::Backup,
            authentication: model::vrrp::Authentication::None,
            preempt: true,
            preempt_delay: Duration::ZERO,
            addresses: Vec::new(),
            excluded_addresses: Vec::new(),
            garp: model::vrrp::Garp::default(),
            ..VrrpInstance::new("VI_1", "eth0", VirtualRouterId::try_from(51).unwrap())
        }
    }

    const LINK: LinkState =
        LinkState { up: true, ipv4: Some(Ipv4Addr::new(10, 0, 0, 1)), ipv6: None };

    struct Up;

    impl Surroundings for Up {
        fn link(&self, _: &str) -> LinkState {
            LINK
        }
        fn resumes(&self, _: &VrrpInstance) -> bool {
            false
        }
        fn tracker(&self, _: &Tracked) -> TrackerState {
            TrackerState::Up
        }
        fn has_address(&self, _: IpAddr) -> bool {
            true
        }
    }

    fn router(instances: Vec<VrrpInstance>) -> Router {
        let mut router = Router::default();
        let plan = VrrpPlan { instances, ..VrrpPlan::default() };
        router.configure(Time::ZERO, &plan, &Up);
        router
    }

    #[test]
    fn a_successor_knows_of_which_routers_its_predecessor_was_master() {
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let same = file.try_clone().unwrap();
        let before = Memory::over(file);
        assert!(!before.was_master(&plan("eth0", 1, 100)));
        // The owner is master from the start, the other begins as backup.
        before.write(router(vec![plan("eth0", 1, 255), plan("eth0", 2, 100)]).instances());
        let mut after = Memory::over(same);
        assert!(after.was_master(&plan("eth0", 1, 100)));
        assert!(!after.was_master(&plan("eth0", 2, 100)));
        assert!(!after.was_master(&plan("eth1", 1, 100)));
        after.forget();
        assert!(!after.was_master(&plan("eth0", 1, 100)));
    }

    #[test]
    fn anything_else_in_the_memory_is_no_state() {
        let good = emit(router(vec![plan("eth0", 1, 255)]).instances());
        for length in 0..good.len() {
            assert!(parse(&good[..length]).is_empty());
        }
        let mut other_version = good.clone();
        other_version[7] = 2;
        assert!(parse(&other_version).is_empty());
        let mut many = good;
        many[8..12].fill(0xff);
        assert_eq!(parse(&many).len(), 1);
    }
}
