//! The BPF objects: their maps, pinned by name, and their programs, attached and pinned.
//!
//! There is one for each address family, compiled from the same source. IPv4's is attached and hands
//! frames of IPv6 over to the other one's by tail call; that one is loaded, and its tables take
//! memory, from the first virtual server of IPv6 on.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader};
use edge::bpf::{Map, TestRun, test_run};
use edge::gate::GATE_NAME;
use edge::netlink::neighbour::Mac;
use model::layer4::ServiceKey;
use model::vrrp::Family;
use zerocopy::IntoBytes;

use super::XdpOptions;
use super::handover::{self, PINNED_FORWARD, Phase};
use super::layout::{INTERFACES_LOW, LAYOUT, RawInterface};
use super::links::Attached;
use super::slots::{Geometry, Slots, table_name};
use super::tc::Filters;
use crate::EngineError;
use crate::variant::{OBJECT, OBJECT6, TC, TC6};

/// The counters' names: the very file the programs are compiled with.
const COUNTERS: &str = include_str!("../../bpf/counters.h");

pub(crate) const FORWARD: &str = "evenkeel_xdp";
const REAP: &str = "evenkeel_reap";
pub(crate) const TAKE: &str = "evenkeel_take";
/// Directory of the pinned links.
pub(super) const LINKS: &str = "links";
/// The maps by which IPv4's programs reach IPv6's: in XDP and at tc.
const OTHER_FAMILY: &str = "other_family";
const OTHER_AT_TC: &str = "other_at_tc";
const LOAD_TRIES: usize = 50;
/// Pause between two of them.
const LOAD_PAUSE: Duration = Duration::from_millis(10);

/// The maps, each opened by its pin.
pub(crate) struct Maps {
    interfaces: Map,
    low_interfaces: Map,
    pub(crate) services: Map,
    pub(crate) members: Map,
    pub(crate) cursors: Map,
    pub(crate) tables: Map,
    pub(crate) localities: Map,
    pub(crate) destinations: Map,
    pub(crate) loads: Map,
    pub(crate) overloads: Map,
    pub(crate) statistics: Map,
    pub(crate) counters: Map,
    /// Who opens new connections while another layout is being left.
    handover: Map,
    /// Whose connections its program opened meanwhile.
    relayed: Map,
    pub(crate) mark_steps: Map,
    pub(crate) mark_programs: Map,
    pub(crate) mark_addresses: Map,
    slots: Slots,
    pub(crate) timeouts: Map,
    pub(crate) conducts: Map,
    pub(crate) six: Option<Maps6>,
}

impl Maps {}

/// Those that IPv6 has for itself.
pub(crate) struct Maps6 {
    pub(crate) services: Map,
    relayed: Map,
    slots: Slots,
}

impl Maps {
    /// The map of the services of a key's family.
    pub(crate) fn services_of(&self, key: &ServiceKey) -> Result<&Map, EngineError> {
        match (key.family(), &self.six) {
            (Family::Ipv4, _) => Ok(&self.services),
            (Family::Ipv6, Some(six)) => Ok(&six.services),
            (Family::Ipv6, None) => {
                Err(EngineError::NotInTables(format!("{key}: IPv6's program is not loaded, which")))
            }
        }
    }

    /// A family's connections, if its program is loaded.
    pub(crate) fn slots(&self, family: Family) -> Option<&Slots> {
        match family {
            Family::Ipv4 => Some(&self.slots),
            Family::Ipv6 => self.six.as_ref().map(|six| &six.slots),
        }
    }

    /// The tables of connections that there are.
    pub(crate) fn tables_of_connections(&self) -> impl Iterator<Item = &Slots> {
        [Family::Ipv4, Family::Ipv6].into_iter().filter_map(|family| self.slots(family))
    }

    /// Says which MAC address makes a frame ours on an interface; none when it takes no part.
    pub(crate) fn set_interface(&self, index: u32, mac: Option<Mac>) -> io::Result<()> {
        let raw =
            RawInterface { mac: mac.unwrap_or_default(), takes_part: u16::from(mac.is_some()) };
        match mac {
            _ if index < INTERFACES_LOW => {
                self.low_interfaces.update(index.as_bytes(), raw.as_bytes())
            }
            Some(_) => self.interfaces.update(index.as_bytes(), raw.as_bytes()),
            None => self.interfaces.delete(index.as_bytes()).map(drop),
        }
    }

