//! What IPv6 has of its own: tunnels between the families, datagrams in fragments by an extension
//! header, and a server at ::1.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use director::xdp::XdpOptions;
use director::{Destination, Engine, ServiceSettings, TableChange};
use lab::unpack::Unpacker;
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey, Tunnel};

use crate::world::{
    DOWNLOAD, PATIENCE, PORT, VIRTUAL6, World, counter, destination, destination6, download,
    server_address6, start_with, upload,
};

fn service(key: ServiceKey, servers: &[Destination]) -> Vec<TableChange> {
    let settings = ServiceSettings { scheduler: Scheduler::RoundRobin, ..Default::default() };
    let added = servers.iter().map(|server| TableChange::AddDestination(key, *server));
    [TableChange::AddService(key, settings)].into_iter().chain(added).collect()
}

const TUNNELS: [Tunnel; 5] = [
    Tunnel::IpIp,
    Tunnel::Gre { checksum: false },
    Tunnel::Gre { checksum: true },
    Tunnel::Gue { port: 6080, checksum: false },
    Tunnel::Gue { port: 6080, checksum: true },
];

/// Through this tunnel, from a service of one family to servers of either.
fn tunnel_carries(
    world: Option<World>,
    forwarding: Forwarding,
    server: fn(u8, Forwarding) -> Destination,
) {
    let (Some(world), Forwarding::Tunnel(tunnel)) = (world, forwarding) else { return };
    let unpack = |namespace| Unpacker::start(namespace, "eth0", &[tunnel]).unwrap();
    let unpackers: Vec<Unpacker> = world.servers.iter().map(unpack).collect();
    world.serve(forwarding);
    let servers = [1, 2].map(|last| server(last, forwarding));
    let changes = service(world.key(), &servers);
    let mut running = start_with(&world, XdpOptions::new(&world.pins), changes);
    let mut turns = [0; 2];
    for _ in 0..10 {
        match world.ask() {
            Ok(who) => turns[usize::from(who) - 1] += 1,
            Err(error) => panic!("{forwarding}: {error}: {:?}", running.end().data_plane()),
        }
    }
    assert_eq!(turns, [5, 5], "{forwarding}");
    assert_eq!(download(&world).join().unwrap(), DOWNLOAD + 1, "{forwarding}");
    assert_eq!(upload(&world).join().unwrap(), DOWNLOAD, "{forwarding}");
    assert_eq!(world.checksum_errors(), 0, "{forwarding}");
    let mut engine = running.end();
    // A full frame and the tunnel's header are more than a frame: the client is told.
    assert!(counter(&engine, "answered_too_big") > 0, "{:?}", engine.data_plane());
    for unpacker in unpackers {
        assert!(unpacker.unpacked() > 0, "{forwarding}");
        assert_eq!(unpacker.refused(), 0, "{forwarding}");
    }
    engine.stop().unwrap();
}

#[test]
fn every_tunnel_carries_ipv6_over_ipv6() {
    for (number, tunnel) in TUNNELS.into_iter().enumerate() {
        let forwarding = Forwarding::Tunnel(tunnel);
        let world = World::new6(&format!("l4t66n{number}"), forwarding);
        tunnel_carries(world, forwarding, destination6);
    }
}

#[test]
fn every_tunnel_carries_ipv4_over_ipv6() {
    for (number, tunnel) in TUNNELS.into_iter().enumerate() {
        let forwarding = Forwarding::Tunnel(tunnel);
        let world = World::new(&format!("l4t46n{number}"), forwarding);
        tunnel_carries(world, forwarding, destination6);
    }
}

#[test]
fn every_tunnel_carries_ipv6_over_ipv4() {
    for (number, tunnel) in TUNNELS.into_iter().enumerate() {
        let forwarding = Forwarding::Tunnel(tunnel);
        let world = World::new6(&format!("l4t64n{number}"), forwarding);
        tunnel_carries(world, forwarding, destination);
    }
}

fn udp(world: &World) -> ServiceKey {
    ServiceKey::Address { address: world.address(), port: PORT, protocol: Protocol::Udp }
}

