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
use model::layer4::{Forwarding, Protocol, Scheduler, ServiceKey};

use crate::audit::{audit, table};
use crate::bed::{Bed, Unpinned, fresh_pins, in_namespace, persistence, service};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/drill.bpf.o"));
const PROGRAMS: [&str; 3] = ["race_open", "race_remove", "mix"];

/// The drills over a table with room for so many connections.
struct Drill {
    bed: Bed,
    object: Ebpf,
}

impl Drill {
    fn new(pins: &Path, connections_max: u32, flows: u32) -> Drill {
        let bed = Bed::with_room(pins.to_owned(), connections_max);
        let directory = pins.join(LAYOUT);
        let buckets_log2 = table(pins).max_entries().ilog2();
        let mut seed = [0; 8];
        Map::open(&directory.join("seed")).unwrap().lookup(&[0; 4], &mut seed).unwrap();
        let seed = u64::from_ne_bytes(seed);
        let mut object = EbpfLoader::new()
            .default_map_pin_directory(&directory)
            .map_pin_path("gate", pins.join("gate"))
            .override_global("buckets_log2", &buckets_log2, true)
            .override_global("hash_seed", &seed, true)
            .override_global("flows", &flows, true)
            .load(OBJECT)
            .unwrap();
        for name in PROGRAMS {
            let program: &mut Xdp = object.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        Drill { bed, object }
    }

    /// Runs a program so many times on each of two threads.
    fn race(&self, name: &str, times: u32) {
        let program = self.object.program(name).unwrap().fd().unwrap().as_fd();
        let mut frame = vec![0; 60];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14..18].copy_from_slice(&[0x45, 0, 0, 40]);
        frame[46] = 5 << 4;
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| test_run(program, &frame, times).unwrap());
            }
        });
    }
}

fn with_drill(connections_max: u32, flows: u32, work: impl FnOnce(&mut Drill) + Send) {
    in_namespace(|| {
        let pins = Unpinned(fresh_pins());
        let mut drill = Drill::new(&pins.0, connections_max, flows);
        work(&mut drill);
        drill.bed.engine.stop().unwrap();
    });
}

fn add_service(bed: &mut Bed, key: ServiceKey, forwarding: Forwarding, persists: bool) {
    let persistence = if persists { persistence(1, 32) } else { None };
    bed.add_service(key, Scheduler::WeightedLeastConnection, persistence);
    for last in 1..=4 {
        bed.add(key, last, 1, forwarding);
    }
}

#[test]
fn two_processors_at_the_same_flows_leave_one_entry_each_and_no_count_is_lost() {
    const FLOWS: u32 = 400_000;
    with_drill(FLOWS, FLOWS, |drill| {
        add_service(&mut drill.bed, service(Protocol::Tcp, 80), Forwarding::Nat, false);
        for _ in 0..3 {
            drill.race("race_open", FLOWS);
            let found = audit(&drill.bed.pins);
            let lost = ["dropped_race", "dropped_table_full", "replaced_half_open"];
            let lost: u64 = lost.iter().map(|name| drill.bed.counter(name)).sum();
            assert!(found.connections as u64 + lost >= u64::from(FLOWS), "{found:?}");
            assert!(found.connections > FLOWS as usize * 99 / 100, "{found:?}");
            drill.race("race_remove", FLOWS);
            assert_eq!(audit(&drill.bed.pins).connections, 0);
        }
        println!("{:?}", drill.bed.engine.data_plane());
    });
}

#[test]
fn any_mixture_of_packets_and_sweeps_in_a_table_too_small_keeps_every_count() {
    with_drill(64, 1000, |drill| {
        let at = |last: u8| ServiceKey::Address {
            address: [192, 0, 2, last].into(),
            port: 80,
            protocol: Protocol::Tcp,
        };
        add_service(&mut drill.bed, at(1), Forwarding::Nat, true);
        add_service(&mut drill.bed, at(2), Forwarding::Nat, false);
        add_service(&mut drill.bed, at(3), Forwarding::DirectRouting, true);
        add_service(&mut drill.bed, service(Protocol::Udp, 53), Forwarding::Nat, false);
        // Whatever is closed may go at once, and datagrams after half a second.
        let timeouts = Map::open(&drill.bed.pins.join(LAYOUT).join("timeouts")).unwrap();
        let mut ticks = [0u8; 64];
        timeouts.lookup(&[0; 4], &mut ticks).unwrap();
        for state in [4, 5, 6, 7, 8] {
            ticks[state * 4..][..4].copy_from_slice(&0u32.to_ne_bytes());
        }
        ticks[44..48].copy_from_slice(&240u32.to_ne_bytes());
        timeouts.update(&[0; 4], &ticks).unwrap();
        let begun = Instant::now();
        let mut seen = audit(&drill.bed.pins);
        while begun.elapsed() < Duration::from_secs(4) {
            drill.race("mix", 100_000);
            let found = audit(&drill.bed.pins);
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
