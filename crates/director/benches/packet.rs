//! Nanoseconds per packet of the NAT path, as the kernel reports them for BPF_PROG_TEST_RUN, and
//! their ratio to a program that swaps two MAC addresses, in the same run.
//!
//! `cargo bench -p director --bench packet` prints a table and writes `out/bench/packet.json`
//! below the workspace. Consecutive packets of a test run overlap their cache misses, so the
//! figures for many flows are lower than a serialised walk would give.

use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use director::xdp::{XdpEngine, XdpOptions};
use director::{Destination, Engine, ServiceSettings, TableChange};
use edge::bpf::test_run;
use lab::net::Net;
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench.bpf.o"));

const FLOWS: u32 = 1_000_000;
const ENTRIES: u32 = 2_200_000;
const ROUNDS: usize = 15;
const REPEAT: u32 = 200_000;
const PROGRAMS: [&str; 4] = ["mac_swap", "one_flow", "flows_64k", "flows_1m"];
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn main() {
    if let Some(missing) = lab::net::missing() {
        return println!("skipped: {missing}");
    }
    let net = Net::new("bench").expect("a network namespace");
    let namespace = net.namespace("director").expect("a network namespace");
    let pins = PathBuf::from(format!("/sys/fs/bpf/evenkeel-bench-{}", std::process::id()));
    let medians = namespace.enter(|| measure(&pins)).expect("inside the namespace");
    let _ = fs::remove_dir_all(&pins);
    report(&medians);
}

fn measure(pins: &Path) -> Vec<f64> {
    let options = XdpOptions { connections_max: ENTRIES, ..XdpOptions::new(pins) };
    let mut engine = XdpEngine::start(&options).expect("the engine starts");
    engine.test_interface(1, OURS).expect("the loopback stands for the wire");
    let address = Ipv4Addr::new(192, 0, 2, 1).into();
    let key = ServiceKey { address, port: 80, protocol: Protocol::Tcp };
    let settings =
        ServiceSettings { scheduler: Scheduler::RoundRobin, ..ServiceSettings::default() };
    engine.apply(&[TableChange::AddService(key, settings)]).expect("a service");
    for last in 1..=16 {
        let endpoint = Endpoint { address: Ipv4Addr::new(10, 0, 0, last).into(), port: 8080 };
        let destination = Destination::new(endpoint, 1, Forwarding::Nat);
        engine.apply(&[TableChange::AddDestination(key, destination)]).expect("a server");
        let mac = [2, 0, 0, 0, 1, last];
        engine.test_next_hop(key, endpoint, 77, mac, OURS).expect("its next hop");
    }
    let mut object = EbpfLoader::new()
        .default_map_pin_directory(pins.join("v2"))
        .map_pin_path("gate", pins.join("gate"))
        .load(OBJECT)
        .expect("the benchmark's object");
    for name in PROGRAMS.iter().chain(&["open_flows"]) {
        let program: &mut Xdp = object.program_mut(name).unwrap().try_into().unwrap();
        program.load().expect("the program loads");
    }
    let frame = frame();
    test_run(program(&object, "open_flows"), &frame, FLOWS).expect("flows are opened");
    let opened = engine.service_counters(key).connections;
    assert_eq!(opened, u64::from(FLOWS), "{:?}", engine.data_plane());
    let before = forwarded(&engine);
    let mut times = vec![Vec::new(); PROGRAMS.len()];
    for _ in 0..ROUNDS {
        for (name, times) in PROGRAMS.iter().zip(&mut times) {
            let run = test_run(program(&object, name), &frame, REPEAT).expect("a test run");
            times.push(run.duration_ns);
        }
    }
    let expected = (PROGRAMS.len() - 1) as u64 * ROUNDS as u64 * u64::from(REPEAT);
    assert_eq!(forwarded(&engine) - before, expected, "{:?}", engine.data_plane());
    engine.stop().expect("the engine stops");
    times.into_iter().map(median).collect()
}

fn program<'a>(object: &'a Ebpf, name: &str) -> BorrowedFd<'a> {
    object.program(name).unwrap().fd().unwrap().as_fd()
}

fn forwarded(engine: &XdpEngine) -> u64 {
    let all = engine.data_plane();
    all.iter().find(|(name, _)| name == "forwarded_to_server").map_or(0, |(_, count)| *count)
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
    f64::from(times[times.len() / 2])
}

fn report(medians: &[f64]) {
    let floor = medians[0].max(1.0);
    let mut rows = Vec::new();
    println!("{:<12} {:>8} {:>8}", "program", "ns", "ratio");
    for (name, ns) in PROGRAMS.iter().zip(medians) {
        println!("{name:<12} {ns:>8.0} {:>8.1}", ns / floor);
        rows.push(format!(
            "  {{\"name\": \"{name}\", \"ns_per_packet\": {ns}, \"ratio\": {:.2}}}",
            ns / floor
        ));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let directory = root.join("out/bench");
    fs::create_dir_all(&directory).expect("the directory of the results");
    let text = format!("[\n{}\n]\n", rows.join(",\n"));
    fs::write(directory.join("packet.json"), text).expect("the results are written");
}
