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

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcAttachType};
use aya::programs::{ProgramError, SchedClassifier, Xdp, XdpMode as AyaXdpMode, tc, xdp};
use aya::{Ebpf, EbpfLoader};
use edge::bpf::{Map, TestRun, test_run};
use edge::gate::GATE_NAME;
use edge::netlink::neighbour::{Interface, Mac};
use model::control::XdpMode;
use model::layer4::ServiceKey;
use model::vrrp::Family;
use zerocopy::IntoBytes;

use super::XdpOptions;
use super::handover::{self, PROGRAMS, Phase};
use super::layout::{INTERFACES_LOW, LAYOUT, RawInterface};
use super::slots::{Geometry, Slots, Timeouts, table_name};
use crate::EngineError;
use crate::variant::{OBJECT, OBJECT6};

/// The counters' names: the very file the programs are compiled with.
const COUNTERS: &str = include_str!("../../bpf/counters.h");

pub(crate) const FORWARD: &str = "evenkeel_xdp";
const REWRITE: &str = "evenkeel_tc";
const REAP: &str = "evenkeel_reap";
pub(crate) const TAKE: &str = "evenkeel_take";
/// Directory of the pinned links.
pub(crate) const LINKS: &str = "links";
/// Program arrays by which IPv4's programs reach IPv6's: of which program, and the map.
const HANDED_OVER: [(&str, &str); 2] = [(FORWARD, "other_family"), (REWRITE, "other_leaving")];
const LOAD_TRIES: usize = 10;
/// Where our filter stands among a device's egress filters.
const TC_OPTIONS: NlOptions =
    NlOptions { priority: 50, handle: tc::TcHandle::new(0, 1), classid: None };

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
    slots: Slots,
    /// As the program has them.
    pub(crate) timeouts: Timeouts,
    timeouts_map: Map,
    pub(crate) six: Option<Maps6>,
}

impl Maps {
    /// Tells the program after how long without a packet connections are forgotten.
    pub(crate) fn write_timeouts(&self) -> Result<(), EngineError> {
        self.timeouts_map
            .update(0u32.as_bytes(), self.timeouts.as_bytes())
            .map_err(EngineError::system("write the timeouts map"))
    }
}

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
    ebpf: Ebpf,
    /// IPv6's.
    six: Option<Ebpf>,
    pub(crate) maps: Maps,
    pins: PathBuf,
    mode: XdpMode,
    connections6_max: u32,
    takes_over: bool,
    links: HashMap<u32, Attached>,
}

/// An interface with our programs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) name: String,
    pub(crate) native: bool,
}

fn bpf_error(what: &str, error: &dyn std::error::Error) -> EngineError {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    EngineError::Bpf(text)
}

