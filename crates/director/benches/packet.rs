//! Nanoseconds per packet of the NAT path, as the kernel reports them for BPF_PROG_TEST_RUN, beside
//! the same program over the kernel's hash map and a program that swaps two MAC addresses, in the
//! same run, a round of each after the other; the median of ten rounds.
//!
//! `cargo bench -p director --bench packet` prints a table and writes `out/bench/packet.json`
//! below the workspace. Each packet's flow depends on what the one before it found: consecutive
//! packets of a test run would overlap their cache misses otherwise. The table is as large as that
//! of a director with room for 2^20 connections, and holds as many.

use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use director::xdp::{LAYOUT, XdpEngine, XdpOptions};
use director::{Destination, Engine, ServiceSettings, TableChange};
use edge::bpf::{Map, test_run};
use lab::net::Net;
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey};

static OURS_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench.bpf.o"));
static HASH_OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench_hash.bpf.o"));

const FLOWS: u32 = 1 << 20;
/// Two for each NAT connection, in twice as many buckets.
const HASH_ENTRIES: u32 = 2_200_000;
const ROUNDS: usize = 10;
const FLOOR: &str = "mac_swap";
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// What is measured: its program, packets in a round, and the most that it may cost in units of
/// the floor and of the kernel's hash map.
struct Case {
    program: &'static str,
    repeat: u32,
    floors: Option<f64>,
    hashes: f64,
}

const fn case(program: &'static str, repeat: u32, floors: Option<f64>, hashes: f64) -> Case {
    Case { program, repeat, floors, hashes }
}

const CASES: [Case; 5] = [
    case("one_flow", 200_000, Some(6.0), 0.75),
    case("flows_64k", 200_000, None, 0.55),
    case("flows_1m", 200_000, None, 0.55),
    case("new_flows", 20_000, Some(45.0), 1.0),
    case("insert_delete", 50_000, None, 0.6),
];

/// Median nanoseconds of a case.
struct Figures {
    floor: f64,
    ours: f64,
    hash: f64,
}

fn main() {
    if let Some(missing) = lab::net::missing() {
        return println!("skipped: {missing}");
    }
    let net = Net::new("bench").expect("a network namespace");
    let namespace = net.namespace("director").expect("a network namespace");
    let pins = PathBuf::from(format!("/sys/fs/bpf/evenkeel-bench-{}", std::process::id()));
    let figures = namespace.enter(|| measure(&pins)).expect("inside the namespace");
    let _ = fs::remove_dir_all(&pins);
    report(&figures);
}

fn measure(pins: &Path) -> Vec<Figures> {
    let options = XdpOptions { connections_max: FLOWS, ..XdpOptions::new(pins) };
    let mut engine = XdpEngine::start(&options).expect("the engine starts");
    engine.test_interface(1, OURS).expect("the loopback stands for the wire");
    add_service(&mut engine, 80, 16, Forwarding::Nat);
    add_service(&mut engine, 81, 1, Forwarding::DirectRouting);
    let objects = [load(OURS_OBJECT, pins), load(HASH_OBJECT, pins)];
    let frame = frame();
    for object in &objects {
        test_run(program(object, "open_flows"), &frame, FLOWS).expect("flows are opened");
        test_run(program(object, "establish_flows"), &frame, FLOWS).expect("and established");
    }
    let opened = counter(&engine, "forwarded_to_server");
    assert_eq!(opened, u64::from(4 * FLOWS), "{:?}", engine.data_plane());
    let mut times = vec![[Vec::new(), Vec::new(), Vec::new()]; CASES.len()];
    for round in 0..=ROUNDS {
        for (case, times) in CASES.iter().zip(&mut times) {
            let [floor, ours, hash] = one_round(&objects, case, &frame);
            // The first one warms up.
            if round > 0 {
                times[0].push(floor);
                times[1].push(ours);
                times[2].push(hash);
            }
        }
    }
    let packets: u32 = CASES[..4].iter().map(|case| case.repeat).sum();
    let expected = u64::from(packets) * 2 * (ROUNDS as u64 + 1);
    let forwarded = counter(&engine, "forwarded_to_server") - opened;
    assert_eq!(forwarded, expected, "{:?}", engine.data_plane());
    engine.stop().expect("the engine stops");
    let median = |[floor, ours, hash]: [Vec<u32>; 3]| Figures {
        floor: median(floor),
        ours: median(ours),
        hash: median(hash),
    };
    times.into_iter().map(median).collect()
}

fn one_round(objects: &[Ebpf; 2], case: &Case, frame: &[u8]) -> [u32; 3] {
    let time = |object: &Ebpf, name: &str| {
        test_run(program(object, name), frame, case.repeat).expect("a test run").duration_ns
    };
    let floor = time(&objects[0], FLOOR);
    let [ours, hash] = [0, 1].map(|at| time(&objects[at], case.program));
    if case.program == "new_flows" {
        for object in objects {
            time(object, "forget_new");
        }
    }
    [floor, ours, hash]
}

