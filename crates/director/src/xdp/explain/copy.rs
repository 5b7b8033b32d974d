//! A copy of the tables, and the program over it.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::EbpfLoader;
use aya::programs::Xdp;
use edge::bpf::{Map, TestRun, test_run};
use edge::clock;
use edge::gate::GATE_NAME;
use model::vrrp::Family;
use zerocopy::{FromBytes, IntoBytes};

use super::super::handover::{Arrival, FoundConnection, Source, TAKE_MAX, packet_of};
use super::super::layout::{LAYOUT, RawLocalityKey, wide};
use super::super::object::{FORWARD, TAKE, load_patiently, object_of, program, relayed_name};
use super::super::slots::{TICK_SHIFT, table_name, ticks};
use super::Question;
use super::live::{Live, interfaces_map};
use crate::EngineError;

/// Maps that the program changes or that say where packets come in: all others are used as they
/// are, and only read.
const OWN: [&str; 22] = [
    "connections",
    "connections6",
    "cursors",
    "loads",
    "overloads",
    "statistics",
    "counters",
    "localities",
    "trails",
    "trails6",
    "interfaces",
    "low_interfaces",
    "other_family",
    "other_leaving",
    "handover",
    "relayed",
    "relayed6",
    "former",
    "former_leaving",
    "told",
    "manifest",
    "seed",
];
/// Of the copy of the connections: room for a few hundred.
const BUCKETS_LOG2: u32 = 5;
const BUCKETS: u32 = (1 << BUCKETS_LOG2) + (1 << (BUCKETS_LOG2 - 3));
/// Elements read or written with one system call.
const AT_ONCE: usize = 512;
/// Templates and connections of the two ends that are copied.
const CONNECTIONS_MAX: usize = 64;

/// The directory of the copy's pins, gone when it is dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left in the file system of pins after a failure costs a little memory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A step that the program told: its number, and the number told with it.
pub(super) type Told = (u32, u64);

/// The program and its maps.
pub(super) struct Copy {
    ebpf: Ebpf,
    scratch: Scratch,
    family: Family,
}

impl Copy {
    /// Loads the program of a family over a copy of the maps pinned in `pins`; a packet comes in
    /// by this interface.
    pub(super) fn load(pins: &Path, family: Family, ifindex: u32) -> Result<Copy, EngineError> {
        let live = pins.join(LAYOUT);
        let mut name = pins.file_name().unwrap_or_default().to_os_string();
        name.push(format!("-explain-{}", std::process::id()));
        let scratch = Scratch(pins.with_file_name(name));
        fs::create_dir_all(&scratch.0)
            .map_err(EngineError::system(format!("create {}", scratch.0.display())))?;
        let entries =
            fs::read_dir(&live).map_err(EngineError::system(format!("read {}", live.display())))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let shared: Vec<String> = names.filter(|name| !OWN.contains(&name.as_str())).collect();
        let mut loader = EbpfLoader::new();
        loader
            .default_map_pin_directory(&scratch.0)
            .map_pin_path(GATE_NAME, pins.join(GATE_NAME))
            .map_max_entries(table_name(family), BUCKETS)
            .map_max_entries(relayed_name(family), 1)
            .override_global("buckets_log2", &BUCKETS_LOG2, true)
            .override_global("explaining", &1u32, true)
            .override_global("explained_ifindex", &ifindex, true);
        for name in &shared {
            loader.map_pin_path(name, live.join(name));
        }
        let mut ebpf = loader
            .load(object_of(family))
            .map_err(|error| EngineError::Bpf(format!("load the BPF object: {error}")))?;
        for name in [FORWARD, TAKE] {
            let program: &mut Xdp = program(&mut ebpf, name);
            load_patiently(name, || program.load())?;
        }
        Ok(Copy { ebpf, scratch, family })
    }

    fn map(&self, name: &str) -> Result<Map, EngineError> {
        Map::open(&self.scratch.0.join(name)).map_err(EngineError::system(format!("map {name}")))
    }

    /// Copies what the way of the packet may depend on, connections first: taking them in counts
    /// them at their servers, where they are counted already.
    pub(super) fn fill(&self, live: &mut Live, question: &Question) -> Result<(), EngineError> {
        self.fill_connections(live, question)?;
        for name in ["cursors", "loads", "overloads"] {
            copy_array(&live.map(name)?, &self.map(name)?)
                .map_err(EngineError::system(format!("copy the map {name}")))?;
        }
        let localities = live.map("localities")?;
        copy_localities(&localities, &self.map("localities")?, question)
            .map_err(EngineError::system("copy the map localities"))?;
        self.map(interfaces_map(live.interface))?
            .update(live.interface.as_bytes(), live.entry.as_bytes())
            .map_err(EngineError::system("copy the map interfaces"))
    }

