//! The engine that forwards packets in XDP, or at tc where XDP cannot be.
//!
//! Everything it needs outlives it: programs are attached by pinned links, the tables are pinned
//! maps. A director that dies leaves forwarding running; the next one takes the maps over, gives
//! the links its own program and goes on.

pub mod choice;
mod conducts;
pub mod explain;
mod handover;
mod inward;
mod layout;
mod links;
mod list;
mod localities;
mod loopback;
mod marks;
mod next_hops;
mod object;
mod slots;
mod sweep;
mod tables;
mod taking_part;
mod tc;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use edge::bpf::TestRun;
use edge::clock;
use model::Time;
use model::control::XdpMode;
use model::layer4::{Endpoint, ServiceKey, Timeouts};
use model::marks::MarkRules;
use model::status::{ConnectionStatus, Counters};
use model::vrrp::Family;

use self::handover::{Former, FoundDestination, FoundService, Handover, Phase};
pub use self::layout::LAYOUT;
use self::layout::{LOCAL, RESOLVED, RawDestination, wide};
use self::localities::Localities;
use self::marks::Marks;
use self::next_hops::{NextHops, Reach};
use self::object::Object;
use self::sweep::Sweeps;
use self::tables::TableState;
use self::taking_part::TakingPart;
use crate::{Destination, DestinationLoad, Engine, EngineError, TableChange, Tables};
use inward::Inward;
use loopback::Loopback;

/// Connections and templates the table has room for unless told otherwise: 36 MiB.
pub const CONNECTIONS_DEFAULT: u32 = 1 << 19;
/// The same of IPv6: 36 MiB, which are taken only with a virtual server of IPv6.
pub const CONNECTIONS6_DEFAULT: u32 = 1 << 18;
/// Where [`XdpEngine::test_next_hop`] lets tunnels begin.
pub const TEST_SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
/// The same of those over IPv6.
pub const TEST_SOURCE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xfe);
/// How often places of servers that left are looked over.
const TIDY_EVERY: Duration = Duration::from_secs(1);
const WARNING: u8 = 4;
const NOTICE: u8 = 5;

/// How the engine is to run.
#[derive(Clone, Debug)]
pub struct XdpOptions {
    /// Directory for pins, on a BPF file system: made if it is not there.
    pub pin_directory: PathBuf,
    /// Where the forwarding program runs: native XDP if it can be, unless something is asked for.
    pub mode: XdpMode,
    /// Connections and templates that the table is to have room for, if it does not exist yet:
    /// rounded up to a power of two, 64 at least and 2^24 at most. Each takes 72 bytes.
    pub connections_max: u32,
    /// The same of IPv6, whose table is made when the first virtual server of IPv6 comes. Each
    /// takes 144 bytes.
    pub connections6_max: u32,
}

impl XdpOptions {
    /// The usual: native where it can be, [`CONNECTIONS_DEFAULT`] connections.
    pub fn new(pin_directory: impl Into<PathBuf>) -> XdpOptions {
        XdpOptions {
            pin_directory: pin_directory.into(),
            mode: XdpMode::Auto,
            connections_max: CONNECTIONS_DEFAULT,
            connections6_max: CONNECTIONS6_DEFAULT,
        }
    }
}

/// The engine.
pub struct XdpEngine {
    object: Object,
    state: TableState,
    next_hops: NextHops,
    sweep: Sweeps,
    localities: Localities,
    part: TakingPart,
    marks: Marks,
    loopback: Loopback,
    inward: Inward,
    adopted: bool,
    log: VecDeque<(u8, String)>,
    tidy: Time,
    now: Time,
    /// While connections of another layout are being copied.
    handover: Option<Handover>,
}

impl XdpEngine {
    /// Loads the programs, or takes over what an earlier director left in the pin directory: its
    /// tables, connections and attached interfaces. Forwards in the network namespace of the
    /// calling thread.
    pub fn start(options: &XdpOptions) -> Result<XdpEngine, EngineError> {
        let former = Former::find(&options.pin_directory)
            .map_err(EngineError::system("look for maps of other layouts"))?;
        let options = &XdpOptions {
            connections_max: options.connections_max.max(former.room(Family::Ipv4)),
            connections6_max: options.connections6_max.max(former.room(Family::Ipv6)),
            ..options.clone()
        };
        let object = Object::load(options, !former.is_empty())?;
        let next_hops = NextHops::open().map_err(EngineError::system("open netlink"))?;
        let mut state = TableState::new();
        let adopted = state.adopt(&object.maps)?;
        let now = clock::now();
        let mut engine = XdpEngine {
            object,
            state,
            next_hops,
            sweep: Sweeps::default(),
            localities: Localities::new(now),
            part: TakingPart::new(options.mode),
            marks: Marks::default(),
            loopback: Loopback::default(),
            inward: Inward::default(),
            adopted,
            log: VecDeque::new(),
            tidy: now,
            now,
            handover: None,
        };
        for reason in &former.unreadable {
            engine.warn(reason.clone());
        }
        let addresses: Vec<IpAddr> =
            engine.state.places().map(|(_, slot)| slot.address()).collect();
        engine.next_hops.look_ahead(addresses.iter().copied());
        for address in &addresses {
            engine.next_hops.add_server(*address);
        }
        engine.next_hops.forget_ahead();
        for address in &addresses {
            engine.write_reach(*address);
        }
        if !former.is_empty() && engine.phase()? != Phase::Done {
            engine.take_over(former)?;
        } else {
            engine.attach_wanted();
            engine.object.remove_other_layouts();
        }
        Ok(engine)
    }

