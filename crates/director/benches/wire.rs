//! Packets per second from one end to the other, over two veth cables, on one processor: a client
//! sends datagrams of 4,096 flows as fast as it can, the director translates (NAT) and forwards
//! them. Beside it, in the same run and a round of each after the other: nftables' destination NAT
//! with connection tracking, the kernel's plain routing, and frames for nobody, which end at the
//! director's side of the first cable: what sending alone costs.
//!
//! `cargo bench -p director --bench wire` prints a table and writes `out/bench/wire.json` below the
//! workspace. The sender is on the same processor as all softirqs of its packets, so the time of a
//! packet is that processor's time.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use director::xdp::{XdpEngine, XdpOptions};
use director::{Destination, Engine, ServiceSettings, TableChange};
use edge::clock;
use edge::frames::{FRAME, Frames};
use lab::net::{Namespace, Net};
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1_000);
const FLOWS: u16 = 4_096;
const BURST: u16 = 512;
const VIRTUAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Nobody's: the server's kernel forgets what is sent to it.
const SERVER_MAC: &str = "02:00:00:00:99:01";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Who forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forwarder {
    Nobody,
    Routing,
    Nftables,
    Evenkeel,
}

const ALL: [Forwarder; 4] =
    [Forwarder::Nobody, Forwarder::Routing, Forwarder::Nftables, Forwarder::Evenkeel];

impl Forwarder {
    const fn name(self) -> &'static str {
        match self {
            Forwarder::Nobody => "sending alone",
            Forwarder::Routing => "kernel routing",
            Forwarder::Nftables => "nftables DNAT",
            Forwarder::Evenkeel => "evenkeel NAT",
        }
    }
}

/// One round.
#[derive(Clone, Copy, Debug)]
struct Round {
    sent: u64,
    arrived: u64,
    nanoseconds: f64,
}

struct Place {
    client: Namespace,
    director: Namespace,
    server: Namespace,
    pins: PathBuf,
    interface: u32,
    mac: [u8; 6],
    _net: Net,
}

fn main() {
    if let Some(missing) = lab::net::missing() {
        return println!("skipped: {missing}");
    }
    let place = Place::build().expect("the namespaces");
    let measured = place.measure();
    let _ = fs::remove_dir_all(&place.pins);
    report(&measured.expect("the measurement"));
}

impl Place {
    fn build() -> Result<Place> {
        let net = Net::new("wire")?;
        let (client, director) = (net.namespace("client")?, net.namespace("director")?);
        let server = net.namespace("server")?;
        net.veth((&client, "eth0"), (&director, "eth0"))?;
        net.veth((&director, "eth1"), (&server, "eth0"))?;
        director.ip("addr add 192.0.2.1/24 dev eth0")?;
        director.ip(&format!("addr add {VIRTUAL}/32 dev eth0"))?;
        director.ip("addr add 10.0.0.254/24 dev eth1")?;
        director.ip(&format!("neigh add {SERVER} lladdr {SERVER_MAC} dev eth1 nud permanent"))?;
        director.sysctl("net/ipv4/ip_forward", "1")?;
        let pins = PathBuf::from(format!("/sys/fs/bpf/{}", director.name()));
        let interface = number(&client.ip("-o link show eth0")?)?;
        let mac = mac_of(&director.ip("-o link show eth0")?)?;
        Ok(Place { client, director, server, pins, interface, mac, _net: net })
    }

    /// The rounds of each, in turn.
    fn measure(&self) -> Result<Vec<Vec<Round>>> {
        let mut rounds = vec![Vec::new(); ALL.len()];
        for number in 0..=ROUNDS {
            for (forwarder, rounds) in ALL.iter().zip(&mut rounds) {
                let round = self.round(*forwarder)?;
                // The first one warms up.
                if number > 0 {
                    rounds.push(round);
                }
            }
        }
        Ok(rounds)
    }

    fn round(&self, forwarder: Forwarder) -> Result<Round> {
        match forwarder {
            Forwarder::Nobody => self.send([2, 0, 0, 0, 0x77, 0x77], VIRTUAL),
            Forwarder::Routing => self.send(self.mac, SERVER),
            Forwarder::Nftables => {
                self.nft(
                    "table ip wire { chain pre { type nat hook prerouting priority dstnat; \
                     ip daddr 192.0.2.10 udp dport 53 dnat to 10.0.0.1:5353; }; }",
                )?;
                let round = self.send(self.mac, VIRTUAL);
                self.nft("delete table ip wire")?;
                round
            }
            Forwarder::Evenkeel => {
                let mut engine = self.director.enter(|| self.engine())??;
                let round = self.send(self.mac, VIRTUAL);
                self.director.enter(|| engine.stop())??;
                round
            }
        }
    }

