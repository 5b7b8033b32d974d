//! Services of other kinds: UDP, generic XDP, by load, and a director that serves itself.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use director::xdp::XdpOptions;
use director::{Destination, Engine, ServiceSettings, TableChange};
use lab::net::Net;
use model::control::XdpMode;
use model::layer4::{Endpoint, Forwarding, Scheduler, ServiceKey};

use crate::world::{DOWNLOAD, PATIENCE, PORT, VIRTUAL, World, counter, destination, download};
use crate::world::{key, server_address, start_with, udp_key};

/// A service over servers with these weights.
fn service(key: ServiceKey, scheduler: Scheduler, servers: &[Destination]) -> Vec<TableChange> {
    let settings = ServiceSettings { scheduler, ..ServiceSettings::default() };
    let added = servers.iter().map(|server| TableChange::AddDestination(key, *server));
    [TableChange::AddService(key, settings)].into_iter().chain(added).collect()
}

fn both(forwarding: Forwarding) -> [Destination; 2] {
    [1, 2].map(|last| destination(last, forwarding))
}

/// Each server sends a datagram back with its number before it.
fn echo(world: &World, forwarding: Forwarding) {
    for (number, server) in world.servers.iter().enumerate() {
        // Its answers come from where it was asked.
        let address = match forwarding {
            Forwarding::Nat => server_address(number as u8 + 1, forwarding),
            Forwarding::DirectRouting | Forwarding::Tunnel(_) => VIRTUAL,
        };
        let address = (address, World::server_port(forwarding));
        let socket = server.enter(|| UdpSocket::bind(address)).unwrap().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            buffer[0] = number as u8 + 1;
            while let Ok((count, from)) = socket.recv_from(&mut buffer[1..]) {
                let _ = socket.send_to(&buffer[..count + 1], from);
            }
        });
    }
}

#[test]
fn datagrams_go_through_nat_and_back_and_a_client_stays_with_its_server() {
    let forwarding = Forwarding::Nat;
    let Some(world) = World::new("l4udp", forwarding) else { return };
    echo(&world, forwarding);
    let udp = udp_key();
    let changes = service(udp, Scheduler::RoundRobin, &both(forwarding));
    let mut running = start_with(&world, XdpOptions::new(&world.pins), changes);
    let ask = |socket: &UdpSocket, size: usize| {
        let message: Vec<u8> = (0..size).map(|at| at as u8).collect();
        let deadline = Instant::now() + PATIENCE;
        let mut answer = [0; 2048];
        loop {
            // A datagram may be lost: the first ones meet routers that do not know anybody yet.
            socket.send(&message).unwrap();
            match socket.recv(&mut answer) {
                Ok(count) if answer[1..count] == message => return answer[0],
                Ok(_) => {}
                Err(error) => assert!(Instant::now() < deadline, "no answer: {error}"),
            }
        }
    };
    let mut clients = BTreeMap::new();
    for _ in 0..20 {
        let client = || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect((VIRTUAL, PORT)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            socket
        };
        let socket = world.client.enter(client).unwrap();
        let who = ask(&socket, 1);
        for size in [0, 2, 33, 512, 1471] {
            assert_eq!(ask(&socket, size), who, "{size} bytes");
        }
        *clients.entry(who).or_insert(0) += 1;
    }
    assert_eq!(clients, BTreeMap::from([(1, 10), (2, 10)]));
    let mut engine = running.end();
    let counted = engine.service_counters(udp);
    assert_eq!(counted.connections, 20);
    assert!(counted.packets_in >= 120 && counted.packets_out >= 120, "{counted:?}");
    assert_eq!(engine.connections(edge::clock::now()).unwrap().len(), 20);
    engine.stop().unwrap();
}

/// Sends datagrams of 8 KiB until as many came back whole.
fn large_datagrams_come_back(world: &World, count: usize) {
    let client = || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect((VIRTUAL, PORT)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        socket
    };
    let socket = world.client.enter(client).unwrap();
    let (deadline, mut answer) = (Instant::now() + PATIENCE, vec![0; 1 << 16]);
    for number in 0..count {
        let message: Vec<u8> = (0..8192).map(|at| (at + number) as u8).collect();
        loop {
            socket.send(&message).unwrap();
            match socket.recv(&mut answer) {
                Ok(count) if answer[1..count] == message => break,
                Ok(_) => {}
                Err(error) => assert!(Instant::now() < deadline, "no answer: {error}"),
            }
        }
    }
}

