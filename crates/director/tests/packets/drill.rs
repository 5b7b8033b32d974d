//! Several processors at the connection table at once, and tables that are too small.

use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use director::Engine;
use director::xdp::LAYOUT;
use edge::bpf::{Map, test_run};
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey};
use model::vrrp::Family;

use crate::audit::{audit_of, table_of};
use crate::bed::{Bed, Unpinned, fresh_pins, in_namespace, persistence};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/drill.bpf.o"));
static OBJECT6: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/drill6.bpf.o"));
const PROGRAMS: [&str; 3] = ["race_open", "race_remove", "mix"];

/// Loads a family's object over an engine's maps.
pub(crate) fn load(pins: &Path, family: Family, object: &[u8], flows: Option<u32>) -> Ebpf {
    let directory = pins.join(LAYOUT);
    let buckets_log2 = table_of(pins, family).max_entries().ilog2();
    let mut seed = [0; 8];
    Map::open(&directory.join("seed")).unwrap().lookup(&[0; 4], &mut seed).unwrap();
    let seed = u64::from_ne_bytes(seed);
    let mut loader = EbpfLoader::new();
    loader
        .default_map_pin_directory(&directory)
        .map_pin_path("gate", pins.join("gate"))
        .override_global("buckets_log2", &buckets_log2, true)
        .override_global("hash_seed", &seed, true);
    if let Some(flows) = &flows {
        loader.override_global("flows", flows, true);
    }
    loader.load(object).unwrap()
}

/// The drills over a table with room for so many connections.
struct Drill {
    bed: Bed,
    object: Ebpf,
    family: Family,
}

impl Drill {
    fn new(pins: &Path, family: Family, connections_max: u32, flows: u32) -> Drill {
        let mut bed = Bed::with_room(pins.to_owned(), connections_max);
        // With the first service of IPv6 its table comes.
        add_service(&mut bed, at(family, 1, Protocol::Udp, 53), Forwarding::Nat, false);
        let bytes = match family {
            Family::Ipv4 => OBJECT,
            Family::Ipv6 => OBJECT6,
        };
        let mut object = load(pins, family, bytes, Some(flows));
        for name in PROGRAMS {
            let program: &mut Xdp = object.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        Drill { bed, object, family }
    }

    /// Runs a program so many times on each of two threads.
    fn race(&self, name: &str, times: u32) {
        let program = self.object.program(name).unwrap().fd().unwrap().as_fd();
        let mut frame = vec![0; 80];
        let tcp = match self.family {
            Family::Ipv4 => {
                frame[12..14].copy_from_slice(&[8, 0]);
                frame[14..18].copy_from_slice(&[0x45, 0, 0, 40]);
                34
            }
            Family::Ipv6 => {
                frame[12..20].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 20]);
                54
            }
        };
        frame[tcp + 12] = 5 << 4;
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| test_run(program, &frame, times).unwrap());
            }
        });
    }
}

fn with_drill(
    family: Family,
    connections_max: u32,
    flows: u32,
    work: impl FnOnce(&mut Drill) + Send,
) {
    in_namespace(|| {
        let pins = Unpinned(fresh_pins());
        let mut drill = Drill::new(&pins.0, family, connections_max, flows);
        work(&mut drill);
        drill.bed.engine.stop().unwrap();
    });
}

/// A service of the drills.
fn at(family: Family, last: u8, protocol: Protocol, port: u16) -> ServiceKey {
    let address = match family {
        Family::Ipv4 => [192, 0, 2, last].into(),
        Family::Ipv6 => [0x2001, 0xdb8, 2, 0, 0, 0, 0, last.into()].into(),
    };
    ServiceKey::Address { address, port, protocol }
}

