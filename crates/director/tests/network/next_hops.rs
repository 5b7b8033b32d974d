//! Real servers that fall silent or change their place on the wire.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use director::Engine;
use model::layer4::Forwarding;

use crate::world::{PATIENCE, PORT, VIRTUAL, World, counter, server_address, start};

#[test]
fn a_server_whose_mac_address_changes_has_its_traffic_back_within_two_seconds() {
    let forwarding = Forwarding::DirectRouting;
    let Some(world) = World::new("l4mac", forwarding) else { return };
    world.serve(forwarding);
    let mut running = start(&world, forwarding);
    world.ask().unwrap();
    // Without the announcement that a machine usually makes.
    for server in &world.servers {
        server.sysctl("net/ipv4/conf/eth0/arp_notify", "0").unwrap();
    }
    world.servers[0].ip("link set eth0 address 02:00:00:00:aa:01").unwrap();
    world.servers[1].ip("link set eth0 address 02:00:00:00:aa:02").unwrap();
    let changed = Instant::now();
    let answered = AtomicU32::new(0);
    while answered.load(Ordering::Relaxed) < 2 {
        let to = SocketAddr::from((VIRTUAL, PORT));
        let quick = Duration::from_millis(100);
        let tried = world.client.enter(|| TcpStream::connect_timeout(&to, quick)).unwrap();
        answered.store(
            if tried.is_ok() { answered.load(Ordering::Relaxed) + 1 } else { 0 },
            Ordering::Relaxed,
        );
        assert!(changed.elapsed() < PATIENCE, "no traffic after {:?}", changed.elapsed());
    }
    println!("back after {:?}", changed.elapsed());
    assert!(changed.elapsed() < Duration::from_secs(2), "after {:?}", changed.elapsed());
    running.end().stop().unwrap();
}

/// Segments that the client had to send twice.
fn sent_again(world: &World) -> u64 {
    World::tcp_counter(&world.client, "RetransSegs")
}

#[test]
fn a_server_idle_until_the_kernel_forgets_it_gets_its_next_packet() {
    let forwarding = Forwarding::DirectRouting;
    let Some(world) = World::new("l4idle", forwarding) else { return };
    world.serve(forwarding);
    for timer in ["gc_stale_time", "base_reachable_time"] {
        world.director.sysctl(&format!("net/ipv4/neigh/eth0/{timer}"), "1").unwrap();
    }
    let mut running = start(&world, forwarding);
    for _ in 0..2 {
        world.ask().unwrap();
    }
    let before = sent_again(&world);
    // Idle for longer than that; and as when the kernel's table is full, its entries go.
    thread::sleep(Duration::from_millis(2500));
    world.director.ip("neigh flush all").unwrap();
    for _ in 0..2 {
        world.ask().unwrap();
    }
    // Without a director the frames go where they went: nothing depends on the kernel's memory.
    let engine = running.end();
    let plane = engine.data_plane();
    for lost in ["dropped_no_neighbour", "dropped_no_route", "passed_to_resolve"] {
        assert_eq!(counter(&engine, lost), 0, "{plane:?}");
    }
    drop(engine);
    thread::sleep(Duration::from_millis(2500));
    world.director.ip("neigh flush all").unwrap();
    for _ in 0..2 {
        world.ask().unwrap();
    }
    assert_eq!(sent_again(&world), before, "every first packet arrived");
    start(&world, forwarding).end().stop().unwrap();
}

#[test]
fn a_server_whose_address_moves_to_the_director_is_served_there_and_back() {
    let forwarding = Forwarding::DirectRouting;
    let Some(world) = World::new("l4move", forwarding) else { return };
    world.serve(forwarding);
    let listener = world.director.enter(|| TcpListener::bind((VIRTUAL, PORT))).unwrap().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(&[3]);
        }
    });
    let mut running = start(&world, forwarding);
    let until_served_by = |wanted: [u8; 2]| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut served = [world.ask().unwrap_or(0), world.ask().unwrap_or(0)];
            served.sort_unstable();
            if served == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "served by {served:?} instead of {wanted:?}");
        }
    };
    until_served_by([1, 2]);
    let address = server_address(2, forwarding);
    world.servers[1].ip(&format!("addr del {address}/24 dev eth0")).unwrap();
    world.director.ip(&format!("addr add {address}/32 dev eth0")).unwrap();
    until_served_by([1, 3]);
    world.director.ip(&format!("addr del {address}/32 dev eth0")).unwrap();
    world.servers[1].ip(&format!("addr add {address}/24 dev eth0")).unwrap();
    until_served_by([1, 2]);
    running.end().stop().unwrap();
}