    /// How far the leaving of another layout is.
    pub(crate) fn phase(&self) -> io::Result<Phase> {
        let mut phase = 0u32;
        self.handover.lookup(0u32.as_bytes(), phase.as_mut_bytes())?;
        Ok(Phase::of(phase))
    }

    pub(crate) fn set_phase(&self, phase: Phase) -> io::Result<()> {
        self.handover.update(0u32.as_bytes(), (phase as u32).as_bytes())
    }

    /// Forgets about so many connections that were noted. True when there are none any more.
    pub(crate) fn forget_relayed(&self, count: usize) -> io::Result<bool> {
        for map in [Some(&self.relayed), self.six.as_ref().map(|six| &six.relayed)] {
            let Some(map) = map else { continue };
            let mut cursor = None;
            let batch = map.lookup_batch(&mut cursor, count)?;
            for (key, _) in batch.iter() {
                map.delete(key)?;
            }
            if cursor.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The loaded objects.
pub(crate) struct Object {
    pub(super) ebpf: Ebpf,
    /// IPv6's.
    six: Option<Ebpf>,
    /// The programs at tc, from the first interface on.
    filters: Option<Filters>,
    pub(crate) maps: Maps,
    pub(super) pins: PathBuf,
    connections_max: u32,
    connections6_max: u32,
    takes_over: bool,
    pub(super) links: HashMap<u32, Attached>,
}

pub(super) fn bpf_error(what: &str, error: &dyn std::error::Error) -> EngineError {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    EngineError::Bpf(text)
}

/// The verifier gives up with EAGAIN when the process is disturbed meanwhile.
pub(crate) fn load_patiently(
    name: &str,
    mut load: impl FnMut() -> Result<(), ProgramError>,
) -> Result<(), EngineError> {
    let mut loaded = load();
    for _ in 1..LOAD_TRIES {
        match &loaded {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == io::ErrorKind::WouldBlock =>
            {
                thread::sleep(LOAD_PAUSE);
                loaded = load();
            }
            Ok(()) | Err(_) => break,
        }
    }
    loaded.map_err(|error| bpf_error(&format!("load {name}"), &error))
}

impl Object {
    /// Loads the programs over the maps pinned in `pins`, creating those that are not there.
    /// `takes_over`: connections of another layout are to come.
    pub(crate) fn load(options: &XdpOptions, takes_over: bool) -> Result<Object, EngineError> {
        let pins = options.pin_directory.as_path();
        edge::gate::ensure_gate(pins)
            .map_err(EngineError::system(format!("pin directory {}", pins.display())))?;
        let directory = pins.join(LAYOUT);
        for directory in [&directory, &pins.join(LINKS)] {
            fs::create_dir_all(directory)
                .map_err(EngineError::system(format!("create {}", directory.display())))?;
        }
        handover::write_manifest(&directory, &handover::our_manifest())
            .map_err(EngineError::system("write the manifest"))?;
        let ebpf = load_family(Family::Ipv4, pins, options.connections_max, takes_over)?;
        pin_program(&ebpf, FORWARD, &directory.join(PINNED_FORWARD))?;
        let open = |name: &str| open_map(pins, name);
        let maps = Maps {
            interfaces: open("interfaces")?,
            low_interfaces: open("low_interfaces")?,
            services: open("services")?,
            members: open("members")?,
            cursors: open("cursors")?,
            tables: open("tables")?,
            localities: open("localities")?,
            destinations: open("destinations")?,
            loads: open("loads")?,
            overloads: open("overloads")?,
            statistics: open("statistics")?,
            counters: open("counters")?,
            handover: open("handover")?,
            relayed: open("relayed")?,
            mark_steps: open("mark_steps")?,
            mark_programs: open("mark_programs")?,
            mark_addresses: open("mark_addresses")?,
            slots: open_slots(Family::Ipv4, pins)?,
            timeouts: open("timeouts")?,
            conducts: open("conducts")?,
            six: None,
        };
        let mut object = Object {
            ebpf,
            six: None,
            filters: None,
            maps,
            pins: pins.to_path_buf(),
            connections_max: options.connections_max,
            connections6_max: options.connections6_max,
            takes_over,
            links: HashMap::new(),
        };
        if directory.join(table_name(Family::Ipv6)).exists() {
            object.load_six()?;
        }
        Ok(object)
    }

    /// Loads IPv6's programs, if they are not there, over their own tables and those that are
    /// shared, and has IPv4's hand its frames over.
    pub(crate) fn load_six(&mut self) -> Result<(), EngineError> {
        if self.six.is_some() {
            return Ok(());
        }
        let six = load_family(Family::Ipv6, &self.pins, self.connections6_max, self.takes_over)?;
        self.maps.six = Some(Maps6 {
            services: open_map(&self.pins, "services6")?,
            relayed: open_map(&self.pins, "relayed6")?,
            slots: open_slots(Family::Ipv6, &self.pins)?,
        });
        let program = six.program(FORWARD).and_then(|program| program.fd().ok());
        let descriptor = program.map_or(-1, |program| program.as_fd().as_raw_fd());
        open_map(&self.pins, OTHER_FAMILY)?
            .update(0u32.as_bytes(), descriptor.as_bytes())
            .map_err(EngineError::system(format!("write the {OTHER_FAMILY} map")))?;
        self.six = Some(six);
        self.load_six_at_tc()
    }

    fn load_six_at_tc(&mut self) -> Result<(), EngineError> {
        let (Some(filters), Some(_)) = (&mut self.filters, &self.six) else { return Ok(()) };
        let six = parse(Family::Ipv6, TC6, &self.pins, self.connections6_max, self.takes_over)?;
        filters.load_six(six, open_map(&self.pins, OTHER_AT_TC)?)
    }

    /// The programs at tc, loaded.
    pub(super) fn filters(&mut self) -> Result<&mut Filters, EngineError> {
        if self.filters.is_none() {
            let four = parse(Family::Ipv4, TC, &self.pins, self.connections_max, self.takes_over)?;
            self.filters = Some(Filters::load(four, &self.pins.join(LAYOUT))?);
            self.load_six_at_tc()?;
        }
        self.filters.as_mut().ok_or_else(|| EngineError::Bpf("no programs at tc".into()))
    }

    /// Runs the program that removes connections whose time is over on the numbers of slots.
    pub(crate) fn reap(&self, family: Family, packet: &[u8]) -> io::Result<TestRun> {
        let of_it = match family {
            Family::Ipv4 => Some(&self.ebpf),
            Family::Ipv6 => self.six.as_ref(),
        };
        run(of_it, REAP, packet, 1)
    }

    /// Runs the forwarding program on a packet, as if it had come in by the loopback interface.
    pub(crate) fn forward(&self, packet: &[u8], repeat: u32) -> io::Result<TestRun> {
        run(Some(&self.ebpf), FORWARD, packet, repeat)
    }

    /// Runs the program that takes in connections of another layout.
    pub(crate) fn take(&self, family: Family, packet: &[u8]) -> io::Result<TestRun> {
        let of_it = match family {
            Family::Ipv4 => Some(&self.ebpf),
            Family::Ipv6 => self.six.as_ref(),
        };
        run(of_it, TAKE, packet, 1)
    }

    /// Says whom our programs pass on to what they do not know, in XDP and at each place at tc.
    pub(crate) fn set_former(
        &self,
        forward: Option<BorrowedFd<'_>>,
        at_tc: [Option<BorrowedFd<'_>>; 4],
    ) -> io::Result<()> {
        let directory = self.pins.join(LAYOUT);
        let places = (0u32..).map(|place| ("former_at_tc", place));
        for ((name, place), program) in
            [("former", 0)].into_iter().chain(places).zip([forward].into_iter().chain(at_tc))
        {
            let map = Map::open(&directory.join(name))?;
            match program {
                Some(program) => {
                    let number = program.as_raw_fd().cast_unsigned();
                    map.update(place.as_bytes(), number.as_bytes())?;
                }
                None => {
                    map.delete(place.as_bytes())?;
                }
            }
        }
        Ok(())
    }

    /// Names of the counters, in the order of their map.
    pub(crate) fn counter_names() -> impl Iterator<Item = &'static str> {
        Object::counters_explained().map(|(name, _)| name)
    }

    /// The counters, each with what it means, where its name does not say it.
    pub(crate) fn counters_explained() -> impl Iterator<Item = (&'static str, &'static str)> {
        let counters = COUNTERS.lines().filter_map(|line| line.strip_prefix("COUNTER("));
        counters.map(|line| {
            let (name, rest) = line.split_once(')').unwrap_or((line, ""));
            let rest = rest.trim().trim_start_matches("/*").trim_end_matches("*/").trim();
            (name, rest)
        })
    }

    /// Removes maps of other layouts: nobody needs them any more.
    pub(crate) fn remove_other_layouts(&self) {
        let Ok(entries) = fs::read_dir(&self.pins) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if ![LAYOUT, LINKS, GATE_NAME].iter().any(|ours| name == **ours) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// As in bpf/handover.h.
const RELAYED_MAX: u32 = 1 << 18;

/// Pins a program beside its maps, for versions of other layouts that take over from it.
pub(super) fn pin_program(ebpf: &Ebpf, name: &str, path: &Path) -> Result<(), EngineError> {
    let program = ebpf.program(name).and_then(|program| program.fd().ok());
    let Some(program) = program else { return Ok(()) };
    let _ = fs::remove_file(path);
    edge::bpf::pin(program.as_fd(), path)
        .map_err(EngineError::system(format!("pin {}", path.display())))
}

fn run(ebpf: Option<&Ebpf>, name: &str, packet: &[u8], repeat: u32) -> io::Result<TestRun> {
    let program = ebpf.and_then(|ebpf| ebpf.program(name)?.fd().ok());
    let program = program.ok_or_else(|| io::Error::other("the program is not loaded"))?;
    test_run(program.as_fd(), packet, repeat)
}

/// Opens a pinned map.
fn open_map(pins: &Path, name: &str) -> Result<Map, EngineError> {
    Map::open(&pins.join(LAYOUT).join(name)).map_err(EngineError::system(format!("map {name}")))
}

/// Maps a family's connections into this process.
fn open_slots(family: Family, pins: &Path) -> Result<Slots, EngineError> {
    Slots::over(family, &open_map(pins, table_name(family))?)
        .map_err(EngineError::system("map the connection table"))
}

/// Loads XDP's programs of a family over the maps pinned in `pins`.
fn load_family(
    family: Family,
    pins: &Path,
    connections_max: u32,
    takes_over: bool,
) -> Result<Ebpf, EngineError> {
    let mut ebpf = parse(family, object_of(family), pins, connections_max, takes_over)?;
    for name in [FORWARD, REAP, TAKE] {
        let program: &mut Xdp = program(&mut ebpf, name);
        load_patiently(name, || program.load())?;
    }
    Ok(ebpf)
}

/// An object of a family with its maps, which are pinned in `pins`, and no program loaded yet.
fn parse(
    family: Family,
    object: &[u8],
    pins: &Path,
    connections_max: u32,
    takes_over: bool,
) -> Result<Ebpf, EngineError> {
    let directory = pins.join(LAYOUT);
    let geometry = Geometry::of(family, &directory, connections_max)
        .map_err(EngineError::system("the connection table"))?;
    EbpfLoader::new()
        .default_map_pin_directory(&directory)
        .map_pin_path("gate", pins.join(GATE_NAME))
        .map_max_entries(table_name(family), geometry.buckets())
        .map_max_entries(relayed_name(family), if takes_over { RELAYED_MAX } else { 1 })
        .override_global("buckets_log2", &geometry.buckets_log2, true)
        .override_global("hash_seed", &geometry.seed, true)
        .load(object)
        .map_err(|error| bpf_error("load the BPF object", &error))
}

/// The object of a family.
pub(crate) const fn object_of(family: Family) -> &'static [u8] {
    match family {
        Family::Ipv4 => OBJECT,
        Family::Ipv6 => OBJECT6,
    }
}

/// The map in which a family's program notes whose connections another layout's opened.
pub(crate) const fn relayed_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "relayed",
        Family::Ipv6 => "relayed6",
    }
}

/// A program of the object, which has exactly those named at the top of this file.
pub(crate) fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut P
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    let found = ebpf.program_mut(name).and_then(|program| program.try_into().ok());
    found.expect("the object was compiled with this program")
}
