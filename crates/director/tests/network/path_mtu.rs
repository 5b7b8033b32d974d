//! A link that takes less than the others, wherever on the way it is: connections find out and go
//! on. Every part of the way is a namespace of its own, so that no end knows the link's MTU.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use director::xdp::{XdpEngine, XdpOptions};
use director::{Destination, Engine, ServiceSettings, TableChange};
use lab::net::{Namespace, Net};
use lab::unpack::Unpacker;
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey, Tunnel};
use model::vrrp::Family;

use crate::world::{
    DOWNLOAD, PATIENCE, PORT, Running, VIRTUAL, World, counter, download, hold, key, start_with,
    udp_key, upload,
};

/// NAT: client -- near -- director -- far -- server.
/// Direct routing: client -- near -- (director, server), and far is idle.
/// Tunnel: as NAT, and far has a way of its own to near, which answers take.
/// Everybody has addresses of both families.
struct Path {
    world: World,
    near: Namespace,
    far: Namespace,
    forwarding: Forwarding,
    /// Of the server's address: another one than the service's with a tunnel.
    outer: Family,
}

const TO_CLIENT: &str = "10.9.0.0/24";
const TO_SERVER: &str = "10.7.0.0/24";
const TO_CLIENT6: &str = "2001:db8:9::/64";
const TO_SERVER6: &str = "2001:db8:7::/64";
/// Before the route that the kernel made for an address of IPv6: it stays beside another one.
const FIRST: &str = "metric 1";
/// What the narrow link takes.
const NARROW: &str = "mtu lock 1300";

impl Path {
    fn new(tag: &str, forwarding: Forwarding) -> Option<Path> {
        if let Some(missing) = lab::net::missing() {
            println!("skipped: {missing}");
            return None;
        }
        let path = Path::build(tag, forwarding);
        Some(path.unwrap_or_else(|error| panic!("topology: {error}")))
    }

    /// The same over IPv6, or with this family outside of the tunnel.
    fn new6(tag: &str, forwarding: Forwarding, outer: Family) -> Option<Path> {
        let mut path = Path::new(tag, forwarding)?;
        path.world.family = Family::Ipv6;
        path.outer = outer;
        Some(path)
    }

    fn build(tag: &str, forwarding: Forwarding) -> io::Result<Path> {
        let net = Net::new(tag)?;
        let (client, director) = (net.namespace("client")?, net.namespace("director")?);
        let (near, far) = (net.namespace("near")?, net.namespace("far")?);
        let server = net.namespace("s1")?;
        net.veth((&client, "eth0"), (&near, "eth0"))?;
        let mut outside = vec![(&near, "eth1"), (&director, "eth0")];
        match forwarding {
            Forwarding::Nat | Forwarding::Tunnel(_) => {
                let inside = net.segment("inside", &[(&director, "eth1"), (&far, "eth0")])?;
                // Joined packets of a GRE tunnel with checksums are taken apart again without new
                // ones (net/ipv4/gre_offload.c).
                for (namespace, device) in [(&inside, "port0"), (&inside, "port1"), (&far, "eth0")]
                {
                    let plain = ["-K", device, "gro", "off"];
                    assert!(namespace.command("ethtool").args(plain).status()?.success());
                }
                net.veth((&far, "eth1"), (&server, "eth0"))?;
                director.ip("addr add 10.0.0.254/24 dev eth1")?;
                director.ip("addr add 2001:db8:1::fe/64 dev eth1 nodad")?;
                director.ip(&format!("route add {TO_SERVER} via 10.0.0.1"))?;
                director.ip(&format!("route add {TO_SERVER6} via 2001:db8:1::1"))?;
                far.ip("addr add 10.0.0.1/24 dev eth0")?;
                far.ip("addr add 2001:db8:1::1/64 dev eth0 nodad")?;
                far.ip("addr add 10.7.0.1/24 dev eth1")?;
                far.ip("addr add 2001:db8:7::1/64 dev eth1 nodad")?;
                server.ip("addr add 10.7.0.2/24 dev eth0")?;
                server.ip("addr add 2001:db8:7::2/64 dev eth0 nodad")?;
                server.ip("route add default via 10.7.0.1")?;
                server.ip("route add default via 2001:db8:7::1")?;
            }
            Forwarding::DirectRouting => outside.push((&server, "eth0")),
        }
        if let Forwarding::Tunnel(_) = forwarding {
            outside.push((&far, "eth2"));
        }
        net.segment("outside", &outside)?;
        match forwarding {
            Forwarding::Nat => {
                far.ip("route add default via 10.0.0.254")?;
                far.ip("route add default via 2001:db8:1::fe")?;
            }
            Forwarding::DirectRouting => {}
            Forwarding::Tunnel(_) => {
                far.ip("addr add 192.0.2.3/24 dev eth2")?;
                far.ip("addr add 2001:db8::3/64 dev eth2 nodad")?;
                far.ip("route add default via 192.0.2.2")?;
                far.ip("route add default via 2001:db8::2")?;
                hold(&server, "lo")?;
            }
        }
        client.ip("addr add 10.9.0.2/24 dev eth0")?;
        client.ip("addr add 2001:db8:9::2/64 dev eth0 nodad")?;
        client.ip("route add default via 10.9.0.1")?;
        client.ip("route add default via 2001:db8:9::1")?;
        near.ip("addr add 10.9.0.1/24 dev eth0")?;
        near.ip("addr add 2001:db8:9::1/64 dev eth0 nodad")?;
        near.ip("addr add 192.0.2.2/24 dev eth1")?;
        near.ip("addr add 2001:db8::2/64 dev eth1 nodad")?;
        if forwarding == Forwarding::DirectRouting {
            server.sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
            server.sysctl("net/ipv4/conf/all/arp_announce", "2")?;
            server.ip("addr add 192.0.2.101/24 dev eth0")?;
            server.ip("addr add 2001:db8::101/64 dev eth0 nodad")?;
            hold(&server, "lo")?;
            server.ip("route add default via 192.0.2.2")?;
            server.ip("route add default via 2001:db8::2")?;
        }
        director.ip("addr add 192.0.2.1/24 dev eth0")?;
        director.ip("addr add 2001:db8::1/64 dev eth0 nodad")?;
        hold(&director, "eth0")?;
        director.ip(&format!("route add {TO_CLIENT} via 192.0.2.2"))?;
        director.ip(&format!("route add {TO_CLIENT6} via 2001:db8::2"))?;
        for router in [&near, &director, &far] {
            router.sysctl("net/ipv4/ip_forward", "1")?;
            router.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        }
        let mut world = World::over(net, client, director);
        world.servers.push(server);
        Ok(Path { world, near, far, forwarding, outer: Family::Ipv4 })
    }