    fn nft(&self, command: &str) -> Result<()> {
        let done = self.director.command("nft").arg(command).output()?;
        match done.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&done.stderr).into_owned().into()),
        }
    }

    fn engine(&self) -> Result<XdpEngine> {
        let mut engine = XdpEngine::start(&XdpOptions::new(&self.pins))?;
        let key =
            ServiceKey::Address { address: VIRTUAL.into(), port: 53, protocol: Protocol::Udp };
        let settings =
            ServiceSettings { scheduler: Scheduler::RoundRobin, ..ServiceSettings::default() };
        let endpoint = Endpoint { address: SERVER.into(), port: 5353 };
        let destination = Destination::new(endpoint, 1, Forwarding::Nat);
        engine.set_interfaces(&["eth0".to_owned()]);
        engine.apply(&[
            TableChange::AddService(key, settings),
            TableChange::AddDestination(key, destination),
        ])?;
        engine.handle_ready(clock::now());
        Ok(engine)
    }

    /// Sends for a while to an address, in frames to this MAC address.
    fn send(&self, mac: [u8; 6], to: Ipv4Addr) -> Result<Round> {
        let frames: Vec<[u8; FRAME]> = (0..FLOWS).map(|flow| datagram(mac, to, flow)).collect();
        let before = self.arrived()?;
        let interface = self.interface;
        let (sent, elapsed) = self
            .client
            .enter(|| -> Result<(u64, Duration)> {
                edge::realtime::stay_on_processor(0)?;
                let mut socket = Frames::open(interface)?;
                let (begun, mut sent) = (Instant::now(), 0u64);
                while begun.elapsed() < ROUND {
                    for burst in frames.chunks(BURST.into()) {
                        let refused = socket.send(burst.iter().copied());
                        sent += (burst.len() - refused) as u64;
                    }
                }
                Ok((sent, begun.elapsed()))
            })?
            .map_err(|error| error.to_string())?;
        // What is still on its way.
        thread::sleep(Duration::from_millis(50));
        let arrived = self.arrived()? - before;
        Ok(Round { sent, arrived, nanoseconds: elapsed.as_nanos() as f64 })
    }

    /// Frames that came to the server's side.
    fn arrived(&self) -> Result<u64> {
        let output = self.server.command("cat").arg("/proc/net/dev").output()?;
        let text = String::from_utf8(output.stdout)?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("eth0:"));
        let packets = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(packets.ok_or("no eth0")?.parse()?)
    }
}

/// Of a line of `ip -o link show`: `7: eth0@if6: ...`.
fn number(line: &str) -> Result<u32> {
    Ok(line.split(':').next().unwrap_or_default().trim().parse()?)
}

fn mac_of(line: &str) -> Result<[u8; 6]> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "link/ether");
    let text = words.nth(1).ok_or("no MAC address")?;
    let bytes: std::result::Result<Vec<u8>, _> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
    bytes?.try_into().map_err(|_| "a MAC address of another length".into())
}

/// A datagram without a checksum, of one flow.
fn datagram(mac: [u8; 6], to: Ipv4Addr, flow: u16) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..6].copy_from_slice(&mac);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 9, 9]);
    frame[12..18].copy_from_slice(&[8, 0, 0x45, 0, 0, 46]);
    frame[20] = 0x40;
    frame[22..24].copy_from_slice(&[64, 17]);
    frame[26..30].copy_from_slice(&[192, 0, 2, 2]);
    frame[30..34].copy_from_slice(&to.octets());
    let words = frame[14..34].chunks_exact(2);
    let sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame[34..36].copy_from_slice(&(1024 + flow).to_be_bytes());
    frame[36..40].copy_from_slice(&[0, 53, 0, 26]);
    frame
}

/// Medians of a forwarder's rounds: packets per second that arrived, nanoseconds of the processor
/// for one that was sent, and the share that arrived.
struct Figures {
    per_second: f64,
    nanoseconds: f64,
    arrived: f64,
}

fn figures(rounds: &[Round]) -> Figures {
    let median = |value: fn(&Round) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(value).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Figures {
        per_second: median(|round| round.arrived as f64 * 1e9 / round.nanoseconds),
        nanoseconds: median(|round| round.nanoseconds / round.sent.max(1) as f64),
        arrived: median(|round| round.arrived as f64 / round.sent.max(1) as f64),
    }
}

fn report(measured: &[Vec<Round>]) {
    let all: Vec<Figures> = measured.iter().map(|rounds| figures(rounds)).collect();
    let alone = all[0].nanoseconds;
    let peer = all[2].nanoseconds - alone;
    println!(
        "{:<16} {:>10} {:>10} {:>16} {:>12} {:>9}",
        "forwarder", "arrive/s", "ns/packet", "without sending", "of nftables", "arrived"
    );
    let mut rows = Vec::new();
    for (forwarder, one) in ALL.iter().zip(&all) {
        let own = one.nanoseconds - alone;
        let (name, ratio) = (forwarder.name(), own / peer);
        println!(
            "{name:<16} {:>10.0} {:>10.0} {own:>16.0} {ratio:>12.2} {:>8.1}%",
            one.per_second,
            one.nanoseconds,
            one.arrived * 100.0
        );
        rows.push(format!(
            "  {{\"name\": \"{name}\", \"arrived_per_second\": {:.0}, \"ns\": {:.1}, \
             \"ns_without_sending\": {own:.1}, \"to_nftables\": {ratio:.3}}}",
            one.per_second, one.nanoseconds
        ));
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../out/bench");
    fs::create_dir_all(&directory).expect("the directory of the results");
    let text = format!("[\n{}\n]\n", rows.join(",\n"));
    fs::write(directory.join("wire.json"), text).expect("the results are written");
}
