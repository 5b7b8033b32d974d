//! What the tests claim.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use director::{Destination, Engine, ServiceSettings, TableChange};
use edge::clock;
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey};

use crate::stream::{Traffic, is_whole, losses, serve};
use crate::world::{PORT, VIRTUAL, World, server_address};

const PATIENCE: Duration = Duration::from_secs(60);

/// The two layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Plain,
    Padded,
}

impl Layout {
    fn name(self) -> &'static str {
        match self {
            Layout::Plain => director::xdp::LAYOUT,
            Layout::Padded => crate::xdp::LAYOUT,
        }
    }

    fn start(self, pins: &Path) -> Box<dyn Engine> {
        match self {
            Layout::Plain => {
                let options = director::xdp::XdpOptions::new(pins);
                Box::new(director::xdp::XdpEngine::start(&options).unwrap())
            }
            Layout::Padded => {
                let options = crate::xdp::XdpOptions::new(pins);
                Box::new(crate::xdp::XdpEngine::start(&options).unwrap())
            }
        }
    }
}

fn key(protocol: Protocol) -> ServiceKey {
    ServiceKey::Address { address: VIRTUAL.into(), port: PORT, protocol }
}

fn endpoint(last: u8) -> Endpoint {
    Endpoint { address: server_address(last, Forwarding::Nat).into(), port: 8080 }
}

fn services() -> Vec<TableChange> {
    let settings =
        ServiceSettings { scheduler: Scheduler::RoundRobin, ..ServiceSettings::default() };
    let of = |protocol| {
        let add = |last| Destination::new(endpoint(last), 1, Forwarding::Nat);
        let servers = [1, 2].map(|last| TableChange::AddDestination(key(protocol), add(last)));
        [TableChange::AddService(key(protocol), settings)].into_iter().chain(servers)
    };
    [Protocol::Tcp, Protocol::Udp].into_iter().flat_map(of).collect()
}

/// A director with an engine of some layout.
struct Director {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(u64, u64)>>,
}

impl Director {
    fn start(world: &World, layout: Layout) -> Director {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, namespace, pins) =
            (stop.clone(), world.director.handle().clone(), world.pins.clone());
        let (tell, ready) = channel();
        let thread = thread::spawn(move || {
            namespace.enter_for_good().unwrap();
            let mut engine = layout.start(&pins);
            if !engine.adopted() {
                engine.apply(&services()).unwrap();
            }
            engine.set_interfaces(&["eth0".to_owned()]);
            tell.send(()).unwrap();
            while !told.load(Ordering::Relaxed) {
                engine.handle_ready(clock::now());
                engine.handle_timeout(clock::now(), Duration::from_millis(1));
                while let Some((_, line)) = engine.poll_log() {
                    println!("{layout:?}: {line}");
                }
                thread::sleep(Duration::from_millis(2));
            }
            recount(engine.as_ref())
        });
        ready.recv_timeout(PATIENCE).unwrap();
        Director { stop, thread }
    }

    /// As SIGKILL does: nothing is undone. What was counted at the servers, and what is there.
    fn kill(self) -> Vec<(u64, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Connections of each server, as counted and as listed.
fn recount(engine: &dyn Engine) -> Vec<(u64, u64)> {
    let listed = engine.connections(clock::now()).unwrap();
    let mut all = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for last in [1, 2] {
            let load = engine.destination_load(key(protocol), endpoint(last));
            let there = listed.iter().filter(|one| {
                one.server == endpoint(last) && one.service.protocol() == Some(protocol)
            });
            all.push((u64::from(load.active + load.inactive), there.count() as u64));
        }
    }
    all
}

fn layouts_there(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(&world.pins).unwrap().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name != "links" && name != "gate")
        .collect();
    names.sort();
    names
}

fn wait_until_over(world: &World, layout: Layout) {
    let begun = Instant::now();
    while layouts_there(world) != [layout.name()] {
        assert!(begun.elapsed() < PATIENCE, "{:?}", layouts_there(world));
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_director_killed_at_any_moment_of_it_is_followed_by_one_that_goes_on() {
    let Some(world) = World::new("l4kills", Forwarding::Nat) else { return };
    serve(&world);
    let first = Director::start(&world, Layout::Plain);
    let traffic = Traffic::start(&world);
    thread::sleep(Duration::from_millis(500));
    let before = losses(&world);
    first.kill();
    let mut there = Layout::Plain;
    for step in 0..10u64 {
        // Twice the same layout, then the other one; at last both at once were being left.
        if step % 2 == 0 {
            there = if there == Layout::Plain { Layout::Padded } else { Layout::Plain };
        }
        let next = Director::start(&world, there);
        thread::sleep(Duration::from_millis(step * 397 % 1100));
        next.kill();
    }
    let last = Director::start(&world, there);
    wait_until_over(&world, there);
    let accounts = traffic.end();
    println!("{accounts:?}");
    accounts.iter().for_each(is_whole);
    assert_eq!(losses(&world) - before, 0, "sent again, reset, full buffers");
    for (counted, listed) in last.kill() {
        assert!(listed > 20, "{listed}");
        assert_eq!(counted, listed);
    }
}

#[test]
fn an_upgrade_to_another_layout_and_back_loses_no_packet_and_moves_no_connection() {
    let Some(world) = World::new("l4layout", Forwarding::Nat) else { return };
    serve(&world);
    let first = Director::start(&world, Layout::Plain);
    let traffic = Traffic::start(&world);
    thread::sleep(Duration::from_secs(1));
    let before = losses(&world);
    first.kill();
    let mut there = Layout::Plain;
    for _ in 0..3 {
        there = if there == Layout::Plain { Layout::Padded } else { Layout::Plain };
        let next = Director::start(&world, there);
        wait_until_over(&world, there);
        thread::sleep(Duration::from_millis(500));
        next.kill();
    }
    let accounts = traffic.end();
    println!("{accounts:?}");
    accounts.iter().for_each(is_whole);
    assert_eq!(losses(&world) - before, 0, "retransmissions, resets, full buffers");
    let last = Director::start(&world, there);
    for (counted, listed) in last.kill() {
        assert!(listed > 20, "{listed}");
        assert_eq!(counted, listed);
    }
}