    fn server(&self) -> Destination {
        let address = match (self.forwarding, self.outer) {
            (Forwarding::Nat | Forwarding::Tunnel(_), Family::Ipv4) => "10.7.0.2",
            (Forwarding::Nat | Forwarding::Tunnel(_), Family::Ipv6) => "2001:db8:7::2",
            (Forwarding::DirectRouting, Family::Ipv4) => "192.0.2.101",
            (Forwarding::DirectRouting, Family::Ipv6) => "2001:db8::101",
        };
        let port = World::server_port(self.forwarding);
        Destination::new(Endpoint { address: address.parse().unwrap(), port }, 1, self.forwarding)
    }

    fn start(&self, key: ServiceKey, server: Destination) -> Running {
        let settings =
            ServiceSettings { scheduler: Scheduler::RoundRobin, ..ServiceSettings::default() };
        let changes =
            vec![TableChange::AddService(key, settings), TableChange::AddDestination(key, server)];
        start_with(&self.world, XdpOptions::new(&self.world.pins), changes)
    }

    /// Megabytes go both ways in spite of the narrow link.
    fn carries(&self) -> XdpEngine {
        let unpacker = match self.forwarding {
            Forwarding::Nat | Forwarding::DirectRouting => None,
            Forwarding::Tunnel(tunnel) => {
                Some(Unpacker::start(&self.world.servers[0], "eth0", &[tunnel]).unwrap())
            }
        };
        self.world.serve(self.forwarding);
        let mut running = self.start(self.world.key(), self.server());
        if let Err(error) = self.world.ask() {
            panic!("{error}: {:?}", running.end().data_plane());
        }
        let begun = Instant::now();
        assert_eq!(download(&self.world).join().unwrap(), DOWNLOAD + 1);
        println!("download in {:?}", begun.elapsed());
        let begun = Instant::now();
        let sent = upload(&self.world).join();
        if sent.as_ref().is_ok_and(|sent| *sent != DOWNLOAD) || sent.is_err() {
            panic!("{sent:?}: {:?}", running.end().data_plane());
        }
        println!("upload in {:?}", begun.elapsed());
        assert_eq!(self.world.checksum_errors(), 0);
        if let Some(unpacker) = unpacker {
            assert!(unpacker.unpacked() > 0);
            assert_eq!(unpacker.refused(), 0);
        }
        running.end()
    }
}

