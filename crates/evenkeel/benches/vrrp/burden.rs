//! A busy machine: busy loops, a million connections swept, a large configuration loaded and a
//! compiler running, until dropped.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use director::xdp::{XdpEngine, XdpOptions};
use director::{Destination, Engine, ServiceSettings, TableChange};
use lab::net::Net;
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey};

use crate::director::Result;

/// Longest stretch of sweeping, as the director role has it.
const SWEEP_BUDGET: Duration = Duration::from_millis(1);
const LOOPS: usize = 4;
const CONNECTIONS: u32 = 1_000_000;
const REAL_SERVERS: u32 = 40_000;

/// Everything that keeps the machine busy.
pub(crate) struct Burden {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    directory: PathBuf,
    pins: PathBuf,
    _net: Net,
}

impl Burden {
    /// Takes it up; returns when the connections are there.
    pub(crate) fn take_up() -> Result<Burden> {
        let net = Net::new("burden")?;
        let stop = Arc::new(AtomicBool::new(false));
        let directory = std::env::temp_dir().join(format!("ek-burden-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let pins = PathBuf::from(format!("/sys/fs/bpf/ek-burden-{}", std::process::id()));
        let engine = net.namespace("director")?.enter(|| fill(&pins))??;
        let configuration = directory.join("large.conf");
        fs::write(&configuration, large_configuration())?;
        let source = directory.join("large.rs");
        fs::write(&source, large_source())?;
        let mut threads: Vec<JoinHandle<()>> = (0..LOOPS)
            .map(|_| {
                until(&stop, || {
                    std::hint::black_box((0..1_000_000_u64).map(std::hint::black_box).sum::<u64>());
                })
            })
            .collect();
        threads.push(sweep(&stop, engine));
        threads.push(until(&stop, move || {
            run(Command::new(env!("CARGO_BIN_EXE_evenkeel")).arg("check").arg(&configuration));
        }));
        threads.push(until(&stop, move || {
            let out = source.with_extension("o");
            run(Command::new("rustc")
                .args(["--edition", "2021", "-O", "--emit", "obj", "--crate-type", "lib", "-o"])
                .args([&out, &source]));
        }));
        Ok(Burden { stop, threads, directory, pins, _net: net })
    }
}

impl Drop for Burden {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_dir_all(&self.pins);
    }
}

fn until(stop: &Arc<AtomicBool>, mut work: impl FnMut() + Send + 'static) -> JoinHandle<()> {
    let stop = stop.clone();
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            work();
        }
    })
}

fn run(command: &mut Command) {
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn sweep(stop: &Arc<AtomicBool>, mut engine: XdpEngine) -> JoinHandle<()> {
    let stop = stop.clone();
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let now = edge::clock::now();
            engine.handle_timeout(now, SWEEP_BUDGET);
            let wait = engine.next_deadline().since(edge::clock::now());
            thread::sleep(wait.min(Duration::from_millis(10)));
        }
        let _ = engine.stop();
    })
}

/// An engine with a million connections.
fn fill(pins: &Path) -> std::result::Result<XdpEngine, String> {
    let options = XdpOptions { connections_max: CONNECTIONS, ..XdpOptions::new(pins) };
    let explain = |error: &dyn std::fmt::Display| format!("the burden's engine: {error}");
    let mut engine = XdpEngine::start(&options).map_err(|error| explain(&error))?;
    let ours = [2, 0, 0, 0, 0, 1];
    engine.test_interface(1, ours).map_err(|error| explain(&error))?;
    let address = Ipv4Addr::new(192, 0, 2, 1).into();
    let key = ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp };
    let settings =
        ServiceSettings { scheduler: Scheduler::RoundRobin, ..ServiceSettings::default() };
    let endpoint = Endpoint { address: Ipv4Addr::new(10, 0, 0, 1).into(), port: 8080 };
    let destination = Destination::new(endpoint, 1, Forwarding::Nat);
    engine
        .apply(&[
            TableChange::AddService(key, settings),
            TableChange::AddDestination(key, destination),
        ])
        .map_err(|error| explain(&error))?;
    engine
        .test_next_hop(key, endpoint, 77, [2, 0, 0, 0, 1, 1], ours)
        .map_err(|error| explain(&error))?;
    let mut frame = syn(ours);
    for flow in 0..CONNECTIONS {
        frame[26..30].copy_from_slice(&(0x0b00_0000 + flow).to_be_bytes());
        engine.test_forward(&frame, 1).map_err(|error| explain(&error))?;
    }
    let opened = engine.service_counters(key).connections;
    if opened < u64::from(CONNECTIONS) {
        return Err(format!("the burden has only {opened} connections: {:?}", engine.data_plane()));
    }
    Ok(engine)
}

/// A TCP SYN to 192.0.2.1:80; checksums are not looked at.
fn syn(to: [u8; 6]) -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 9, 9]);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14..18].copy_from_slice(&[0x45, 0, 0, 40]);
    frame[22..24].copy_from_slice(&[64, 6]);
    frame[30..34].copy_from_slice(&[192, 0, 2, 1]);
    frame[34..38].copy_from_slice(&[0x9c, 0x40, 0, 80]);
    frame[46] = 5 << 4;
    frame[47] = 2;
    frame
}

fn large_configuration() -> String {
    let mut text = String::new();
    for service in 0..REAL_SERVERS / 100 {
        let (high, low) = (service >> 8, service & 255);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "virtual_server 10.{high}.{low}.1 80 {{\n lb_algo rr\n lb_kind NAT\n protocol TCP\n"
        );
        for server in 0..100 {
            let _ = write!(
                text,
                " real_server 172.{}.{low}.{server} 80 {{\n weight 1\n TCP_CHECK {{\n }}\n }}\n",
                16 + high
            );
        }
        text += "}\n";
    }
    text
}

fn large_source() -> String {
    let mut text = String::new();
    for number in 0..2_000 {
        let _ = writeln!(
            text,
            "pub fn f{number}(mut x: Vec<u64>) -> u64 {{ x.sort(); x.dedup(); \
             x.iter().map(|y| y ^ {number}).filter(|y| y % 3 == 0).sum() }}"
        );
    }
    text
}