/// Each server sends a datagram back with its number before it, from where it was asked.
fn echo(world: &World, forwarding: Forwarding) {
    for (number, server) in world.servers.iter().enumerate() {
        let address = match forwarding {
            Forwarding::Nat => server_address6(number as u8 + 1, forwarding),
            Forwarding::DirectRouting | Forwarding::Tunnel(_) => VIRTUAL6,
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

/// Sends datagrams of this size until as many came back whole.
fn datagrams_come_back(world: &World, size: usize, count: usize) {
    let to = (world.address(), PORT);
    let client = || {
        let socket = UdpSocket::bind("[::]:0").unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        socket
    };
    let socket = world.client.enter(client).unwrap();
    let (deadline, mut answer) = (Instant::now() + PATIENCE, vec![0; 1 << 16]);
    for number in 0..count {
        let message: Vec<u8> = (0..size).map(|at| (at + number) as u8).collect();
        loop {
            socket.send(&message).unwrap();
            match socket.recv(&mut answer) {
                Ok(count) if answer[1..count] == message => break,
                Ok(_) => {}
                Err(error) => assert!(Instant::now() < deadline, "{size} bytes: {error}"),
            }
        }
    }
}

#[test]
fn datagrams_go_both_ways_whole_and_in_fragments() {
    for (tag, forwarding) in
        [("l4frag6nat", Forwarding::Nat), ("l4frag6dr", Forwarding::DirectRouting)]
    {
        let Some(world) = World::new6(tag, forwarding) else { return };
        echo(&world, forwarding);
        let servers = [1, 2].map(|last| destination6(last, forwarding));
        let changes = service(udp(&world), &servers);
        let mut running = start_with(&world, XdpOptions::new(&world.pins), changes);
        for size in [0, 1, 33, 512, 1451] {
            datagrams_come_back(&world, size, 4);
        }
        datagrams_come_back(&world, 8192, 20);
        // The first answers go by the kernel: their client has to be resolved again.
        world.director.ip("-6 neigh flush dev eth0").unwrap();
        datagrams_come_back(&world, 8192, 20);
        let mut engine = running.end();
        assert_eq!(world.checksum_errors(), 0);
        // Six pieces each way.
        let counters = engine.service_counters(udp(&world));
        assert!(counters.packets_in >= 260, "{counters:?}");
        if forwarding == Forwarding::Nat {
            assert!(counters.packets_out >= 260, "{counters:?}");
        }
        engine.stop().unwrap();
    }
}

/// A server of the director's own at this address, which says 7.
fn serve_at(world: &World, address: IpAddr) {
    let own = SocketAddr::from((address, 8080));
    let listener = world.director.enter(|| TcpListener::bind(own)).unwrap().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut wish = [0];
                if stream.read_exact(&mut wish).is_ok() && stream.write_all(&[7]).is_ok() {
                    let _ = stream.write_all(&vec![7; DOWNLOAD]);
                }
            });
        }
    });
}

#[test]
fn a_director_can_be_a_real_server_of_its_own_nat_service_over_ipv6() {
    let forwarding = Forwarding::Nat;
    let Some(world) = World::new6("l4self6", forwarding) else { return };
    let own = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xfe).into();
    serve_at(&world, own);
    let myself = Destination::new(Endpoint { address: own, port: 8080 }, 1, forwarding);
    let changes = service(world.key(), &[myself]);
    let mut running = start_with(&world, XdpOptions::new(&world.pins), changes);
    for _ in 0..3 {
        assert_eq!(world.ask().unwrap(), 7);
    }
    assert_eq!(download(&world).join().unwrap(), DOWNLOAD + 1);
    let mut engine = running.end();
    assert!(counter(&engine, "passed_to_self") > 0, "{:?}", engine.data_plane());
    assert_eq!(world.checksum_errors(), 0);
    engine.stop().unwrap();
}

#[test]
fn a_server_at_the_loopback_of_ipv6_answers_and_outside_nobody_reaches_it() {
    let forwarding = Forwarding::Nat;
    let Some(world) = World::new6("l4loop6", forwarding) else { return };
    let own = IpAddr::from(Ipv6Addr::LOCALHOST);
    serve_at(&world, own);
    let server = Destination::new(Endpoint { address: own, port: 8080 }, 1, forwarding);
    let changes = service(world.key(), &[server]);
    let filters = || {
        let shown = ["filter", "show", "dev", "eth0", "ingress"];
        let shown = world.director.command("tc").args(shown).output().unwrap().stdout;
        let shown = String::from_utf8(shown).unwrap();
        shown.lines().filter(|line| line.contains("evenkeel_inward")).count()
    };
    let mut first = start_with(&world, XdpOptions::new(&world.pins), changes);
    for _ in 0..3 {
        assert_eq!(world.ask().unwrap(), 7);
    }
    assert_eq!(download(&world).join().unwrap(), DOWNLOAD + 1);
    // Without a director, and with the next one.
    drop(first.end());
    assert_eq!(world.ask().unwrap(), 7);
    let mut second = start_with(&world, XdpOptions::new(&world.pins), Vec::new());
    assert!(second.adopted);
    assert_eq!(world.ask().unwrap(), 7);
    assert_eq!(filters(), 1);
    let mut engine = second.end();
    assert_eq!(world.checksum_errors(), 0);
    // A neighbour that writes ::1 into its packets itself.
    let before = counter(&engine, "dropped_loopback");
    let mac = world.director.ip("-o link show dev eth0").unwrap();
    let mac = mac.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    world.client.ip("-6 addr del ::1/128 dev lo").unwrap();
    world.client.ip(&format!("-6 neigh replace ::1 lladdr {mac} dev eth0 nud permanent")).unwrap();
    world.client.ip("-6 route add ::1/128 dev eth0").unwrap();
    let quick = Duration::from_millis(500);
    let to = SocketAddr::from((own, 8080));
    let tried = world.client.enter(|| std::net::TcpStream::connect_timeout(&to, quick)).unwrap();
    assert!(tried.is_err());
    assert!(counter(&engine, "dropped_loopback") > before, "{:?}", engine.data_plane());
    world.director.enter(|| engine.stop()).unwrap().unwrap();
    assert_eq!(filters(), 0);
}