#[test]
fn datagrams_in_fragments_go_both_ways() {
    for (tag, forwarding) in
        [("l4fragnat", Forwarding::Nat), ("l4fragdr", Forwarding::DirectRouting)]
    {
        let Some(world) = World::new(tag, forwarding) else { return };
        echo(&world, forwarding);
        let udp = udp_key();
        let changes = service(udp, Scheduler::RoundRobin, &both(forwarding));
        let mut running = start_with(&world, XdpOptions::new(&world.pins), changes);
        large_datagrams_come_back(&world, 20);
        // The first answers go by the kernel: their client has to be resolved again.
        world.director.ip("neigh flush dev eth0").unwrap();
        large_datagrams_come_back(&world, 20);
        let mut engine = running.end();
        assert_eq!(world.checksum_errors(), 0);
        // Six pieces each way.
        let counters = engine.service_counters(udp);
        assert!(counters.packets_in >= 240, "{counters:?}");
        if forwarding == Forwarding::Nat {
            assert!(counters.packets_out >= 240, "{counters:?}");
        }
        engine.stop().unwrap();
    }
}

#[test]
fn a_director_that_is_its_own_server_answers_in_fragments() {
    let forwarding = Forwarding::Nat;
    let Some(world) = World::new("l4fragself", forwarding) else { return };
    let own = IpAddr::from([10, 0, 0, 254]);
    let socket = world.director.enter(|| UdpSocket::bind((own, 8080))).unwrap().unwrap();
    thread::spawn(move || {
        let mut buffer = [3; 1 << 16];
        while let Ok((count, from)) = socket.recv_from(&mut buffer[1..]) {
            let _ = socket.send_to(&buffer[..count + 1], from);
        }
    });
    let udp = udp_key();
    let myself = Destination {
        endpoint: Endpoint { address: own, port: 8080 },
        ..destination(1, forwarding)
    };
    let changes = service(udp, Scheduler::RoundRobin, &[myself]);
    let mut running = start_with(&world, XdpOptions::new(&world.pins), changes);
    large_datagrams_come_back(&world, 20);
    let mut engine = running.end();
    assert_eq!(world.checksum_errors(), 0);
    assert!(engine.service_counters(udp).packets_out >= 120);
    engine.stop().unwrap();
}

#[test]
fn generic_xdp_carries_downloads_and_spreads_connections() {
    let forwarding = Forwarding::Nat;
    let Some(world) = World::new("l4generic", forwarding) else { return };
    world.serve(forwarding);
    let mut options = XdpOptions::new(&world.pins);
    options.mode = XdpMode::Generic;
    let changes = service(key(), Scheduler::RoundRobin, &both(forwarding));
    let mut running = start_with(&world, options, changes);
    assert_eq!(running.attached, ["eth0 (generic)", "eth1 (generic)"]);
    let mut turns = [0; 2];
    for _ in 0..20 {
        turns[usize::from(world.ask().unwrap()) - 1] += 1;
    }
    assert_eq!(turns, [10, 10]);
    let begun = Instant::now();
    assert_eq!(download(&world).join().unwrap(), DOWNLOAD + 1);
    println!("{} MiB in {:?}", DOWNLOAD >> 20, begun.elapsed());
    let mut engine = running.end();
    assert!(counter(&engine, "forwarded_to_client") > 0, "{:?}", engine.data_plane());
    assert_eq!(world.checksum_errors(), 0);
    engine.stop().unwrap();
}

#[test]
fn connections_that_stay_open_are_spread_by_load_and_weight() {
    let forwarding = Forwarding::Nat;
    let Some(world) = World::new("l4wlc", forwarding) else { return };
    world.serve(forwarding);
    let [first, second] = both(forwarding);
    let servers = [first, Destination { weight: 3, ..second }];
    let changes = service(key(), Scheduler::WeightedLeastConnection, &servers);
    let mut running = start_with(&world, XdpOptions::new(&world.pins), changes);
    let hold = |count: usize| -> Vec<(u8, TcpStream)> {
        let ask = |_| {
            let mut stream = world.connect().unwrap();
            stream.write_all(b"1").unwrap();
            let mut who = [0];
            stream.read_exact(&mut who).unwrap();
            (who[0], stream)
        };
        (0..count).map(ask).collect()
    };
    let of_first = |held: &[(u8, TcpStream)]| held.iter().filter(|(who, _)| *who == 1).count();
    let mut held = hold(40);
    assert_eq!(of_first(&held), 10, "weights 1 and 3");
    // The second server's clients leave: the next ones are its until the shares are right again.
    held.retain(|(who, _)| *who == 1);
    let more = hold(20);
    assert!(of_first(&more) <= 2, "{} of 20 went to the busy server", of_first(&more));
    drop((held, more));
    running.end().stop().unwrap();
}

