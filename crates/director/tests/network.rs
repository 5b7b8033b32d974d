//! The engine over real cables: a client, a director and two servers in namespaces, native XDP.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use director::xdp::{XdpEngine, XdpOptions};
use director::{Destination, Engine, ServiceSettings, TableChange};
use edge::clock;
use lab::net::{Namespace, Net};
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey};

const VIRTUAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const PORT: u16 = 80;
const DOWNLOAD: usize = 8 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

/// NAT: client -- outside -- director -- inside -- servers 1 and 2.
/// Direct routing: everybody on `outside`.
struct World {
    client: Namespace,
    director: Namespace,
    servers: Vec<Namespace>,
    pins: PathBuf,
    _net: Net,
}

impl World {
    fn new(tag: &str, forwarding: Forwarding) -> Option<World> {
        if let Some(missing) = lab::net::missing() {
            println!("skipped: {missing}");
            return None;
        }
        let world = World::build(tag, forwarding);
        Some(world.unwrap_or_else(|error| panic!("topology: {error}")))
    }

    fn build(tag: &str, forwarding: Forwarding) -> std::io::Result<World> {
        let net = Net::new(tag)?;
        let (client, director) = (net.namespace("client")?, net.namespace("director")?);
        let servers = vec![net.namespace("s1")?, net.namespace("s2")?];
        let mut outside = vec![(&client, "eth0"), (&director, "eth0")];
        let on_cable = servers.iter().map(|server| (server, "eth0"));
        match forwarding {
            Forwarding::Nat => {
                let inside: Vec<_> = [(&director, "eth1")].into_iter().chain(on_cable).collect();
                net.segment("inside", &inside)?;
                director.ip("addr add 10.0.0.254/24 dev eth1")?;
            }
            Forwarding::DirectRouting => outside.extend(on_cable),
        }
        net.segment("outside", &outside)?;
        client.ip("addr add 192.0.2.2/24 dev eth0")?;
        director.ip("addr add 192.0.2.1/24 dev eth0")?;
        director.ip(&format!("addr add {VIRTUAL}/32 dev eth0"))?;
        director.sysctl("net/ipv4/ip_forward", "1")?;
        for (number, server) in servers.iter().enumerate() {
            let address = server_address(number as u8 + 1, forwarding);
            server.ip(&format!("addr add {address}/24 dev eth0"))?;
            match forwarding {
                Forwarding::Nat => server.ip("route add default via 10.0.0.254").map(drop)?,
                Forwarding::DirectRouting => {
                    server.sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
                    server.sysctl("net/ipv4/conf/all/arp_announce", "2")?;
                    server.ip(&format!("addr add {VIRTUAL}/32 dev lo"))?;
                }
            }
        }
        let pins = format!("/sys/fs/bpf/evenkeel-test-{tag}-{}", std::process::id());
        Ok(World { client, director, servers, pins: pins.into(), _net: net })
    }

    fn server_port(forwarding: Forwarding) -> u16 {
        if forwarding == Forwarding::Nat { 8080 } else { PORT }
    }

    /// Each server answers a connection with its number, then with a long download.
    fn serve(&self, forwarding: Forwarding) {
        for (number, server) in self.servers.iter().enumerate() {
            let listener = server
                .enter(|| TcpListener::bind(("0.0.0.0", World::server_port(forwarding))))
                .unwrap()
                .unwrap();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    thread::spawn(move || answer(stream, number as u8 + 1));
                }
            });
        }
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let to = SocketAddr::from((VIRTUAL, PORT));
        let stream =
            self.client.enter(|| TcpStream::connect_timeout(&to, Duration::from_secs(5)))??;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(stream)
    }

    /// Which server answers a new connection.
    fn ask(&self) -> std::io::Result<u8> {
        let mut stream = self.connect()?;
        stream.write_all(b"1")?;
        let mut who = [0];
        stream.read_exact(&mut who)?;
        Ok(who[0])
    }

    fn checksum_errors(&self) -> u64 {
        let everybody = self.servers.iter().chain([&self.client]);
        everybody.map(|namespace| World::tcp_counter(namespace, "InCsumErrors")).sum()
    }

    fn tcp_counter(namespace: &Namespace, name: &str) -> u64 {
        let text = namespace.command("cat").arg("/proc/net/snmp").output().unwrap().stdout;
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let at = names.split(' ').position(|found| found == name).unwrap();
        values.split(' ').nth(at).unwrap().parse().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.pins);
    }
}

/// NAT: behind the director. Direct routing: beside it.
fn server_address(last: u8, forwarding: Forwarding) -> Ipv4Addr {
    match forwarding {
        Forwarding::Nat => Ipv4Addr::new(10, 0, 0, last),
        Forwarding::DirectRouting => Ipv4Addr::new(192, 0, 2, 100 + last),
    }
}

fn answer(mut stream: TcpStream, number: u8) {
    let mut wish = [0];
    if stream.read_exact(&mut wish).is_err() || stream.write_all(&[number]).is_err() {
        return;
    }
    if wish[0] == b'D' {
        let _ = stream.write_all(&vec![number; DOWNLOAD]);
    }
    let _ = stream.read(&mut wish);
}

/// An engine with its event loop on a thread inside the director.
struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<XdpEngine>>,
    pub(crate) attached: Vec<String>,
    pub(crate) adopted: bool,
}

fn key() -> ServiceKey {
    ServiceKey { address: VIRTUAL.into(), port: PORT, protocol: Protocol::Tcp }
}

