//! The forwarding program wherever it may run: native XDP, generic XDP and tc, with large transfers,
//! and with senders that leave cutting and adding up to the devices.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use director::xdp::XdpOptions;
use director::{Destination, Engine, ServiceSettings, TableChange};
use lab::net::{Namespace, Net};
use lab::unpack::Unpacker;
use model::control::XdpMode;
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey, Tunnel};

use crate::web::{self, Iperf, LARGE};
use crate::world::{PATIENCE, PORT, Running, VIRTUAL, World, counter, destination, key};
use crate::world::{server_address, start_with};

/// Has the devices do what they are not asked for otherwise, or not.
fn offload(namespace: &Namespace, device: &str, on: bool) {
    let word = if on { "on" } else { "off" };
    let all = ["-K", device, "tx", word, "tso", word, "gso", word, "gro", "on"];
    assert!(namespace.command("ethtool").args(all).output().unwrap().status.success());
}

fn at(port: u16, protocol: Protocol) -> ServiceKey {
    ServiceKey::Address { address: VIRTUAL.into(), port, protocol }
}

/// The web and iperf3, both at the first server alone.
fn changes(forwarding: Forwarding) -> Vec<TableChange> {
    let first = destination(1, forwarding);
    let iperf = Destination { endpoint: Endpoint { port: web::IPERF, ..first.endpoint }, ..first };
    let settings =
        ServiceSettings { scheduler: Scheduler::RoundRobin, ..ServiceSettings::default() };
    [(key(), first), (at(web::IPERF, Protocol::Tcp), iperf), (at(web::IPERF, Protocol::Udp), iperf)]
        .into_iter()
        .flat_map(|(key, server)| {
            [TableChange::AddService(key, settings), TableChange::AddDestination(key, server)]
        })
        .collect()
}

fn options(world: &World, mode: XdpMode) -> XdpOptions {
    XdpOptions { mode, ..XdpOptions::new(&world.pins) }
}

/// What answers at the first server; alive as long as the value is.
struct Serving {
    _iperf: Iperf,
    unpacker: Option<Unpacker>,
}

fn serve(world: &World, forwarding: Forwarding) -> Serving {
    let server = &world.servers[0];
    let unpacker = match forwarding {
        Forwarding::Nat | Forwarding::DirectRouting => None,
        Forwarding::Tunnel(tunnel) => Some(Unpacker::start(server, "eth0", &[tunnel]).unwrap()),
    };
    let at = match forwarding {
        Forwarding::Nat => server_address(1, forwarding),
        Forwarding::DirectRouting | Forwarding::Tunnel(_) => VIRTUAL,
    };
    web::serve(server, (at, World::server_port(forwarding)).into());
    Serving { _iperf: Iperf::serve(server, at), unpacker }
}

fn no_checksum_is_wrong(world: &World) {
    let servers = world.servers.iter();
    for namespace in servers.chain([&world.client, &world.director]) {
        for protocol in ["Tcp:", "Udp:", "Icmp:"] {
            let count = World::counter(namespace, protocol, "InCsumErrors");
            assert_eq!(count, 0, "{} {protocol}", namespace.name());
        }
    }
}

/// Everything large, both ways, as a client in this namespace sees it.
fn carries_everything(client: &Namespace) {
    let mut told = Vec::new();
    let mut timed = |what: &str, work: &dyn Fn()| {
        let begun = Instant::now();
        work();
        told.push(format!("{what} {:?}", begun.elapsed()));
    };
    timed("download", &|| assert_eq!(web::fetch(client, VIRTUAL), LARGE));
    timed("upload", &|| assert_eq!(web::bring(client, VIRTUAL), LARGE));
    for how in [&["-n", "100M"][..], &["-n", "100M", "-R"]] {
        timed(how.last().unwrap(), &|| {
            let (bytes, _) = web::iperf(client, VIRTUAL, how);
            // What is on its way when the client has sent enough is not counted any more.
            assert!(bytes >= LARGE * 3 / 4, "{bytes} of {LARGE}");
        });
    }
    for how in [&["-u", "-b", "40M", "-n", "512K"][..], &["-u", "-b", "40M", "-n", "512K", "-R"]] {
        let (bytes, lost) = web::iperf(client, VIRTUAL, how);
        // A machine with much to do loses some in its queues.
        assert!(bytes > 1 << 17 && lost < 75.0, "{how:?}: {bytes} bytes, {lost} % lost");
    }
    println!("{}", told.join(", "));
}

fn everything_goes(tag: &str, mode: XdpMode, forwarding: Forwarding, prepare: impl Fn(&World)) {
    let Some(world) = World::new(tag, forwarding) else { return };
    prepare(&world);
    let serving = serve(&world, forwarding);
    let mut running = start_with(&world, options(&world, mode), changes(forwarding));
    let word = format!("{mode:?}").to_lowercase();
    assert!(running.attached.iter().all(|one| one.contains(&word)), "{:?}", running.attached);
    print!("{tag}: ");
    carries_everything(&world.client);
    let mut engine = running.end();
    no_checksum_is_wrong(&world);
    assert!(counter(&engine, "forwarded_to_server") > 1000, "{:?}", engine.data_plane());
    if let Some(unpacker) = serving.unpacker {
        assert_eq!(unpacker.refused(), 0);
    }
    engine.stop().unwrap();
}