    fn phase(&self) -> Result<Phase, EngineError> {
        self.object.maps.phase().map_err(EngineError::system("read the handover map"))
    }

    /// Gets between the packets and the program of another layout, and begins to copy what it has.
    fn take_over(&mut self, former: Former) -> Result<(), EngineError> {
        self.prepare()?;
        // Each of its interfaces at once, where its program is: half of them would not know what the
        // others open, and from elsewhere that program cannot be asked.
        self.part.keep_hooks(self.object.linked());
        let engaged = former.engage(&self.object);
        let engaged = engaged.map_err(EngineError::system("pass on to the former program"))?;
        let phase = match (self.phase()?, engaged) {
            // As far as an earlier director of ours got, the notes are still there.
            (Phase::FormerKnows, true) => Phase::FormerKnows,
            (Phase::Finish, true) => Phase::Finish,
            (Phase::None | Phase::FormerOpens | Phase::Done, true) => Phase::FormerOpens,
            (_, false) => Phase::Finish,
        };
        self.object.maps.set_phase(phase).map_err(EngineError::system("write a map"))?;
        let tables = former.tables().map_err(EngineError::Bpf)?;
        self.take_tables(&tables.0, &tables.1)?;
        self.attach_wanted();
        self.adopted = true;
        self.log.push_back((NOTICE, "taking over the connections of another layout".to_owned()));
        self.handover = Some(Handover::new(former, phase, clock::now()));
        Ok(())
    }

    /// Services and destinations of another layout, as far as they are not here yet.
    fn take_tables(
        &mut self,
        services: &[FoundService],
        destinations: &[FoundDestination],
    ) -> Result<(), EngineError> {
        let mut changes = Vec::new();
        for found in services.iter().filter(|found| !self.tables().contains_key(&found.key)) {
            changes.push(TableChange::AddService(found.key, found.settings));
        }
        for found in destinations {
            let (key, wanted) = (found.service, found.destination);
            let listed = services.iter().any(|service| service.key == key);
            if !listed || self.state.index_of(key, wanted.endpoint).is_some() {
                continue;
            }
            let first = Destination { weight: found.last_weight.max(wanted.weight), ..wanted };
            changes.push(TableChange::AddDestination(key, first));
            if first != wanted {
                changes.push(TableChange::UpdateDestination(key, wanted));
            }
            if found.removed {
                changes.push(TableChange::RemoveDestination(key, wanted.endpoint));
            }
        }
        self.apply(&changes)
    }

    /// Goes on with the copying. Failures do not end it: the former program still answers.
    fn hand_over(&mut self, now: Time, budget: Duration) {
        let Some(handover) = &mut self.handover else { return };
        let done = handover.handle_timeout(&self.object, &self.state, now, budget);
        match done {
            Ok(false) => {}
            Ok(true) => {
                let (moved, lost) = (handover.moved, handover.lost);
                let seconds = now.since(handover.begun).as_secs_f32();
                let text = format!(
                    "took over {moved} connections of another layout in {seconds:.1} s; {lost} \
                     found no room or server"
                );
                self.log.push_back((NOTICE, text));
                self.handover = None;
                self.part.choose_hooks();
            }
            Err(error) => {
                handover.put_off(now);
                self.warn(format!("connections of another layout: {error}"));
            }
        }
    }

    /// Whether connections of another layout are still being copied.
    pub fn is_taking_over(&self) -> bool {
        self.handover.is_some()
    }

    /// Loads, before it is needed, what every interface gets besides the forwarding program.
    pub fn prepare(&mut self) -> Result<(), EngineError> {
        self.object.filters().map(drop)
    }

    /// Runs the forwarding program on a packet as if it had come in by the loopback interface:
    /// for tests and measurements.
    pub fn test_forward(&self, packet: &[u8], repeat: u32) -> io::Result<TestRun> {
        self.object.forward(packet, repeat)
    }

