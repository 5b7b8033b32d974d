//! Waits for adverts, timers, interfaces and the supervisor, gives them to the router and has
//! the kernel do what the router asks for. Decides nothing.

mod interfaces;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use edge::bpf::Gate;
use edge::clock;
use edge::ipc::Channel;
use edge::netlink::Socket;
use edge::netlink::link::GROUPS;
use edge::poll::{Event as Ready, Interest, Poll};
use edge::signal::Signals;
use edge::timer::Timer;
use model::Time;
use model::control::TrackerState;
use model::control::{Event, FromRole, RolePlan, RoleReport, Runtime, ToRole};
use model::status::{VrrpReport, VrrpState};
use model::vrrp::{Holding, Tracked, VirtualAddress, VrrpInstance, VrrpPlan};
use proto::vrrp::packet::{GROUP, PROTOCOL, Received};
use proto::vrrp::{Announced, LinkState, Output, Router, Subject, Surroundings, Task};

use super::kernel::{Kernel, addresses};
use super::memory::Memory;
use super::stations::Stations;
use super::supervisor::{Said, Supervisor};

const SUPERVISOR: u64 = 0;
const TIMER: u64 = 1;
const INTERFACES: u64 = 2;
const SIGNALS: u64 = 3;
/// Stations have this and their interface's index.
const STATIONS: u64 = 1 << 32;
/// Most adverts read from one interface before timers are looked at again.
const ADVERTS_AT_ONCE: usize = 256;

/// The role's one loop.
pub(super) struct Driver {
    supervisor: Supervisor,
    router: Router,
    kernel: Kernel,
    stations: Stations,
    events: Socket,
    timer: Timer,
    signals: Signals,
    poll: Poll,
    memory: Memory,
    plan: VrrpPlan,
    /// What the router was last told of each interface.
    links: BTreeMap<String, LinkState>,
    /// Events of interfaces were lost, and reading them anew has not succeeded yet.
    stale: bool,
    worst_lateness: Duration,
    polling_writes: bool,
    stopped: bool,
}

