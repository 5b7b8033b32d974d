//! The namespaces and the servers in them, and the engine's loop.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use director::xdp::{XdpEngine, XdpOptions};
use director::{Destination, Engine, ServiceSettings, TableChange};
use edge::clock;
use lab::net::{Namespace, Net};
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey};
use model::vrrp::Family;

pub(crate) const VIRTUAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
pub(crate) const VIRTUAL6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
pub(crate) const PORT: u16 = 80;
pub(crate) const DOWNLOAD: usize = 8 << 20;
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// NAT: client -- outside -- director -- inside -- servers 1 and 2.
/// Direct routing and tunnels: everybody on `outside`. Everybody has addresses of both families.
pub(crate) struct World {
    /// That of the virtual address that is asked.
    pub(crate) family: Family,
    pub(crate) client: Namespace,
    pub(crate) director: Namespace,
    pub(crate) servers: Vec<Namespace>,
    pub(crate) pins: PathBuf,
    _net: Net,
}

impl World {
    pub(crate) fn new(tag: &str, forwarding: Forwarding) -> Option<World> {
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
                director.ip("addr add 2001:db8:1::fe/64 dev eth1 nodad")?;
            }
            Forwarding::DirectRouting | Forwarding::Tunnel(_) => outside.extend(on_cable),
        }
        let switch = net.segment("outside", &outside)?;
        if let Forwarding::Tunnel(_) = forwarding {
            // Joined packets of a GRE tunnel with checksums are taken apart again without new ones
            // (net/ipv4/gre_offload.c).
            for port in 0..outside.len() {
                let plain = ["-K", &format!("port{port}"), "gro", "off"];
                assert!(switch.command("ethtool").args(plain).status()?.success());
            }
        }
        client.ip("addr add 192.0.2.2/24 dev eth0")?;
        client.ip("addr add 2001:db8::2/64 dev eth0 nodad")?;
        director.ip("addr add 192.0.2.1/24 dev eth0")?;
        director.ip("addr add 2001:db8::1/64 dev eth0 nodad")?;
        hold(&director, "eth0")?;
        director.sysctl("net/ipv4/ip_forward", "1")?;
        director.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        for (number, server) in servers.iter().enumerate() {
            let last = number as u8 + 1;
            let (v4, v6) = (server_address(last, forwarding), server_address6(last, forwarding));
            server.ip(&format!("addr add {v4}/24 dev eth0"))?;
            server.ip(&format!("addr add {v6}/64 dev eth0 nodad"))?;
            match forwarding {
                Forwarding::Nat => {
                    server.ip("route add default via 10.0.0.254")?;
                    server.ip("route add default via 2001:db8:1::fe")?;
                }
                Forwarding::DirectRouting | Forwarding::Tunnel(_) => {
                    server.sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
                    server.sysctl("net/ipv4/conf/all/arp_announce", "2")?;
                    hold(server, "lo")?;
                }
            }
        }
        let mut world = World::over(net, client, director);
        world.servers = servers;
        Ok(world)
    }

    /// Without servers, on cables that are there.
    pub(crate) fn over(net: Net, client: Namespace, director: Namespace) -> World {
        let pins = format!("/sys/fs/bpf/evenkeel-test-{}", director.name());
        World {
            family: Family::Ipv4,
            client,
            director,
            servers: Vec::new(),
            pins: pins.into(),
            _net: net,
        }
    }

    /// The same over IPv6.
    pub(crate) fn new6(tag: &str, forwarding: Forwarding) -> Option<World> {
        let mut world = World::new(tag, forwarding)?;
        world.family = Family::Ipv6;
        Some(world)
    }

    /// The virtual address that is asked.
    pub(crate) fn address(&self) -> IpAddr {
        match self.family {
            Family::Ipv4 => VIRTUAL.into(),
            Family::Ipv6 => VIRTUAL6.into(),
        }
    }

    /// The service that is asked.
    pub(crate) fn key(&self) -> ServiceKey {
        let address = self.address();
        ServiceKey::Address { address, port: PORT, protocol: Protocol::Tcp }
    }

    /// A server with an address of the service's family.
    pub(crate) fn destination(&self, last: u8, forwarding: Forwarding) -> Destination {
        match self.family {
            Family::Ipv4 => destination(last, forwarding),
            Family::Ipv6 => destination6(last, forwarding),
        }
    }

    pub(crate) fn server_port(forwarding: Forwarding) -> u16 {
        if forwarding == Forwarding::Nat { 8080 } else { PORT }
    }

    /// Each server answers a connection with its number, then with a long download if asked to, or
    /// with the number of bytes it is sent.
    pub(crate) fn serve(&self, forwarding: Forwarding) {
        for (number, server) in self.servers.iter().enumerate() {
            let listener = server
                .enter(|| TcpListener::bind(("::", World::server_port(forwarding))))
                .unwrap()
                .unwrap();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    thread::spawn(move || answer(stream, number as u8 + 1));
                }
            });
        }
    }

    pub(crate) fn connect(&self) -> std::io::Result<TcpStream> {
        let to = SocketAddr::from((self.address(), PORT));
        let stream =
            self.client.enter(|| TcpStream::connect_timeout(&to, Duration::from_secs(5)))??;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        Ok(stream)
    }

    /// Which server answers a new connection.
    pub(crate) fn ask(&self) -> std::io::Result<u8> {
        let mut stream = self.connect()?;
        stream.write_all(b"1")?;
        let mut who = [0];
        stream.read_exact(&mut who)?;
        Ok(who[0])
    }

    pub(crate) fn checksum_errors(&self) -> u64 {
        let everybody = self.servers.iter().chain([&self.client]);
        let of = |namespace| {
            ["Tcp:", "Udp:", "Icmp:"].map(|it| World::counter(namespace, it, "InCsumErrors"))
        };
        let of6 = |namespace| {
            ["Udp6InCsumErrors", "Icmp6InCsumErrors"].map(|it| World::counter6(namespace, it))
        };
        everybody.flat_map(|namespace| of(namespace).into_iter().chain(of6(namespace))).sum()
    }

    /// One of the kernel's counters of IPv6.
    pub(crate) fn counter6(namespace: &Namespace, name: &str) -> u64 {
        let text = namespace.command("cat").arg("/proc/net/snmp6").output().unwrap().stdout;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.and_then(|line| line.split_whitespace().nth(1)).unwrap().parse().unwrap()
    }

    pub(crate) fn tcp_counter(namespace: &Namespace, name: &str) -> u64 {
        World::counter(namespace, "Tcp:", name)
    }

    /// One of the kernel's counters of a protocol.
    pub(crate) fn counter(namespace: &Namespace, protocol: &str, name: &str) -> u64 {
        let files = ["/proc/net/snmp", "/proc/net/netstat"];
        let text = namespace.command("cat").args(files).output().unwrap().stdout;
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut lines = text.lines().filter(|line| line.starts_with(protocol));
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
pub(crate) fn server_address(last: u8, forwarding: Forwarding) -> Ipv4Addr {
    match forwarding {
        Forwarding::Nat => Ipv4Addr::new(10, 0, 0, last),
        Forwarding::DirectRouting | Forwarding::Tunnel(_) => Ipv4Addr::new(192, 0, 2, 100 + last),
    }
}

/// The same of IPv6.
pub(crate) fn server_address6(last: u8, forwarding: Forwarding) -> Ipv6Addr {
    match forwarding {
        Forwarding::Nat => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last.into()),
        Forwarding::DirectRouting | Forwarding::Tunnel(_) => {
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100 + u16::from(last))
        }
    }
}