    /// Says which MAC address makes a packet ours on an interface: for tests, where there is no
    /// interface to attach to.
    pub fn test_interface(&self, index: u32, mac: [u8; 6]) -> io::Result<()> {
        self.object.maps.set_interface(index, Some(mac))
    }

    /// Says where a destination is on the wire, whatever routes and neighbours say: for tests.
    pub fn test_next_hop(
        &mut self,
        key: ServiceKey,
        endpoint: Endpoint,
        interface: u32,
        to: [u8; 6],
        from: [u8; 6],
    ) -> Result<(), EngineError> {
        let Some(index) = self.state.index_of(key, endpoint) else { return Ok(()) };
        let source = Some(match endpoint.address {
            IpAddr::V4(_) => IpAddr::V4(TEST_SOURCE),
            IpAddr::V6(_) => IpAddr::V6(TEST_SOURCE6),
        });
        let reach = Reach::Frame { interface, to, from, mtu: u32::MAX, source };
        self.state.rewrite(&self.object.maps, index, |raw| set_reach(raw, reach))
    }

    /// Says what fits on the way to a destination: for tests.
    pub fn test_mtu(
        &mut self,
        key: ServiceKey,
        endpoint: Endpoint,
        mtu: u32,
    ) -> Result<(), EngineError> {
        let Some(index) = self.state.index_of(key, endpoint) else { return Ok(()) };
        self.state.rewrite(&self.object.maps, index, |raw| raw.mtu = mtu)
    }

    fn apply_one(&mut self, change: &TableChange) -> Result<(), EngineError> {
        if let TableChange::AddService(key, _) = change
            && key.family() == Family::Ipv6
        {
            self.object.load_six()?;
        }
        let maps = &self.object.maps;
        match change {
            TableChange::AddService(key, settings) => self.state.add_service(*key, *settings),
            TableChange::UpdateService(key, settings) => {
                self.state.update_service(maps, *key, *settings)
            }
            TableChange::RemoveService(key) => self.state.remove_service(maps, *key),
            TableChange::AddDestination(key, destination) => {
                let known = self.state.index_of(*key, destination.endpoint).is_some();
                let index = self.state.add_destination(maps, *key, destination)?;
                let slot = self.state.destination(index);
                if let Some(address) = slot.map(|slot| slot.address()) {
                    if !known {
                        self.next_hops.add_server(address);
                    }
                    let reach = self.next_hops.reach(address);
                    self.state.rewrite(maps, index, |raw| set_reach(raw, reach))?;
                }
                Ok(())
            }
            TableChange::UpdateDestination(key, destination) => {
                self.state.update_destination(maps, *key, destination)
            }
            TableChange::RemoveDestination(key, endpoint) => {
                self.state.remove_destination(maps, *key, *endpoint).map(drop)
            }
        }
    }

    fn write_reach(&mut self, address: IpAddr) {
        let reach = self.next_hops.reach(address);
        for index in self.state.at_address(address) {
            let done = self.state.rewrite(&self.object.maps, index, |raw| set_reach(raw, reach));
            if let Err(error) = done {
                self.warn(format!("next hop of {address}: {error}"));
            }
        }
    }

    /// Interfaces that rules of marks name may have come or gone.
    fn follow_marks(&mut self) {
        if !self.marks.are_there() {
            return;
        }
        let interfaces = self.next_hops.named();
        if let Err(error) = self.marks.write(&self.object.maps, &interfaces) {
            self.warn(format!("firewall marks: {error}"));
        }
    }

    fn warn(&mut self, text: String) {
        self.log.push_back((WARNING, text));
    }

    fn tidy(&mut self) {
        // Those to come count at servers that left, too.
        if self.handover.is_some() {
            return;
        }
        for address in self.state.free_drained(&self.object.maps) {
            self.next_hops.remove_server(address);
        }
    }
}

fn set_reach(raw: &mut RawDestination, reach: Reach) {
    raw.flags &= !(RESOLVED | LOCAL);
    match reach {
        Reach::Frame { interface, to, from, mtu, source } => {
            raw.flags |= RESOLVED;
            (raw.ifindex, raw.mac, raw.source_mac, raw.mtu) = (interface, to, from, mtu);
            raw.source = source.map(wide).unwrap_or_default();
        }
        Reach::Local => raw.flags |= LOCAL,
        Reach::Unknown => {}
    }
}

