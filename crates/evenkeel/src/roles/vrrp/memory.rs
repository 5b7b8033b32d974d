//! The states that outlive this process: a small table in memory that the supervisor keeps.
//!
//! Layout: 8 bytes of magic with the version, the number of records (`u32`, native order, 4
//! bytes unused), when the process was last alive (`u64`, native order, nanoseconds of
//! CLOCK_MONOTONIC), then records of 24 bytes: interface name (16 bytes, zero-padded), virtual
//! router id, 1 for master, 4 or 6 for the family, 5 bytes unused.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

use model::Time;
use model::status::VrrpState;
use model::vrrp::{Family, Version, VrrpInstance};
use proto::vrrp::Instance;

const MAGIC: [u8; 8] = *b"EKVRRP\0\x02";
const HEADER: usize = 24;
/// Where the time is.
const ALIVE: usize = 16;
const RECORD: usize = 24;
/// Virtual routers of which the state is remembered.
const RECORDS_MAX: usize = 4096;

/// Identity of a virtual router, whatever its name: interface, number and family.
type Key = ([u8; 16], u8, u8);

/// The supervisor's memory, and what a predecessor wrote there.
#[derive(Default)]
pub(super) struct Memory {
    file: Option<OwnedFd>,
    masters: BTreeSet<Key>,
    /// When the predecessor was last alive.
    alive: Time,
}

impl Memory {
    /// Takes over the memory and reads what a predecessor that was killed left there.
    pub(super) fn over(file: OwnedFd) -> Memory {
        let mut bytes = vec![0; HEADER + RECORDS_MAX * RECORD];
        let length = rustix::io::pread(&file, &mut bytes, 0).unwrap_or(0);
        let (alive, masters) = parse(&bytes[..length]);
        Memory { masters, alive, file: Some(file) }
    }

    /// A predecessor was master of this virtual router when it was killed, and that is so short
    /// a time ago that nobody can have taken over yet.
    pub(super) fn was_master(&self, now: Time, plan: &VrrpInstance) -> bool {
        self.masters.contains(&key(plan)) && now.since(self.alive) < master_down_interval(plan)
    }

    /// Notes that this process is alive. One short write to memory, without allocating.
    pub(super) fn touch(&self, now: Time) {
        let Some(file) = &self.file else { return };
        // It fails only where the file was never written: then there is nothing to resume.
        let _ = rustix::io::pwrite(file, &now.as_nanos().to_ne_bytes(), ALIVE as u64);
    }

    /// The predecessor's states have been taken over; from here on they are ours.
    pub(super) fn forget(&mut self) {
        self.masters.clear();
    }

    /// Writes the states of all instances.
    pub(super) fn write(&self, now: Time, instances: &[Instance]) {
        let Some(file) = &self.file else { return };
        // It fails only when the machine has no memory left. Then a successor begins as backup.
        let _ = rustix::io::pwrite(file, &emit(now, instances), 0);
    }
}

fn key(plan: &VrrpInstance) -> Key {
    let mut interface = [0; 16];
    let length = plan.interface.len().min(15);
    interface[..length].copy_from_slice(&plan.interface.as_bytes()[..length]);
    let family = match plan.family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 6,
    };
    (interface, plan.virtual_router_id.number(), family)
}

/// How long a backup of our priority waits for an advert (RFC 3768 6.1, RFC 9568 6.1).
fn master_down_interval(plan: &VrrpInstance) -> Duration {
    let interval = plan.advert_interval.duration();
    let unit = match plan.version {
        Version::V2 => interval.min(Duration::from_secs(1)),
        Version::V3 => interval,
    };
    let skew = unit * (256 - u32::from(plan.priority.number())) / 256;
    interval * u32::from(plan.down_timer_adverts) + skew
}

fn emit(now: Time, instances: &[Instance]) -> Vec<u8> {
    let count = instances.len().min(RECORDS_MAX);
    let mut bytes = Vec::with_capacity(HEADER + count * RECORD);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&(count as u32).to_ne_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&now.as_nanos().to_ne_bytes());
    for instance in &instances[..count] {
        let (interface, id, family) = key(instance.plan());
        bytes.extend_from_slice(&interface);
        let master = u8::from(instance.state() == VrrpState::Master);
        bytes.extend_from_slice(&[id, master, family, 0, 0, 0, 0, 0]);
    }
    bytes
}

/// When the process was last alive, and of which virtual routers it was master.
fn parse(bytes: &[u8]) -> (Time, BTreeSet<Key>) {
    let nothing = (Time::ZERO, BTreeSet::new());
    let Some((header, records)) = bytes.split_first_chunk::<HEADER>() else { return nothing };
    if header[..8] != MAGIC {
        return nothing;
    }
    let count = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let Some(alive) = header[ALIVE..].first_chunk::<8>() else { return nothing };
    let alive = Time::from_nanos(u64::from_ne_bytes(*alive));
    let records = records.as_chunks::<RECORD>().0.iter().take(count);
    let masters = records
        .filter(|record| record[17] == 1)
        .filter_map(|record| Some((*record.first_chunk::<16>()?, record[16], record[18])))
        .collect();
    (alive, masters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::control::TrackerState;
    use model::units::{Centiseconds, Priority, VirtualRouterId};
    use model::vrrp::{Tracked, VrrpPlan};
    use proto::vrrp::{LinkState, Router, Surroundings};
    use std::net::{IpAddr, Ipv4Addr};

    const NOW: Time = Time::from_nanos(1_000_000_000_000);

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
        assert!(!before.was_master(NOW, &plan("eth0", 1, 100)));
        // The owner is master from the start, the other begins as backup.
        before.write(NOW, router(vec![plan("eth0", 1, 255), plan("eth0", 2, 100)]).instances());
        let mut after = Memory::over(same);
        assert!(after.was_master(NOW, &plan("eth0", 1, 100)));
        assert!(!after.was_master(NOW, &plan("eth0", 2, 100)));
        assert!(!after.was_master(NOW, &plan("eth1", 1, 100)));
        let ipv6 = VrrpInstance { family: Family::Ipv6, ..plan("eth0", 1, 100) };
        assert!(!after.was_master(NOW, &ipv6));
        after.forget();
        assert!(!after.was_master(NOW, &plan("eth0", 1, 100)));
    }

    #[test]
    fn anything_else_in_the_memory_is_no_state() {
        let good = emit(NOW, router(vec![plan("eth0", 1, 255)]).instances());
        for length in 0..good.len() {
            assert!(parse(&good[..length]).1.is_empty());
        }
        let mut other_version = good.clone();
        other_version[7] = 1;
        assert!(parse(&other_version).1.is_empty());
        let mut many = good;
        many[8..12].fill(0xff);
        assert_eq!(parse(&many).1.len(), 1);
    }

    #[test]
    fn a_predecessor_that_died_long_ago_is_master_of_nothing() {
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let same = file.try_clone().unwrap();
        let before = Memory::over(file);
        before.write(NOW, router(vec![plan("eth0", 1, 255)]).instances());
        let later = NOW + Duration::from_secs(100);
        before.touch(later);
        let after = Memory::over(same);
        // Three intervals of a second and a skew of 156/256 of one.
        let milliseconds = |n| later + Duration::from_millis(n);
        assert!(after.was_master(milliseconds(3_609), &plan("eth0", 1, 100)));
        assert!(!after.was_master(milliseconds(3_610), &plan("eth0", 1, 100)));
    }
}