    /// Copies the connections of the packet's ends and the client's templates, by the program's
    /// own way of taking them in.
    fn fill_connections(&self, live: &mut Live, question: &Question) -> Result<(), EngineError> {
        let now = ticks(clock::now());
        let found = concerned(&live.source, self.family, question);
        let mut arrivals: Vec<Arrival> = Vec::new();
        // Templates first: connections refer to them.
        for is_template in [true, false] {
            for (one, template) in found.iter().filter(|(one, _)| one.is_template == is_template) {
                let service = live.source.destination(one.destination);
                let service = service.and_then(|(service, _)| live.service_number(service));
                let age = match one.is_template {
                    true => seconds(one.seen.wrapping_sub(now)),
                    false => now.wrapping_sub(one.seen),
                };
                let arrival = Arrival::new(one, one.destination, service.unwrap_or(0), age);
                arrivals.push(template.map_or(arrival, |template| arrival.through(&template)));
            }
        }
        for some in arrivals.chunks(TAKE_MAX) {
            let packet = packet_of(some);
            self.run(TAKE, &packet).map_err(EngineError::system("copy the connections"))?;
        }
        Ok(())
    }

    /// What the program does with a frame.
    pub(super) fn forward(&self, frame: &[u8]) -> Result<TestRun, EngineError> {
        self.run(FORWARD, frame).map_err(EngineError::system("run the program"))
    }

    fn run(&self, name: &str, packet: &[u8]) -> io::Result<TestRun> {
        let program = self.ebpf.program(name).and_then(|program| program.fd().ok());
        let program = program.ok_or_else(|| io::Error::other("the program is not loaded"))?;
        test_run(program.as_fd(), packet, 1)
    }

    /// The steps that it told.
    pub(super) fn told(&self) -> Result<Vec<Told>, EngineError> {
        let map = self.map("told")?;
        let mut bytes = vec![0; map.value_size()];
        map.lookup(0u32.as_bytes(), &mut bytes).map_err(EngineError::system("read the steps"))?;
        let words: Vec<u64> =
            bytes.chunks_exact(8).filter_map(|word| u64::read_from_bytes(word).ok()).collect();
        let count = words.first().map_or(0, |word| *word as u32 as usize);
        Ok(words[1..].chunks_exact(2).take(count).map(|one| (one[0] as u32, one[1])).collect())
    }

    /// The counters, each as its sum over the processors.
    pub(super) fn counters(&self) -> Result<Vec<u64>, EngineError> {
        let map = self.map("counters")?;
        let mut bytes = vec![0; map.value_size()];
        let sum = |index: u32| {
            map.lookup(index.as_bytes(), &mut bytes)?;
            Ok(bytes.chunks_exact(8).filter_map(|one| u64::read_from_bytes(one).ok()).sum())
        };
        let all: io::Result<Vec<u64>> = (0..map.max_entries()).map(sum).collect();
        all.map_err(EngineError::system("read the counters"))
    }
}

fn seconds(ticks: u32) -> u32 {
    // One whose time is over may still be there.
    let left = (ticks as i32).max(0) as u64;
    ((left << TICK_SHIFT) / 1_000_000_000) as u32
}

/// The connections of the packet's ends, and templates of its client, each with the template that
/// it was made through.
fn concerned(
    source: &Source,
    family: Family,
    question: &Question,
) -> Vec<(FoundConnection, Option<FoundConnection>)> {
    let mut room = Vec::new();
    let mut found = Vec::new();
    for table in source.connections.iter().filter(|table| table.family == family) {
        for number in 0..table.count() {
            let Some(one) = table.read(number, &mut room) else { continue };
            if !concerns(&one, question) {
                continue;
            }
            let template = one.template.and_then(|slot| table.read(slot, &mut room));
            found.push((one, template.filter(|template| template.is_template)));
            if found.len() == CONNECTIONS_MAX {
                return found;
            }
        }
    }
    found
}

fn concerns(one: &FoundConnection, question: &Question) -> bool {
    if one.is_template {
        return shares_network(one.client, question.from.ip());
    }
    let of = |end: std::net::SocketAddr| (one.client, one.client_port) == (end.ip(), end.port());
    one.protocol == question.protocol.number() && (of(question.from) || of(question.to))
}

/// Whether an address may be of the network that begins with the other one.
fn shares_network(network: IpAddr, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            u32::from(network) & u32::from(address) == u32::from(network)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            u128::from(network) & u128::from(address) == u128::from(network)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

fn copy_array(from: &Map, to: &Map) -> io::Result<()> {
    let mut cursor = None;
    loop {
        let batch = from.lookup_batch(&mut cursor, AT_ONCE)?;
        let (keys, values): (Vec<&[u8]>, Vec<&[u8]>) = batch.iter().unzip();
        to.update_many(&keys.concat(), &values.concat())?;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// What lblc and lblcr keep for either end of the packet.
fn copy_localities(from: &Map, to: &Map, question: &Question) -> io::Result<()> {
    let ends = [wide(question.from.ip()), wide(question.to.ip())];
    let mut cursor = None;
    loop {
        let batch = from.lookup_batch(&mut cursor, AT_ONCE)?;
        for (key, value) in batch.iter() {
            let found = RawLocalityKey::read_from_bytes(key);
            if found.is_ok_and(|found| ends.contains(&found.address)) {
                to.update(key, value)?;
            }
        }
        if cursor.is_none() {
            return Ok(());
        }
    }
}