/// The engine did this, and stops.
fn did(mut engine: XdpEngine, name: &str) {
    assert!(counter(&engine, name) > 0, "{name}: {:?}", engine.data_plane());
    engine.stop().unwrap();
}

#[test]
fn nat_passes_on_what_a_router_near_the_client_says_about_an_answer() {
    let Some(path) = Path::new("l4mtunear", Forwarding::Nat) else { return };
    path.near.ip(&format!("route replace {TO_CLIENT} dev eth0 {NARROW}")).unwrap();
    did(path.carries(), "errors_to_server");
}

#[test]
fn direct_routing_passes_on_what_a_router_near_the_client_says_about_an_answer() {
    let Some(path) = Path::new("l4mtudr", Forwarding::DirectRouting) else { return };
    path.near.ip(&format!("route replace {TO_CLIENT} dev eth0 {NARROW}")).unwrap();
    did(path.carries(), "errors_to_server");
}

#[test]
fn nat_passes_on_what_a_router_near_the_server_says_about_a_request() {
    let Some(path) = Path::new("l4mtufar", Forwarding::Nat) else { return };
    path.far.ip(&format!("route replace {TO_SERVER} dev eth1 {NARROW}")).unwrap();
    did(path.carries(), "errors_to_client");
}

#[test]
fn the_director_itself_says_what_fits_on_the_way_to_a_server_behind_it() {
    let Some(path) = Path::new("l4mtuin", Forwarding::Nat) else { return };
    let narrow = format!("route replace {TO_SERVER} via 10.0.0.1 {NARROW}");
    path.world.director.ip(&narrow).unwrap();
    did(path.carries(), "answered_too_big");
}

#[test]
fn the_director_itself_says_what_fits_on_the_way_to_a_server_beside_it() {
    let Some(path) = Path::new("l4mtuside", Forwarding::DirectRouting) else { return };
    path.world.director.ip(&format!("route add 192.0.2.101 dev eth0 {NARROW}")).unwrap();
    did(path.carries(), "answered_too_big");
}

#[test]
fn the_kernel_says_what_fits_on_the_way_from_the_director_to_the_client() {
    let Some(path) = Path::new("l4mtuout", Forwarding::Nat) else { return };
    let narrow = format!("route replace {TO_CLIENT} via 192.0.2.2 {NARROW}");
    path.world.director.ip(&narrow).unwrap();
    did(path.carries(), "passed_to_answer");
}

#[test]
fn over_ipv6_routers_the_director_and_its_kernel_say_what_fits() {
    let forwarding = Forwarding::Nat;
    let new = |tag: &str| Path::new6(tag, forwarding, Family::Ipv6);
    let Some(path) = new("l4mtu6near") else { return };
    path.near.ip(&format!("route replace {TO_CLIENT6} dev eth0 {FIRST} {NARROW}")).unwrap();
    did(path.carries(), "errors_to_server");
    let Some(path) = new("l4mtu6far") else { return };
    path.far.ip(&format!("route replace {TO_SERVER6} dev eth1 {FIRST} {NARROW}")).unwrap();
    did(path.carries(), "errors_to_client");
    let Some(path) = new("l4mtu6in") else { return };
    let narrow = format!("route replace {TO_SERVER6} via 2001:db8:1::1 {NARROW}");
    path.world.director.ip(&narrow).unwrap();
    did(path.carries(), "answered_too_big");
    let Some(path) = new("l4mtu6out") else { return };
    let narrow = format!("route replace {TO_CLIENT6} via 2001:db8::2 {NARROW}");
    path.world.director.ip(&narrow).unwrap();
    did(path.carries(), "passed_to_answer");
}

#[test]
fn over_ipv6_direct_routing_passes_errors_on_and_says_what_fits() {
    let new = |tag: &str| Path::new6(tag, Forwarding::DirectRouting, Family::Ipv6);
    let Some(path) = new("l4mtu6dr") else { return };
    path.near.ip(&format!("route replace {TO_CLIENT6} dev eth0 {FIRST} {NARROW}")).unwrap();
    did(path.carries(), "errors_to_server");
    let Some(path) = new("l4mtu6side") else { return };
    path.world.director.ip(&format!("route add 2001:db8::101 dev eth0 {NARROW}")).unwrap();
    did(path.carries(), "answered_too_big");
}

#[test]
fn a_smaller_mtu_of_an_interface_counts_from_the_moment_it_is_set() {
    let Some(path) = Path::new("l4mtuset", Forwarding::Nat) else { return };
    path.world.serve(path.forwarding);
    let mut running = path.start(key(), path.server());
    assert_eq!(upload(&path.world).join().unwrap(), DOWNLOAD);
    path.world.director.ip("link set eth1 mtu 1200").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while upload(&path.world).join().unwrap() != DOWNLOAD {
        assert!(Instant::now() < deadline);
    }
    did(running.end(), "answered_too_big");
}

