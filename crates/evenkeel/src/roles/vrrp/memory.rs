//! The states that outlive this process: a small table in memory that the supervisor keeps.
//!
//! Layout: 8 bytes of magic with the version, the number of records (`u32`, native order, 4
//! bytes unused), when the process was last alive (`u64`, native order, nanoseconds of
//! CLOCK_MONOTONIC), then records of 24 bytes: interface name (16 bytes, zero-padded), virtual
//! router id, 1 for master, 4 or 6 for the family, a byte unused, the greatest sequence number
//! of authentication headers (`u32`, native order).

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::time::Duration;

use model::Time;
use model::status::VrrpState;
use model::vrrp::{Authentication, Family, Version, VrrpInstance};
use proto::vrrp::Instance;

const MAGIC: [u8; 8] = *b"EKVRRP\0\x03";
const HEADER: usize = 24;
/// Where the time is.
const ALIVE: usize = 16;
const RECORD: usize = 24;
/// Where a record has the sequence number.
const SEQUENCE: usize = 20;
/// A successor leaves out these sequence numbers: the predecessor may have sent some that it did
/// not live to write down.
const SEQUENCE_STEP: u32 = 16;
/// Virtual routers of which the state is remembered.
const RECORDS_MAX: usize = 4096;

/// Identity of a virtual router, whatever its name: interface, number and family.
type Key = ([u8; 16], u8, u8);

/// The supervisor's memory, and what a predecessor wrote there.
#[derive(Default)]
pub(super) struct Memory {
    file: Option<OwnedFd>,
    left: Left,
    /// Places of the instances with authentication headers, and the numbers last written.
    sequences: Vec<(usize, u32)>,
}

/// What a predecessor left.
#[derive(Debug, Default)]
struct Left {
    /// When it was last alive.
    alive: Time,
    masters: BTreeSet<Key>,
    sequences: BTreeMap<Key, u32>,
}

impl Memory {
    /// Takes over the memory and reads what a predecessor that was killed left there.
    pub(super) fn over(file: OwnedFd) -> Memory {
        let mut bytes = vec![0; HEADER + RECORDS_MAX * RECORD];
        let length = rustix::io::pread(&file, &mut bytes, 0).unwrap_or(0);
        let left = parse(&bytes[..length]);
        Memory { left, file: Some(file), sequences: Vec::new() }
    }

    /// A predecessor was master of this virtual router when it was killed.
    pub(super) fn left_master(&self, plan: &VrrpInstance) -> bool {
        self.left.masters.contains(&key(plan))
    }

    /// A predecessor was master of this virtual router when it was killed, and that is so short
    /// a time ago that nobody can have taken over yet.
    pub(super) fn was_master(&self, now: Time, plan: &VrrpInstance) -> bool {
        self.left_master(plan) && now.since(self.left.alive) < master_down_interval(plan)
    }

    /// The sequence number of authentication headers to go on from, zero for none: peers took
    /// less for a replay, and so must we.
    pub(super) fn sequence(&self, plan: &VrrpInstance) -> u32 {
        let last = self.left.sequences.get(&key(plan));
        last.map_or(0, |last| last.saturating_add(SEQUENCE_STEP))
    }

    /// Notes that this process is alive. One short write to memory, without allocating.
    pub(super) fn touch(&self, now: Time) {
        let Some(file) = &self.file else { return };
        // It fails only where the file was never written: then there is nothing to resume.
        let _ = rustix::io::pwrite(file, &now.as_nanos().to_ne_bytes(), ALIVE as u64);
    }

    /// Notes the sequence numbers that changed: 4 bytes each, without allocating.
    pub(super) fn note_sequences(&mut self, instances: &[Instance]) {
        let Some(file) = &self.file else { return };
        for (place, written) in &mut self.sequences {
            let Some(instance) = instances.get(*place) else { continue };
            if instance.sequence() != *written {
                *written = instance.sequence();
                let at = HEADER + *place * RECORD + SEQUENCE;
                // It fails only where the file was never written.
                let _ = rustix::io::pwrite(file, &written.to_ne_bytes(), at as u64);
            }
        }
    }