/// The errno behind an attach that failed.
fn errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(inner) => inner.io_error.raw_os_error(),
        _ => None,
    }
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
        for (pin, name) in PROGRAMS {
            pin_program(&ebpf, name, &directory.join(pin))?;
        }
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
            slots: open_slots(Family::Ipv4, pins)?,
            timeouts: Timeouts::default(),
            timeouts_map: open("timeouts")?,
            six: None,
        };
        maps.write_timeouts()?;
        let mut object = Object {
            ebpf,
            six: None,
            maps,
            pins: pins.to_path_buf(),
            mode: options.mode,
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
        for (name, map) in HANDED_OVER {
            let program = six.program(name).and_then(|program| program.fd().ok());
            let descriptor = program.map_or(-1, |program| program.as_fd().as_raw_fd());
            open_map(&self.pins, map)?
                .update(0u32.as_bytes(), descriptor.as_bytes())
                .map_err(EngineError::system(format!("write the {map} map")))?;
        }
        self.six = Some(six);
        Ok(())
    }

    /// Attaches to an interface, or takes over what an earlier director attached there: its
    /// link gets our program in one step, so that no packet meets neither.
    pub(crate) fn attach(&mut self, interface: &Interface) -> Result<Attached, EngineError> {
        if let Some(present) = self.links.get(&interface.index) {
            return Ok(present.clone());
        }
        let native = match self.adopt_link(interface.index)? {
            Some(native) => native,
            None => self.new_link(interface)?,
        };
        self.attach_rewrite(&interface.name)?;
        let attached = Attached { name: interface.name.clone(), native };
        self.links.insert(interface.index, attached.clone());
        Ok(attached)
    }

    fn link_path(&self, index: u32, native: bool) -> PathBuf {
        let mode = if native { "native" } else { "generic" };
        self.pins.join(LINKS).join(format!("{index}-{mode}"))
    }

    fn adopt_link(&mut self, index: u32) -> Result<Option<bool>, EngineError> {
        for native in [true, false] {
            let path = self.link_path(index, native);
            if !path.exists() {
                continue;
            }
            let wanted = match self.mode {
                XdpMode::Auto => true,
                XdpMode::Native => native,
                XdpMode::Generic => !native,
            };
            let taken = if wanted { self.update_link(&path) } else { Err(String::new()) };
            match taken {
                Ok(()) => return Ok(Some(native)),
                // The interface it belonged to is gone, or it is not wanted this way.
                Err(_) => fs::remove_file(&path)
                    .map_err(EngineError::system(format!("unpin {}", path.display())))?,
            }
        }
        Ok(None)
    }

    fn update_link(&mut self, path: &Path) -> Result<(), String> {
        let pinned = PinnedLink::from_pin(path).map_err(|error| error.to_string())?;
        let link = xdp::XdpLink::try_from(FdLink::from(pinned)).map_err(|e| e.to_string())?;
        let program: &mut Xdp = program(&mut self.ebpf, FORWARD);
        program.attach_to_link(link).map(drop).map_err(|error| error.to_string())
    }

    fn new_link(&mut self, interface: &Interface) -> Result<bool, EngineError> {
        let modes: &[(AyaXdpMode, bool)] = match self.mode {
            XdpMode::Auto => &[(AyaXdpMode::Driver, true), (AyaXdpMode::Skb, false)],
            XdpMode::Native => &[(AyaXdpMode::Driver, true)],
            XdpMode::Generic => &[(AyaXdpMode::Skb, false)],
        };
        let what = format!("attach to {}", interface.name);
        let mut last = None;
        for (mode, native) in modes {
            let program: &mut Xdp = program(&mut self.ebpf, FORWARD);
            match program.attach_to_if_index(interface.index, *mode) {
                Ok(id) => {
                    let link = program.take_link(id).map_err(|error| bpf_error(&what, &error))?;
                    let link = FdLink::try_from(link).map_err(|error| bpf_error(&what, &error))?;
                    let path = self.link_path(interface.index, *native);
                    link.pin(path).map_err(|error| bpf_error(&what, &error))?;
                    return Ok(*native);
                }
                Err(error) if errno(&error) == Some(EBUSY) => {
                    return Err(EngineError::Bpf(format!(
                        "{what}: another XDP program is attached there"
                    )));
                }
                Err(error) => last = Some(bpf_error(&what, &error)),
            }
        }
        Err(last.unwrap_or(EngineError::Bpf(what)))
    }

    fn attach_rewrite(&mut self, name: &str) -> Result<(), EngineError> {
        let what = format!("egress program of {name}");
        // Whether the qdisc was there already is all one.
        let _ = tc::qdisc_add_clsact(name);
        let program: &mut SchedClassifier = program(&mut self.ebpf, REWRITE);
        // An earlier director's filter gets our program: no packet meets neither.
        let there = SchedClassifierLink::attached(
            name,
            TcAttachType::Egress,
            TC_OPTIONS.priority,
            TC_OPTIONS.handle,
            TC_OPTIONS.classid,
        );
        if let Ok(there) = there
            && let Ok(id) = program.attach_to_link(there)
        {
            let link = program.take_link(id).map_err(|error| bpf_error(&what, &error))?;
            std::mem::forget(link);
            return Ok(());
        }
        let options = TcAttachOptions::Netlink(TC_OPTIONS);
        let id = program
            .attach_with_options(name, TcAttachType::Egress, options)
            .map_err(|error| bpf_error(&what, &error))?;
        let link = program.take_link(id).map_err(|error| bpf_error(&what, &error))?;
        // Dropping it would remove the filter, which is to outlive this process.
        std::mem::forget(link);
        Ok(())
    }

    /// The interface is gone from the system.
    pub(crate) fn forget(&mut self, index: u32) {
        if let Some(attached) = self.links.remove(&index) {
            let _ = fs::remove_file(self.link_path(index, attached.native));
        }
    }

    /// Interfaces with our programs, by index.
    pub(crate) fn attached(&self) -> &HashMap<u32, Attached> {
        &self.links
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

    /// Says whom our programs pass on to what they do not know.
    pub(crate) fn set_former(
        &self,
        forward: Option<BorrowedFd<'_>>,
        rewrite: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let directory = self.pins.join(LAYOUT);
        for (name, program) in [("former", forward), ("former_leaving", rewrite)] {
            let map = Map::open(&directory.join(name))?;
            match program {
                Some(program) => {
                    let number = program.as_raw_fd().cast_unsigned();
                    map.update(0u32.as_bytes(), number.as_bytes())?;
                }
                None => {
                    map.delete(0u32.as_bytes())?;
                }
            }
        }
        Ok(())
    }

    /// Interfaces that have a pinned link, perhaps of an earlier director.
    pub(crate) fn linked(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(self.pins.join(LINKS)) else { return Vec::new() };
        let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
        let index = |name: String| name.split('-').next()?.parse().ok();
        entries.flatten().filter_map(name).filter_map(index).collect()
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

    /// Detaches from every interface, this director's and leftovers, and unpins the maps. The
    /// gate stays: it is not ours.
    pub(crate) fn detach_all(&mut self) -> io::Result<()> {
        for attached in self.links.values() {
            let _ = tc::qdisc_detach_program(&attached.name, TcAttachType::Egress, REWRITE);
        }
        self.links.clear();
        for link in fs::read_dir(self.pins.join(LINKS))?.flatten() {
            // One whose interface is gone has nothing to be taken off.
            let _ = edge::bpf::detach_link(&link.path());
        }
        fs::remove_dir_all(self.pins.join(LINKS))?;
        fs::remove_dir_all(self.pins.join(LAYOUT))?;
        // Links taken over are held by the program too: let go of them.
        let program: &mut Xdp = program(&mut self.ebpf, FORWARD);
        program.unload().map_err(io::Error::other)
    }
}

const EBUSY: i32 = 16;
/// As in bpf/handover.h.
const RELAYED_MAX: u32 = 1 << 18;

/// Pins a program beside its maps, for versions of other layouts that take over from it.
fn pin_program(ebpf: &Ebpf, name: &str, path: &Path) -> Result<(), EngineError> {
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

/// Loads the programs of a family over the maps pinned in `pins`.
fn load_family(
    family: Family,
    pins: &Path,
    connections_max: u32,
    takes_over: bool,
) -> Result<Ebpf, EngineError> {
    let directory = pins.join(LAYOUT);
    let geometry = Geometry::of(family, &directory, connections_max)
        .map_err(EngineError::system("the connection table"))?;
    let mut ebpf = EbpfLoader::new()
        .default_map_pin_directory(&directory)
        .map_pin_path("gate", pins.join(GATE_NAME))
        .map_max_entries(table_name(family), geometry.buckets())
        .map_max_entries(relayed_name(family), if takes_over { RELAYED_MAX } else { 1 })
        .override_global("buckets_log2", &geometry.buckets_log2, true)
        .override_global("hash_seed", &geometry.seed, true)
        .load(object_of(family))
        .map_err(|error| bpf_error("load the BPF object", &error))?;
    for name in [FORWARD, REAP, TAKE] {
        let program: &mut Xdp = program(&mut ebpf, name);
        load_patiently(name, || program.load())?;
    }
    let rewrite: &mut SchedClassifier = program(&mut ebpf, REWRITE);
    load_patiently(REWRITE, || rewrite.load())?;
    Ok(ebpf)
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