const WAYS: [(&str, Forwarding); 3] = [
    ("nat", Forwarding::Nat),
    ("dr", Forwarding::DirectRouting),
    ("tun", Forwarding::Tunnel(Tunnel::IpIp)),
];

#[test]
fn native_xdp_carries_large_transfers_both_ways() {
    for (name, forwarding) in WAYS {
        everything_goes(&format!("hkn{name}"), XdpMode::Native, forwarding, |_| {});
    }
}

#[test]
fn generic_xdp_carries_large_transfers_both_ways() {
    for (name, forwarding) in WAYS {
        everything_goes(&format!("hkg{name}"), XdpMode::Generic, forwarding, |_| {});
    }
}

/// Senders leave cutting and checksums to the devices.
fn leave_it_to_devices(world: &World) {
    offload(&world.client, "eth0", true);
    for server in &world.servers {
        offload(server, "eth0", true);
    }
}

#[test]
fn tc_carries_what_senders_did_not_finish_to_devices_that_finish_it() {
    // What stays unfinished in a tunnel would stay so: nothing here is a real device.
    for (name, forwarding) in &WAYS[..2] {
        everything_goes(&format!("hktx{name}"), XdpMode::Tc, *forwarding, |world| {
            leave_it_to_devices(world);
            offload(&world.director, "eth0", true);
            if *forwarding == Forwarding::Nat {
                offload(&world.director, "eth1", true);
            }
        });
    }
}

#[test]
fn tc_carries_what_senders_did_not_finish_to_devices_that_do_not_either() {
    for (name, forwarding) in WAYS {
        everything_goes(&format!("hktp{name}"), XdpMode::Tc, forwarding, leave_it_to_devices);
    }
}

#[test]
fn tc_packs_what_senders_did_not_finish_into_tunnels_with_checksums() {
    let tunnels = [
        Tunnel::Gre { checksum: false },
        Tunnel::Gue { port: 6080, checksum: false },
        Tunnel::Gue { port: 6080, checksum: true },
    ];
    for (number, tunnel) in tunnels.into_iter().enumerate() {
        let tag = format!("hkts{number}");
        everything_goes(&tag, XdpMode::Tc, Forwarding::Tunnel(tunnel), leave_it_to_devices);
    }
}

/// Clients on the director itself.
fn everything_goes_from_the_director(tag: &str, mode: XdpMode, forwarding: Forwarding) {
    let Some(world) = World::new(tag, forwarding) else { return };
    let _serving = serve(&world, forwarding);
    let mut running = start_with(&world, options(&world, mode), changes(forwarding));
    print!("{tag}: ");
    carries_everything(&world.director);
    let mut engine = running.end();
    no_checksum_is_wrong(&world);
    let load = engine.destination_load(key(), destination(1, forwarding).endpoint);
    assert_eq!(load.counters.connections, 2, "{load:?}");
    world.director.enter(|| engine.stop()).unwrap().unwrap();
    let kept =
        world.director.command("cat").arg("/proc/sys/net/ipv4/conf/lo/accept_local").output();
    assert_eq!(kept.unwrap().stdout, b"0\n", "the kernel is left as it was");
}

#[test]
fn the_director_itself_is_a_client_of_servers_behind_it() {
    for (tag, mode) in
        [("hklnn", XdpMode::Native), ("hklng", XdpMode::Generic), ("hklnt", XdpMode::Tc)]
    {
        everything_goes_from_the_director(tag, mode, Forwarding::Nat);
    }
}

#[test]
fn the_director_itself_is_a_client_of_servers_beside_it() {
    for (tag, mode) in
        [("hkldn", XdpMode::Native), ("hkldg", XdpMode::Generic), ("hkldt", XdpMode::Tc)]
    {
        everything_goes_from_the_director(tag, mode, Forwarding::DirectRouting);
    }
}

#[test]
fn a_sorry_server_at_127_0_0_1_serves_clients_outside_and_on_the_director() {
    for (tag, mode) in
        [("hksn", XdpMode::Native), ("hksg", XdpMode::Generic), ("hkst", XdpMode::Tc)]
    {
        let forwarding = Forwarding::Nat;
        let Some(world) = World::new(tag, forwarding) else { return };
        if mode == XdpMode::Tc {
            leave_it_to_devices(&world);
        }
        web::serve(&world.director, ([127, 0, 0, 1], 8080).into());
        let endpoint = Endpoint { address: IpAddr::from([127, 0, 0, 1]), port: 8080 };
        let settings = ServiceSettings::default();
        let changes = vec![
            TableChange::AddService(key(), settings),
            TableChange::AddDestination(key(), Destination::new(endpoint, 1, forwarding)),
        ];
        let mut running = start_with(&world, options(&world, mode), changes);
        for client in [&world.client, &world.director] {
            assert_eq!(web::fetch(client, VIRTUAL), LARGE);
            assert_eq!(web::bring(client, VIRTUAL), LARGE);
        }
        let mut engine = running.end();
        no_checksum_is_wrong(&world);
        assert_eq!(engine.destination_load(key(), endpoint).counters.connections, 4);
        world.director.enter(|| engine.stop()).unwrap().unwrap();
    }
}