impl Driver {
    pub(super) fn new(channel: Channel) -> io::Result<Driver> {
        // Before the interfaces are read, so that no change of them is missed.
        let events = Socket::open()?;
        events.subscribe(&GROUPS)?;
        let kernel = Kernel::open()?;
        let timer = Timer::new()?;
        // Ctrl-C goes to the whole foreground group: the supervisor says when to stop.
        let signals = Signals::blocked(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
        let supervisor = Supervisor::over(channel);
        let poll = Poll::new()?;
        poll.add(&supervisor, SUPERVISOR, Interest::Read)?;
        poll.add(&timer, TIMER, Interest::Read)?;
        poll.add(&events, INTERFACES, Interest::Read)?;
        poll.add(&signals, SIGNALS, Interest::Read)?;
        Ok(Driver {
            supervisor,
            router: Router::default(),
            kernel,
            stations: Stations::new()?,
            events,
            timer,
            signals,
            poll,
            memory: Memory::default(),
            plan: VrrpPlan::default(),
            links: BTreeMap::new(),
            stale: false,
            worst_lateness: Duration::ZERO,
            polling_writes: false,
            stopped: false,
        })
    }

    /// Runs until the supervisor says stop or goes away.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        while !self.stopped {
            self.timer.set(self.router.next_deadline())?;
            self.poll.wait(&mut ready, Time::NEVER)?;
            self.hear_adverts(&ready);
            self.fire_timers()?;
            if self.stale {
                self.reread_interfaces();
            }
            for event in &ready {
                match event.token {
                    INTERFACES => self.follow_interfaces()?,
                    SIGNALS => self.hear_signals()?,
                    SUPERVISOR if event.readable => self.hear_supervisor()?,
                    _ => {}
                }
            }
            self.flush()?;
        }
        Ok(())
    }

    /// Adverts come before timers: after a pause of this process, one that waits in the socket
    /// takes back a timer that only seems to have expired.
    fn hear_adverts(&mut self, ready: &[Ready]) {
        let due = self.router.next_deadline() <= clock::now();
        let names: Vec<String> = self
            .stations
            .open
            .iter()
            .filter(|(_, station)| due || ready.iter().any(|e| e.token == token(station.index)))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            let Some(station) = self.stations.open.get_mut(&name) else { continue };
            for _ in 0..ADVERTS_AT_ONCE {
                let packet = match station.socket.receive() {
                    Ok(Some(packet)) => packet,
                    Ok(None) => break,
                    // An interface that is down says so here too; its events say more.
                    Err(_) => break,
                };
                let received = Received {
                    source: packet.source.into(),
                    destination: GROUP.into(),
                    ttl: packet.ttl,
                    protocol: PROTOCOL,
                    ipv4_header: &[],
                    payload: packet.payload,
                };
                let heard = self.router.handle_advert(clock::now(), &name, &received);
                if let Err((plan, discard)) = heard {
                    self.supervisor.warn_of_discard(&plan.name, packet.source, discard);
                }
            }
        }
        self.apply();
    }

    fn fire_timers(&mut self) -> io::Result<()> {
        self.timer.clear()?;
        let now = clock::now();
        let deadline = self.router.next_deadline();
        if deadline <= now {
            self.worst_lateness = self.worst_lateness.max(now.since(deadline));
            self.router.handle_timeout(now);
            self.apply();
        }
        Ok(())
    }

    fn hear_signals(&mut self) -> io::Result<()> {
        while let Some(signal) = self.signals.arrived()? {
            if signal == libc::SIGTERM {
                self.stop();
            }
        }
        Ok(())
    }

    fn hear_supervisor(&mut self) -> io::Result<()> {
        while !self.stopped {
            let (message, mut descriptors) = match self.supervisor.hear()? {
                Said::Message(message, descriptors) => (*message, descriptors),
                Said::Nothing => return Ok(()),
                Said::Gone => {
                    self.stop();
                    return Ok(());
                }
            };
            match message {
                ToRole::Hello(runtime) => {
                    self.open_gate(&runtime);
                    self.memory = descriptors.pop().map(Memory::over).unwrap_or_default();
                }
                ToRole::Configure { generation, plan, .. } => self.configure(generation, plan),
                ToRole::Report { id } => {
                    let report = RoleReport::Vrrp(VrrpReport {
                        instances: self.router.status(clock::now()),
                        worst_lateness_ns: self.worst_lateness.as_nanos() as u64,
                        ..VrrpReport::default()
                    });
                    self.supervisor.answer(&FromRole::Report { id, report });
                }
                ToRole::Link => {}
                // For the director only: nothing to list here.
                ToRole::Connections { id } => {
                    let connections = Vec::new();
                    self.supervisor.answer(&FromRole::Connections { id, connections, last: true });
                }
                ToRole::Stop => self.stop(),
                ToRole::Leave => self.stopped = true,
            }
        }
        Ok(())
    }

    fn open_gate(&mut self, runtime: &Runtime) {
        match Gate::open(Path::new(&runtime.pin_directory)) {
            Ok(gate) => self.kernel.gate = Some(gate),
            Err(error) => self
                .supervisor
                .warn(format!("no gate for layer-4 traffic in {}: {error}", runtime.pin_directory)),
        }
    }

    fn configure(&mut self, generation: u64, plan: RolePlan) {
        let RolePlan::Vrrp(plan) = plan else {
            let error = Some("not a plan for the vrrp role".to_owned());
            self.supervisor.answer(&FromRole::Configured { generation, error });
            return;
        };
        self.supervisor.forget_warnings();
        let names = interfaces(&plan);
        names.iter().for_each(|name| self.renew_station(name));
        let links = names.iter().map(|name| (name.clone(), self.link(name, &plan)));
        self.links = links.collect();
        let surroundings =
            Snapshot { links: &self.links, kernel: &self.kernel, memory: &self.memory };
        self.router.configure(clock::now(), &plan, &surroundings);
        self.apply();
        self.memory.forget();
        self.memory.write(self.router.instances());
        self.stations.open.retain(|name, _| names.contains(name));
        let former = std::mem::replace(&mut self.plan, *plan);
        self.renew_gates(&former);
        self.supervisor.answer(&FromRole::Configured { generation, error: None });
    }

    fn renew_gates(&self, former: &VrrpPlan) {
        let managed = |plan: &VrrpPlan| -> BTreeSet<IpAddr> {
            plan.instances.iter().flat_map(addresses).map(|address| address.address).collect()
        };
        for gone in managed(former).difference(&managed(&self.plan)) {
            self.kernel.remove_gate(*gone);
        }
        for instance in self.router.instances() {
            for address in addresses(instance.plan()) {
                self.kernel.set_gate(address.address, instance.state() == VrrpState::Master);
            }
        }
    }

    fn stop(&mut self) {
        self.router.handle_stop(clock::now());
        self.apply();
        self.stopped = true;
    }

    /// Does all that the router asks for.
    fn apply(&mut self) {
        let mut changed = false;
        while let Some(Task { subject, output }) = self.router.poll_output() {
            changed |= matches!(output, Output::Transition { .. });
            let Subject::Instance(plan) = subject else { continue };
            if let Err(error) = self.apply_one(&plan, &output) {
                self.supervisor.warn(format!("{}: {error}", plan.name));
            }
        }
        if changed {
            self.memory.write(self.router.instances());
        }
    }

    fn apply_one(&mut self, plan: &VrrpInstance, output: &Output) -> io::Result<()> {
        match output {
            Output::SendAdvert(packet) => {
                let IpAddr::V4(source) = packet.source else { return Ok(()) };
                explained(self.stations.send(&plan.interface, source, &packet.payload), || {
                    format!("advert not sent on {}", plan.interface)
                })
            }
            Output::Hold => self.add(plan, &addresses(plan).collect::<Vec<_>>()),
            Output::Add(holdings) => self.add(plan, &only_addresses(holdings)),
            Output::Release => self.remove(plan, &addresses(plan).collect::<Vec<_>>()),
            Output::Remove(holdings) => self.remove(plan, &only_addresses(holdings)),
            Output::Announce { addresses: announced, repeat } => {
                let list: Vec<&VirtualAddress> = match announced {
                    Announced::All => addresses(plan).collect(),
                    Announced::These(list) => list.iter().collect(),
                    Announced::ExtraInterfaces => Vec::new(),
                };
                for _ in 0..*repeat {
                    first_error(&list, |address| {
                        explained(
                            self.stations.announce(&self.kernel.interfaces, plan, address),
                            || format!("address {} not announced", address.address),
                        )
                    })?;
                }
                Ok(())
            }
            Output::Transition { from, to, reason, priority: _ } => {
                for address in addresses(plan) {
                    self.kernel.set_gate(address.address, *to == VrrpState::Master);
                }
                let (instance, reason) = (plan.name.clone(), reason.to_string());
                let event = Event::VrrpState { instance, from: *from, to: *to, reason };
                self.supervisor.tell(event);
                Ok(())
            }
            Output::Notice(..) | Output::Alarm(_) => Ok(()),
        }
    }

    fn add(&mut self, plan: &VrrpInstance, list: &[&VirtualAddress]) -> io::Result<()> {
        let kernel = &mut self.kernel;
        first_error(list, |address| {
            if kernel.holds(plan, address) {
                kernel.set_gate(address.address, true);
                return Ok(());
            }
            explained(kernel.add(plan, address), || {
                format!("address {} not added", address.address)
            })
        })
    }

    fn remove(&mut self, plan: &VrrpInstance, list: &[&VirtualAddress]) -> io::Result<()> {
        let kernel = &mut self.kernel;
        first_error(list, |address| {
            explained(kernel.remove(plan, address).map(drop), || {
                format!("address {} not removed", address.address)
            })
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        let left = self.supervisor.flush();
        if left != self.polling_writes {
            self.poll.modify(&self.supervisor, SUPERVISOR, Interest::read_and(left))?;
            self.polling_writes = left;
        }
        Ok(())
    }
}

/// What the router may ask while it takes over a configuration.
struct Snapshot<'a> {
    links: &'a BTreeMap<String, LinkState>,
    kernel: &'a Kernel,
    memory: &'a Memory,
}