/// A service with servers from 10.0.0.1 on.
fn add_service(engine: &mut XdpEngine, port: u16, servers: u8, forwarding: Forwarding) {
    let address = Ipv4Addr::new(192, 0, 2, 1).into();
    let key = ServiceKey::Address { address, port, protocol: Protocol::Tcp };
    let settings = ServiceSettings {
        scheduler: Scheduler::WeightedLeastConnection,
        ..ServiceSettings::default()
    };
    engine.apply(&[TableChange::AddService(key, settings)]).expect("a service");
    for last in 1..=servers {
        let endpoint = Endpoint { address: Ipv4Addr::new(10, 0, 0, last).into(), port: 8080 };
        let destination = Destination::new(endpoint, 1, forwarding);
        engine.apply(&[TableChange::AddDestination(key, destination)]).expect("a server");
        let mac = [2, 0, 0, 0, 1, last];
        engine.test_next_hop(key, endpoint, 77, mac, OURS).expect("its next hop");
    }
}

/// The benchmark's programs over the engine's maps.
fn load(object: &'static [u8], pins: &Path) -> Ebpf {
    let directory = pins.join(LAYOUT);
    let table = Map::open(&directory.join("connections")).expect("the connection table");
    let buckets_log2 = table.max_entries().ilog2();
    let mut seed = [0; 8];
    let pinned = Map::open(&directory.join("seed")).expect("the table's seed");
    pinned.lookup(&[0; 4], &mut seed).expect("the table's seed");
    let seed = u64::from_ne_bytes(seed);
    let mut loader = EbpfLoader::new();
    loader
        .default_map_pin_directory(&directory)
        .map_pin_path("gate", pins.join("gate"))
        .override_global("buckets_log2", &buckets_log2, false)
        .override_global("hash_seed", &seed, false)
        .map_max_entries("kernel_hash", HASH_ENTRIES);
    let mut object = loader.load(object).expect("the benchmark's object");
    let others = [FLOOR, "open_flows", "establish_flows", "forget_new"];
    for name in CASES.iter().map(|case| case.program).chain(others) {
        let program: &mut Xdp = object.program_mut(name).unwrap().try_into().unwrap();
        program.load().expect("the program loads");
    }
    object
}

fn program<'a>(object: &'a Ebpf, name: &str) -> BorrowedFd<'a> {
    object.program(name).unwrap().fd().unwrap().as_fd()
}

fn counter(engine: &XdpEngine, name: &str) -> u64 {
    let all = engine.data_plane();
    all.iter().find(|(found, _)| found == name).map_or(0, |(_, count)| *count)
}

/// An empty TCP segment; the programs fill in addresses, ports and flags.
fn frame() -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14..18].copy_from_slice(&[0x45, 0, 0, 40]);
    frame[22..24].copy_from_slice(&[64, 6]);
    frame[46] = 5 << 4;
    frame
}

fn median(mut times: Vec<u32>) -> f64 {
    times.sort_unstable();
    let upper = times.len() / 2;
    f64::from(times[upper - 1] + times[upper]) / 2.0
}

fn report(figures: &[Figures]) {
    let mut rows = Vec::new();
    println!(
        "{:<14} {:>8} {:>8} {:>8} {:>14} {:>14}",
        "program", "floor ns", "ours ns", "hash ns", "ours/floor", "ours/hash"
    );
    for (case, Figures { floor, ours, hash }) in CASES.iter().zip(figures) {
        let (floors, hashes) = (ours / floor.max(1.0), ours / hash.max(1.0));
        let bound = case.floors.map_or(String::new(), |most| format!("<={most}"));
        let name = case.program;
        println!(
            "{name:<14} {floor:>8.0} {ours:>8.0} {hash:>8.0} {floors:>8.1} {bound:<5} \
             {hashes:>8.2} <={}",
            case.hashes
        );
        rows.push(format!(
            "  {{\"name\": \"{name}\", \"floor_ns\": {floor}, \"ns\": {ours}, \"hash_ns\": {hash}, \
             \"to_floor\": {floors:.2}, \"to_floor_most\": {}, \"to_hash\": {hashes:.3}, \
             \"to_hash_most\": {}}}",
            case.floors.map_or("null".to_owned(), |most| most.to_string()),
            case.hashes
        ));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let directory = root.join("out/bench");
    fs::create_dir_all(&directory).expect("the directory of the results");
    let text = format!("[\n{}\n]\n", rows.join(",\n"));
    fs::write(directory.join("packet.json"), text).expect("the results are written");
}