const TUNNELS: [Tunnel; 5] = [
    Tunnel::IpIp,
    Tunnel::Gre { checksum: false },
    Tunnel::Gre { checksum: true },
    Tunnel::Gue { port: 6080, checksum: false },
    Tunnel::Gue { port: 6080, checksum: true },
];

#[test]
fn every_tunnel_carries_downloads_and_uploads_to_a_server_behind_routers() {
    for (number, tunnel) in TUNNELS.into_iter().enumerate() {
        let Some(path) = Path::new(&format!("l4tun{number}"), Forwarding::Tunnel(tunnel)) else {
            return;
        };
        println!("{tunnel:?}");
        // A full frame and the tunnel's header are more than a frame: the client is told.
        did(path.carries(), "answered_too_big");
    }
}

#[test]
fn a_client_is_told_what_a_router_on_the_way_of_its_tunnel_says() {
    for (number, tunnel) in TUNNELS.into_iter().enumerate() {
        let Some(path) = Path::new(&format!("l4tunr{number}"), Forwarding::Tunnel(tunnel)) else {
            return;
        };
        path.far.ip(&format!("route replace {TO_SERVER} dev eth1 {NARROW}")).unwrap();
        did(path.carries(), "errors_to_client");
    }
}

#[test]
fn a_client_of_ipv6_is_told_what_a_router_on_the_way_of_its_tunnel_says() {
    for (number, tunnel) in TUNNELS.into_iter().enumerate() {
        let tag = format!("l4tun6r{number}");
        let Some(path) = Path::new6(&tag, Forwarding::Tunnel(tunnel), Family::Ipv6) else { return };
        // Less the tunnel's headers it is still what IPv6 takes at least.
        let narrow = format!("route replace {TO_SERVER6} dev eth1 {FIRST} mtu lock 1400");
        path.far.ip(&narrow).unwrap();
        println!("{tunnel:?}");
        did(path.carries(), "errors_to_client");
    }
}

/// Sends datagrams until somebody says that nobody listens.
fn refused(path: &Path) {
    let to = (path.world.address(), PORT);
    let ask = || -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind("[::]:0")?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        Ok(socket)
    };
    let socket = path.world.client.enter(ask).unwrap().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let heard = socket.send(b"anybody?").and_then(|_| socket.recv(&mut [0; 9]));
        match heard {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
    }
}

#[test]
fn a_client_learns_from_the_server_that_nobody_listens() {
    let Some(path) = Path::new("l4refused", Forwarding::Nat) else { return };
    let key = udp_key();
    let mut running = path.start(key, path.server());
    refused(&path);
    assert_eq!(path.world.checksum_errors(), 0);
    did(running.end(), "errors_to_client");
}

#[test]
fn a_client_of_ipv6_learns_from_the_server_that_nobody_listens() {
    let Some(path) = Path::new6("l4refused6", Forwarding::Nat, Family::Ipv6) else { return };
    let address = path.world.address();
    let key = ServiceKey::Address { address, port: PORT, protocol: Protocol::Udp };
    let mut running = path.start(key, path.server());
    refused(&path);
    assert_eq!(path.world.checksum_errors(), 0);
    did(running.end(), "errors_to_client");
}

#[test]
fn a_client_learns_from_the_director_as_a_server_that_nobody_listens() {
    let Some(path) = Path::new("l4refusedself", Forwarding::Nat) else { return };
    let key = udp_key();
    let endpoint = Endpoint { address: IpAddr::from([10, 0, 0, 254]), port: 8080 };
    let mut running = path.start(key, Destination::new(endpoint, 1, Forwarding::Nat));
    refused(&path);
    assert_eq!(path.world.checksum_errors(), 0);
    did(running.end(), "errors_to_client");
}

#[test]
fn a_trace_of_the_route_shows_the_virtual_address_where_the_director_is() {
    let Some(path) = Path::new("l4trace", Forwarding::Nat) else { return };
    let key = udp_key();
    let mut running = path.start(key, path.server());
    let unreachable = |ttl: u32| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_ttl(ttl).unwrap();
        socket.connect((VIRTUAL, PORT)).unwrap();
        socket.send(b"how far?").unwrap();
    };
    // Near the client is the first hop, the director the second one.
    path.world.client.enter(|| unreachable(2)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while World::counter(&path.world.client, "Icmp:", "InTimeExcds") == 0 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    did(running.end(), "answered_ttl");
}