impl Surroundings for Snapshot<'_> {
    fn link(&self, interface: &str) -> LinkState {
        self.links.get(interface).copied().unwrap_or_default()
    }

    fn tracker(&self, _: &Tracked) -> TrackerState {
        TrackerState::Unknown
    }

    fn has_address(&self, _: IpAddr) -> bool {
        true
    }

    fn resumes(&self, plan: &VrrpInstance) -> bool {
        self.memory.was_master(plan) && addresses(plan).all(|a| self.kernel.holds(plan, a))
    }
}

fn only_addresses(holdings: &[Holding]) -> Vec<&VirtualAddress> {
    let address = |holding| match holding {
        &Holding::Address(ref address) => Some(address),
        Holding::Route(_) | Holding::Rule(_) => None,
    };
    holdings.iter().filter_map(address).collect()
}

fn interfaces(plan: &VrrpPlan) -> BTreeSet<String> {
    plan.instances.iter().map(|instance| instance.interface.clone()).collect()
}

fn token(index: u32) -> u64 {
    STATIONS | u64::from(index)
}

/// Does it for every one, whatever fails, and returns the first error.
fn first_error<T>(list: &[T], work: impl FnMut(&T) -> io::Result<()>) -> io::Result<()> {
    list.iter().map(work).fold(Ok(()), io::Result::and)
}

fn explained(result: io::Result<()>, what: impl FnOnce() -> String) -> io::Result<()> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", what())))
}