/// Gives somebody the virtual addresses.
pub(crate) fn hold(namespace: &Namespace, interface: &str) -> std::io::Result<()> {
    namespace.ip(&format!("addr add {VIRTUAL}/32 dev {interface}"))?;
    namespace.ip(&format!("addr add {VIRTUAL6}/128 dev {interface} nodad")).map(drop)
}

fn answer(mut stream: TcpStream, number: u8) {
    let mut wish = [0];
    if stream.read_exact(&mut wish).is_err() || stream.write_all(&[number]).is_err() {
        return;
    }
    match wish[0] {
        b'D' => {
            let _ = stream.write_all(&vec![number; DOWNLOAD]);
        }
        b'U' => {
            let count = std::io::copy(&mut stream, &mut std::io::sink()).unwrap_or(0);
            let _ = stream.write_all(&count.to_be_bytes());
        }
        _ => {}
    }
    let _ = stream.read(&mut wish);
}

/// An engine with its event loop on a thread inside the director.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<XdpEngine>>,
    pub(crate) attached: Vec<String>,
    pub(crate) adopted: bool,
}

pub(crate) fn key() -> ServiceKey {
    ServiceKey::Address { address: VIRTUAL.into(), port: PORT, protocol: Protocol::Tcp }
}

pub(crate) fn udp_key() -> ServiceKey {
    ServiceKey::Address { address: VIRTUAL.into(), port: PORT, protocol: Protocol::Udp }
}

pub(crate) fn destination(last: u8, forwarding: Forwarding) -> Destination {
    destination_at(server_address(last, forwarding).into(), forwarding)
}

pub(crate) fn destination6(last: u8, forwarding: Forwarding) -> Destination {
    destination_at(server_address6(last, forwarding).into(), forwarding)
}

fn destination_at(address: IpAddr, forwarding: Forwarding) -> Destination {
    let endpoint = Endpoint { address, port: World::server_port(forwarding) };
    Destination::new(endpoint, 1, forwarding)
}

/// Starts the engine with one service in turns over both servers, unless it adopts one.
pub(crate) fn start(world: &World, forwarding: Forwarding) -> Running {
    let settings =
        ServiceSettings { scheduler: Scheduler::RoundRobin, ..ServiceSettings::default() };
    let key = world.key();
    let mut changes = vec![TableChange::AddService(key, settings)];
    let servers = [1, 2].map(|last| world.destination(last, forwarding));
    changes.extend(servers.map(|server| TableChange::AddDestination(key, server)));
    start_with(world, XdpOptions::new(&world.pins), changes)
}

/// Starts the engine with these options; makes these changes unless it adopts tables.
pub(crate) fn start_with(world: &World, options: XdpOptions, changes: Vec<TableChange>) -> Running {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let namespace = world.director.handle().clone();
    let (tell, told_attached) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        namespace.enter_for_good().unwrap();
        let mut engine = XdpEngine::start(&options).unwrap();
        if !engine.adopted() {
            engine.apply(&changes).unwrap();
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
    pub(crate) fn end(&mut self) -> XdpEngine {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

pub(crate) fn download(world: &World) -> JoinHandle<usize> {
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

/// Sends as much; what of it the server counted.
pub(crate) fn upload(world: &World) -> JoinHandle<usize> {
    let mut stream = world.connect().unwrap();
    thread::spawn(move || {
        stream.write_all(b"U").unwrap();
        stream.write_all(&vec![7; DOWNLOAD]).expect("the upload goes on");
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = [0; 9];
        stream.read_exact(&mut answer).expect("the server counted");
        u64::from_be_bytes(answer[1..].try_into().unwrap()) as usize
    })
}

/// One of the engine's counters of its data plane.
pub(crate) fn counter(engine: &XdpEngine, name: &str) -> u64 {
    engine.data_plane().iter().find(|(it, _)| it == name).unwrap().1
}