#[test]
fn a_director_can_be_a_real_server_of_its_own_nat_service() {
    let forwarding = Forwarding::Nat;
    let Some(world) = World::new("l4self", forwarding) else { return };
    world.serve(forwarding);
    let own = IpAddr::from([10, 0, 0, 254]);
    let address = SocketAddr::from((own, 8080));
    let listener = world.director.enter(|| TcpListener::bind(address)).unwrap().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut wish = [0];
                if stream.read_exact(&mut wish).is_ok() && stream.write_all(&[3]).is_ok() {
                    let _ = stream.write_all(&vec![3; DOWNLOAD]);
                }
            });
        }
    });
    let myself = Destination {
        endpoint: Endpoint { address: own, port: 8080 },
        ..destination(1, forwarding)
    };
    let changes = service(key(), Scheduler::RoundRobin, &[destination(1, forwarding), myself]);
    let mut running = start_with(&world, XdpOptions::new(&world.pins), changes);
    let mut turns = BTreeMap::new();
    for _ in 0..20 {
        *turns.entry(world.ask().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(turns, BTreeMap::from([(1, 10), (3, 10)]));
    // Two in turn: one of them is the director's own, in segments larger than a frame.
    for one in [download(&world), download(&world)] {
        assert_eq!(one.join().unwrap(), DOWNLOAD + 1);
    }
    let mut engine = running.end();
    assert!(counter(&engine, "passed_to_self") > 0, "{:?}", engine.data_plane());
    assert_eq!(world.checksum_errors(), 0);
    let load = engine.destination_load(key(), myself.endpoint);
    assert_eq!(load.counters.connections, 11);
    assert!(load.counters.bytes_out > DOWNLOAD as u64, "{load:?}");
    engine.stop().unwrap();
}

#[test]
fn a_server_at_127_0_0_1_answers_and_the_kernel_is_left_as_it_was() {
    let forwarding = Forwarding::Nat;
    let Some(world) = World::new("l4loop", forwarding) else { return };
    let own = SocketAddr::from(([127, 0, 0, 1], 8080));
    let listener = world.director.enter(|| TcpListener::bind(own)).unwrap().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut wish = [0];
            if stream.read_exact(&mut wish).is_ok() {
                let _ = stream.write_all(&[7]);
            }
        }
    });
    let endpoint = Endpoint { address: own.ip(), port: own.port() };
    let changes =
        service(key(), Scheduler::RoundRobin, &[Destination::new(endpoint, 1, forwarding)]);
    let mut running = start_with(&world, XdpOptions::new(&world.pins), changes);
    for _ in 0..3 {
        assert_eq!(world.ask().unwrap(), 7);
    }
    let mut engine = running.end();
    let localnet = || {
        let key = "/proc/sys/net/ipv4/conf/eth0/route_localnet";
        let read = world.director.command("cat").arg(key).output().unwrap().stdout;
        String::from_utf8(read).unwrap().trim().to_owned()
    };
    assert_eq!(localnet(), "1");
    world.director.enter(|| engine.stop()).unwrap().unwrap();
    assert_eq!(localnet(), "0");
}

#[test]
fn an_interface_of_a_high_index_takes_part_like_any_other() {
    if let Some(missing) = lab::net::missing() {
        return println!("skipped: {missing}");
    }
    let net = Net::new("l4index").unwrap();
    let (client, director) = (net.namespace("client").unwrap(), net.namespace("dir").unwrap());
    let peer = format!("peer name eth0 netns {}", client.name());
    director.ip(&format!("link add eth0 index 50000 type veth {peer}")).unwrap();
    for (namespace, address) in [(&client, "192.0.2.2"), (&director, "192.0.2.1")] {
        let quiet = ["-K", "eth0", "tx", "off", "gro", "on"];
        assert!(namespace.command("ethtool").args(quiet).output().unwrap().status.success());
        namespace.ip("link set eth0 up").unwrap();
        namespace.ip(&format!("addr add {address}/24 dev eth0")).unwrap();
    }
    director.ip(&format!("addr add {VIRTUAL}/32 dev eth0")).unwrap();
    let listener = director.enter(|| TcpListener::bind((VIRTUAL, PORT))).unwrap().unwrap();
    let world = World::over(net, client, director);
    let endpoint = Endpoint { address: IpAddr::from([192, 0, 2, 1]), port: PORT };
    let myself = Destination::new(endpoint, 1, Forwarding::DirectRouting);
    let changes = service(key(), Scheduler::RoundRobin, &[myself]);
    let mut running = start_with(&world, XdpOptions::new(&world.pins), changes);
    assert_eq!(running.attached, ["eth0 (native)"]);
    let _ends = (world.connect().unwrap(), listener.accept().unwrap());
    let mut engine = running.end();
    assert!(counter(&engine, "passed_to_self") > 0, "{:?}", engine.data_plane());
    assert_eq!(counter(&engine, "passed_other_mac"), 0, "{:?}", engine.data_plane());
    engine.stop().unwrap();
}