fn add_service(bed: &mut Bed, key: ServiceKey, forwarding: Forwarding, persists: bool) {
    let bits = if key.family() == Family::Ipv4 { 32 } else { 128 };
    let persistence = if persists { persistence(1, bits) } else { None };
    bed.add_service(key, Scheduler::WeightedLeastConnection, persistence);
    for last in 1..=4 {
        match key.family() {
            Family::Ipv4 => bed.add(key, last, 1, forwarding),
            Family::Ipv6 => {
                let address = [0x2001, 0xdb8, 1, 0, 0, 0, 0, last.into()].into();
                let port = key.port() + if forwarding == Forwarding::Nat { 8000 } else { 0 };
                bed.add_at(key, Endpoint { address, port }, forwarding);
            }
        }
    }
}

#[test]
fn two_processors_at_the_same_flows_leave_one_entry_each_and_no_count_is_lost() {
    race_for_entries(Family::Ipv4);
}

#[test]
fn two_processors_at_the_same_flows_of_ipv6_leave_one_entry_each_and_no_count_is_lost() {
    race_for_entries(Family::Ipv6);
}

fn race_for_entries(family: Family) {
    const FLOWS: u32 = 400_000;
    with_drill(family, FLOWS, FLOWS, |drill| {
        add_service(&mut drill.bed, at(family, 1, Protocol::Tcp, 80), Forwarding::Nat, false);
        for _ in 0..3 {
            drill.race("race_open", FLOWS);
            let found = audit_of(&drill.bed.pins, family);
            let lost = ["dropped_race", "dropped_table_full", "replaced_half_open"];
            let lost: u64 = lost.iter().map(|name| drill.bed.counter(name)).sum();
            assert!(found.connections as u64 + lost >= u64::from(FLOWS), "{found:?}");
            assert!(found.connections > FLOWS as usize * 99 / 100, "{found:?}");
            drill.race("race_remove", FLOWS);
            assert_eq!(audit_of(&drill.bed.pins, family).connections, 0);
        }
        println!("{:?}", drill.bed.engine.data_plane());
    });
}

#[test]
fn any_mixture_of_packets_and_sweeps_in_a_table_too_small_keeps_every_count() {
    mix(Family::Ipv4);
}

#[test]
fn any_mixture_of_ipv6_and_sweeps_in_a_table_too_small_keeps_every_count() {
    mix(Family::Ipv6);
}

fn mix(family: Family) {
    with_drill(family, 64, 1000, |drill| {
        let at = |last: u8| at(family, last, Protocol::Tcp, 80);
        add_service(&mut drill.bed, at(1), Forwarding::Nat, true);
        add_service(&mut drill.bed, at(2), Forwarding::Nat, false);
        add_service(&mut drill.bed, at(3), Forwarding::DirectRouting, true);
        // Whatever is closed may go at once, and datagrams after half a second.
        let timeouts = Map::open(&drill.bed.pins.join(LAYOUT).join("timeouts")).unwrap();
        let mut ticks = [0u8; 144];
        timeouts.lookup(&[0; 4], &mut ticks).unwrap();
        for state in [4, 5, 6, 7, 8] {
            ticks[state * 4..][..4].copy_from_slice(&0u32.to_ne_bytes());
        }
        ticks[44..48].copy_from_slice(&240u32.to_ne_bytes());
        timeouts.update(&[0; 4], &ticks).unwrap();
        let begun = Instant::now();
        let mut seen = audit_of(&drill.bed.pins, family);
        while begun.elapsed() < Duration::from_secs(4) {
            drill.race("mix", 100_000);
            let found = audit_of(&drill.bed.pins, family);
            seen.connections = seen.connections.max(found.connections);
            seen.templates = seen.templates.max(found.templates);
            seen.away = seen.away.max(found.away);
        }
        println!("{seen:?} {:?}", drill.bed.engine.data_plane());
        assert!(seen.connections > 80 && seen.templates > 0 && seen.away > 8, "{seen:?}");
        for name in ["replaced_half_open", "dropped_port_clash", "forwarded_stateless"] {
            assert!(drill.bed.counter(name) > 0, "{name}: {:?}", drill.bed.engine.data_plane());
        }
    });
}