impl Engine for XdpEngine {
    fn name(&self) -> &'static str {
        "xdp"
    }

    fn adopted(&self) -> bool {
        self.adopted
    }

    fn tables(&self) -> &Tables {
        &self.state.tables
    }

    fn apply(&mut self, changes: &[TableChange]) -> Result<(), EngineError> {
        let added = changes.iter().filter_map(|change| match change {
            TableChange::AddDestination(_, destination) => Some(destination.endpoint.address),
            TableChange::AddService(..)
            | TableChange::UpdateService(..)
            | TableChange::RemoveService(_)
            | TableChange::UpdateDestination(..)
            | TableChange::RemoveDestination(..) => None,
        });
        self.next_hops.look_ahead(added);
        let applied = changes.iter().try_for_each(|change| self.apply_one(change));
        self.next_hops.forget_ahead();
        let flushed = self.state.flush(&self.object.maps);
        self.attach_wanted();
        applied.and(flushed)
    }

    fn set_interfaces(&mut self, interfaces: &[String]) {
        self.part.wanted = interfaces.iter().cloned().collect();
        self.attach_wanted();
    }

    fn set_marks(
        &mut self,
        rules: &MarkRules,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<(), EngineError> {
        let interfaces = self.next_hops.named();
        self.marks.set(&self.object.maps, rules, addresses, &interfaces)
    }

    fn poll_descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.next_hops.descriptors()
    }

    fn handle_ready(&mut self, now: Time) {
        self.now = now;
        let seen = self.next_hops.handle_events(now);
        if !seen.gone.is_empty() || !seen.interfaces.is_empty() {
            self.follow_marks();
        }
        for gone in seen.gone {
            self.object.forget(gone.index);
            self.part.changed(gone.index);
            self.inward.forget(&gone.name);
            let _ = self.object.maps.set_interface(gone.index, None);
        }
        for interface in seen.interfaces {
            self.part.changed(interface.index);
            if let (Some(mac), true) =
                (interface.mac, self.object.attached().contains_key(&interface.index))
                && let Err(error) = self.test_interface(interface.index, mac)
            {
                self.warn(format!("interface {}: {error}", interface.name));
            }
        }
        for address in seen.servers {
            self.write_reach(address);
        }
        self.attach_wanted();
    }

    fn handle_timeout(&mut self, now: Time, budget: Duration) {
        self.now = now;
        let changed = self.next_hops.handle_timeout(now);
        if !changed.is_empty() {
            for address in changed {
                self.write_reach(address);
            }
            self.attach_wanted();
        }
        self.hand_over(now, budget);
        if let Err(error) = self.sweep.handle_timeout(&self.object, &self.state, now, budget) {
            self.warn(format!("sweep of the connections: {error}"));
        }
        if let Err(error) = self.localities.handle_timeout(&self.object.maps, now, budget) {
            self.warn(format!("collection of addresses of lblc and lblcr: {error}"));
        }
        if now >= self.tidy {
            self.tidy = now + TIDY_EVERY;
            self.tidy();
        }
    }

    fn next_deadline(&self) -> Time {
        let own = self
            .sweep
            .next_deadline(&self.object)
            .min(self.localities.next_deadline())
            .min(self.tidy);
        let handover = self.handover.as_ref().map_or(own, Handover::next_deadline);
        self.next_hops.next_deadline(self.now).min(own).min(handover)
    }

    fn poll_log(&mut self) -> Option<(u8, String)> {
        self.log.pop_front()
    }

    fn destination_load(&self, key: ServiceKey, endpoint: Endpoint) -> DestinationLoad {
        self.state.load(&self.object.maps, key, endpoint)
    }

    fn destination_counters(&self, key: ServiceKey, endpoint: Endpoint) -> Counters {
        self.state.destination_counters(&self.object.maps, key, endpoint)
    }

    fn zero(&mut self, only: Option<ServiceKey>) -> Result<(), EngineError> {
        self.state.zero(&self.object.maps, only)
    }

    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), EngineError> {
        self.state.set_timeouts(&self.object.maps, &timeouts)
    }

    fn service_counters(&self, key: ServiceKey) -> Counters {
        self.state.service_counters(&self.object.maps, key)
    }

    fn interfaces(&self) -> Vec<String> {
        let attached = self.object.attached().values();
        let mut names: Vec<String> =
            attached.map(|one| format!("{} ({})", one.name, one.choice)).collect();
        names.sort();
        names
    }

    fn data_plane(&self) -> Vec<(String, u64)> {
        let mut counters = list::data_plane(&self.object.maps);
        counters.push(("swept_connections".to_owned(), self.sweep.removed()));
        counters
    }

    fn connections(&self, now: Time) -> Result<Vec<ConnectionStatus>, EngineError> {
        Ok(list::connections(&self.object.maps, &self.state, now))
    }

    fn stop(&mut self) -> Result<(), EngineError> {
        self.loopback.close();
        self.inward.close();
        self.next_hops.release_all();
        self.object.detach_all().map_err(EngineError::system("detach"))
    }
}