    /// The predecessor's states have been taken over; from here on they are ours.
    pub(super) fn forget(&mut self) {
        self.left = Left::default();
    }

    /// Writes the states of all instances.
    pub(super) fn write(&mut self, now: Time, instances: &[Instance]) {
        let Some(file) = &self.file else { return };
        self.sequences.clear();
        let sealed = instances
            .iter()
            .take(RECORDS_MAX)
            .enumerate()
            .filter(|(_, one)| matches!(one.plan().authentication, Authentication::Ah(_)));
        self.sequences.extend(sealed.map(|(place, one)| (place, one.sequence())));
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
        bytes.extend_from_slice(&[id, master, family, 0]);
        bytes.extend_from_slice(&instance.sequence().to_ne_bytes());
    }
    bytes
}

#[cfg(test)]
impl Memory {
    /// What a role leaves that was no master and knew this sequence number.
    pub(super) fn write_sequence(file: &OwnedFd, plan: &VrrpInstance, sequence: u32) {
        let (interface, id, family) = key(plan);
        let mut bytes = emit(Time::ZERO, &[]);
        bytes[8] = 1;
        bytes.extend_from_slice(&interface);
        bytes.extend_from_slice(&[id, 0, family, 0]);
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        rustix::io::pwrite(file, &bytes, 0).unwrap();
    }
}

/// What is written there; nothing of anything else.
fn parse(bytes: &[u8]) -> Left {
    let Some((header, records)) = bytes.split_first_chunk::<HEADER>() else {
        return Left::default();
    };
    if header[..8] != MAGIC {
        return Left::default();
    }
    let count = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let [.., a, b, c, d, e, f, g, h] = *header;
    let alive = Time::from_nanos(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    let mut left = Left { alive, ..Left::default() };
    for record in records.as_chunks::<RECORD>().0.iter().take(count) {
        let [interface @ .., id, master, family, _, s0, s1, s2, s3] = *record;
        let key = (interface, id, family);
        if master == 1 {
            left.masters.insert(key);
        }
        match u32::from_ne_bytes([s0, s1, s2, s3]) {
            0 => {}
            sequence => {
                left.sequences.insert(key, sequence);
            }
        }
    }
    left
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
        let mut before = Memory::over(file);
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
            assert!(parse(&good[..length]).masters.is_empty());
        }
        let mut other_version = good.clone();
        other_version[7] = 1;
        assert!(parse(&other_version).masters.is_empty());
        let mut many = good;
        many[8..12].fill(0xff);
        assert_eq!(parse(&many).masters.len(), 1);
    }

    #[test]
    fn a_predecessor_that_died_long_ago_is_master_of_nothing() {
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let same = file.try_clone().unwrap();
        let mut before = Memory::over(file);
        before.write(NOW, router(vec![plan("eth0", 1, 255)]).instances());
        let later = NOW + Duration::from_secs(100);
        before.touch(later);
        let after = Memory::over(same);
        // Three intervals of a second and a skew of 156/256 of one.
        let milliseconds = |n| later + Duration::from_millis(n);
        assert!(after.was_master(milliseconds(3_609), &plan("eth0", 1, 100)));
        assert!(!after.was_master(milliseconds(3_610), &plan("eth0", 1, 100)));
    }

    #[test]
    fn a_successor_goes_on_after_the_sequence_numbers_of_authentication_headers() {
        let sealed = VrrpInstance {
            authentication: Authentication::Ah(*b"secret\0\0"),
            ..plan("eth0", 1, 255)
        };
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let same = file.try_clone().unwrap();
        let mut before = Memory::over(file);
        // The owner sends its first advert at once, and another one every second.
        let mut router = router(vec![plan("eth0", 2, 100), sealed.clone()]);
        before.write(NOW, router.instances());
        for second in 1..=9 {
            router.handle_timeout(Time::ZERO + Duration::from_secs(second));
            before.note_sequences(router.instances());
        }
        let after = Memory::over(same);
        assert_eq!(after.sequence(&sealed), 10 + SEQUENCE_STEP);
        assert_eq!(after.sequence(&plan("eth0", 2, 100)), 0);
        assert!(after.left_master(&sealed));
    }
}