fn destination(last: u8, forwarding: Forwarding) -> Destination {
    let address = server_address(last, forwarding);
    let endpoint = Endpoint { address: address.into(), port: World::server_port(forwarding) };
    Destination { endpoint, weight: 1, forwarding }
}

fn start(world: &World, forwarding: Forwarding) -> Running {
    let stop = Arc::new(AtomicBool::new(false));
    let (told, pins) = (stop.clone(), world.pins.clone());
    let namespace = world.director.handle().clone();
    let (tell, told_attached) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        namespace.enter_for_good().unwrap();
        let mut engine = XdpEngine::start(&XdpOptions::new(&pins)).unwrap();
        let settings =
            ServiceSettings { scheduler: Scheduler::RoundRobin, ..ServiceSettings::default() };
        if !engine.adopted() {
            engine.apply(&[TableChange::AddService(key(), settings)]).unwrap();
            for last in [1, 2] {
                let change = TableChange::AddDestination(key(), destination(last, forwarding));
                engine.apply(&[change]).unwrap();
            }
        }
        engine.set_interfaces(&["eth0".to_owned()]);
        tell.send((engine.interfaces(), engine.adopted())).unwrap();
        while !told.load(Ordering::Relaxed) {
            engine.handle_ready(clock::now());
            engine.handle_timeout(clock::now(), Duration::from_millis(1));
            thread::sleep(Duration::from_millis(10));
        }
        engine
    });
    let (attached, adopted) = told_attached.recv_timeout(PATIENCE).unwrap();
    Running { stop, thread: Some(thread), attached, adopted }
}

impl Running {
    fn end(&mut self) -> XdpEngine {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

fn download(world: &World) -> JoinHandle<usize> {
    let mut stream = world.connect().unwrap();
    thread::spawn(move || {
        stream.write_all(b"D").unwrap();
        let mut sum = 0;
        let mut buffer = vec![0; 64 << 10];
        while sum < DOWNLOAD + 1 {
            match stream.read(&mut buffer).expect("the download goes on") {
                0 => break,
                count => sum += count,
            }
        }
        sum
    })
}

fn traffic_goes_through(tag: &str, forwarding: Forwarding) {
    let Some(world) = World::new(tag, forwarding) else { return };
    world.serve(forwarding);
    let mut running = start(&world, forwarding);
    let cables = if forwarding == Forwarding::Nat { 2 } else { 1 };
    assert_eq!(running.attached, ["eth0 (native)", "eth1 (native)"][..cables]);
    assert!(!running.adopted);
    let mut turns = [0; 2];
    for _ in 0..20 {
        turns[usize::from(world.ask().unwrap()) - 1] += 1;
    }
    assert_eq!(turns, [10, 10]);
    assert_eq!(download(&world).join().unwrap(), DOWNLOAD + 1);
    assert_eq!(world.checksum_errors(), 0);
    let mut engine = running.end();
    let counter = |name: &str| engine.data_plane().iter().find(|(it, _)| it == name).unwrap().1;
    let by_kernel = counter("forwarded_by_kernel") + counter("passed_to_resolve");
    assert!(counter("forwarded_to_server") > 21 * 3, "{:?}", engine.data_plane());
    assert!(by_kernel < 20, "only first packets go by the kernel: {:?}", engine.data_plane());
    engine.stop().unwrap();
    assert!(world.ask().is_err(), "nothing forwards any more");
}

#[test]
fn nat_carries_downloads_and_spreads_connections() {
    traffic_goes_through("l4nat", Forwarding::Nat);
}

#[test]
fn an_answer_to_a_client_the_director_has_never_met_is_not_lost() {
    let forwarding = Forwarding::Nat;
    let Some(world) = World::new("l4unmet", forwarding) else { return };
    world.serve(forwarding);
    let mut running = start(&world, forwarding);
    world.ask().unwrap();
    // As after a failover: the client has the virtual address's MAC, the director not the client's.
    world.director.ip("neigh flush dev eth0").unwrap();
    world.ask().unwrap();
    assert_eq!(download(&world).join().unwrap(), DOWNLOAD + 1);
    let mut engine = running.end();
    let counter = |name: &str| engine.data_plane().iter().find(|(it, _)| it == name).unwrap().1;
    assert!(counter("forwarded_by_kernel") > 0, "{:?}", engine.data_plane());
    let dropped = engine.data_plane().into_iter().filter(|(name, _)| name.starts_with("dropped"));
    assert_eq!(dropped.map(|(_, count)| count).sum::<u64>(), 0, "{:?}", engine.data_plane());
    assert_eq!(world.checksum_errors(), 0);
    engine.stop().unwrap();
}

#[test]
fn direct_routing_carries_downloads_and_spreads_connections() {
    traffic_goes_through("l4dr", Forwarding::DirectRouting);
}

#[test]
fn forwarding_outlives_the_engine_and_the_next_one_takes_it_over() {
    let forwarding = Forwarding::Nat;
    let Some(world) = World::new("l4adopt", forwarding) else { return };
    world.serve(forwarding);
    let mut first = start(&world, forwarding);
    let long = download(&world);
    // As SIGKILL does: nothing is undone.
    drop(first.end());
    let mut turns = [0; 2];
    for _ in 0..20 {
        turns[usize::from(world.ask().unwrap()) - 1] += 1;
    }
    assert_eq!(turns, [10, 10], "without any director");
    let mut second = start(&world, forwarding);
    assert!(second.adopted);
    assert_eq!(second.attached, ["eth0 (native)", "eth1 (native)"]);
    world.ask().unwrap();
    assert_eq!(long.join().unwrap(), DOWNLOAD + 1);
    assert_eq!(world.checksum_errors(), 0);
    second.end().stop().unwrap();
}

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