/// A client -- outside -- director -- a bridge of its own -- server.
#[test]
fn a_way_out_that_takes_no_frames_from_xdp_brings_every_interface_to_tc() {
    let forwarding = Forwarding::Nat;
    let Some(world) = World::new("hkbridge", forwarding) else { return };
    for command in [
        "addr flush dev eth1",
        "link add br0 type bridge forward_delay 0 mcast_snooping 0",
        "link set eth1 master br0",
        "link set br0 up",
        "addr add 10.0.0.254/24 dev br0",
    ] {
        world.director.ip(command).unwrap();
    }
    let _serving = serve(&world, forwarding);
    let mut running = start_with(&world, options(&world, XdpMode::Auto), changes(forwarding));
    assert_eq!(
        running.attached,
        [
            "br0 (tc: br0 (a bridge) has no native XDP)",
            "eth0 (tc: br0 (a bridge) takes no frames from native XDP)"
        ]
    );
    carries_everything(&world.client);
    no_checksum_is_wrong(&world);
    running.end().stop().unwrap();
}

#[test]
fn a_driver_without_gro_at_its_other_end_gets_no_native_xdp() {
    if let Some(missing) = lab::net::missing() {
        return println!("skipped: {missing}");
    }
    let net = Net::new("hkplain").unwrap();
    let (client, director) = (net.namespace("client").unwrap(), net.namespace("dir").unwrap());
    net.veth((&client, "eth0"), (&director, "eth0")).unwrap();
    let quiet = ["-K", "eth0", "gro", "off"];
    assert!(client.command("ethtool").args(quiet).output().unwrap().status.success());
    let world = World::over(net, client, director);
    let mut running = start_with(&world, XdpOptions::new(&world.pins), Vec::new());
    assert_eq!(running.attached, ["eth0 (tc: eth0 (a veth) takes no frames from native XDP)"]);
    running.end().stop().unwrap();
}

/// Datagrams to the virtual address at a steady pace, each with a number that comes back.
struct Stream {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<(u64, u64)>,
}

impl Stream {
    fn begin(world: &World) -> Stream {
        let socket = || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect((VIRTUAL, PORT)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            socket
        };
        let socket = world.client.enter(socket).unwrap();
        let listener = socket.try_clone().unwrap();
        let heard = thread::spawn(move || {
            let mut buffer = [0; 64];
            std::iter::from_fn(|| listener.recv(&mut buffer).ok()).count() as u64
        });
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = thread::spawn(move || {
            let mut sent = 0u64;
            // At least one, however soon it ends.
            loop {
                socket.send(&sent.to_be_bytes()).unwrap();
                sent += 1;
                thread::sleep(Duration::from_micros(500));
                if told.load(Ordering::Relaxed) {
                    break;
                }
            }
            (sent, heard.join().unwrap())
        });
        Stream { stop, thread }
    }

    fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The first server sends each datagram back.
fn echo(world: &World) {
    let at = (server_address(1, Forwarding::Nat), World::server_port(Forwarding::Nat));
    let socket = world.servers[0].enter(|| UdpSocket::bind(at)).unwrap().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..count], from);
        }
    });
}

#[test]
fn a_director_that_starts_with_another_mode_loses_no_packet() {
    let Some(world) = World::new("hkmode", Forwarding::Nat) else { return };
    echo(&world);
    let udp = at(PORT, Protocol::Udp);
    let changes = vec![
        TableChange::AddService(udp, ServiceSettings::default()),
        TableChange::AddDestination(udp, destination(1, Forwarding::Nat)),
    ];
    let begin = |mode| -> Running { start_with(&world, options(&world, mode), changes.clone()) };
    let mut running = begin(XdpMode::Tc);
    // Neighbours are met before anything is counted.
    let deadline = Instant::now() + PATIENCE;
    while Stream::begin(&world).end().1 == 0 {
        assert!(Instant::now() < deadline);
    }
    let stream = Stream::begin(&world);
    for mode in [XdpMode::Native, XdpMode::Generic, XdpMode::Tc, XdpMode::Generic, XdpMode::Native]
    {
        // As SIGKILL does: nothing is undone.
        drop(running.end());
        running = begin(mode);
        assert!(running.adopted);
        let word = format!("{mode:?}").to_lowercase();
        assert!(running.attached.iter().all(|one| one.contains(&word)), "{:?}", running.attached);
        thread::sleep(Duration::from_millis(100));
    }
    let (sent, heard) = stream.end();
    assert!(sent > 1000, "{sent}");
    assert_eq!(heard, sent);
    running.end().stop().unwrap();
}
