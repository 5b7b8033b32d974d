//! The engine and what its tables should hold. An engine exists only while a configuration has
//! virtual servers: without any, and with nothing left behind, BPF is not even asked for. The
//! kernel takes a quarter of a second to verify the programs: a thread has it done while the first
//! configuration is still on its way.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use director::xdp::{XdpEngine, XdpOptions};
use director::{Engine, EngineError, TableChange, Tables, diff};
use edge::poll::{Interest, Poll};
use model::Time;
use model::control::Runtime;
use model::layer4::{Layer4Plan, ServiceKey, Timeouts};
use model::marks::MarkRules;
use model::status::ConnectionStatus;

use super::rates::Rates;

/// After a change that the engine refused, the tables are compared again this much later.
const REPAIR_AFTER: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct TableKeeper {
    runtime: Option<Runtime>,
    engine: Option<Box<dyn Engine>>,
    /// An engine on its way.
    opening: Option<JoinHandle<Result<XdpEngine, EngineError>>>,
    /// The tables are those of our configuration, not an earlier director's.
    configured: bool,
    /// The tables are not what they should be: compare them at this time.
    repair_at: Option<Time>,
    /// Descriptors of the engine as they are registered.
    registered: Vec<RawFd>,
    rates: Rates,
    log: VecDeque<(u8, String)>,
}

impl TableKeeper {
    pub(super) fn handle_runtime(&mut self, runtime: Runtime) {
        self.runtime = Some(runtime);
    }

    /// Begins to load the engine: the first configuration will want it.
    pub(super) fn open_ahead(&mut self) {
        if let (None, None, Some(runtime)) = (&self.engine, &self.opening, self.runtime.clone()) {
            let loader = thread::Builder::new().name("loader".to_string());
            // If there is no thread to be had, it is loaded when it is wanted.
            self.opening = loader.spawn(move || open_engine(&runtime)).ok();
        }
    }

    /// When [`estimate`](Self::estimate) is due.
    pub(super) fn next_estimate(&self) -> Time {
        self.engine.as_ref().map_or(Time::NEVER, |_| self.rates.next_deadline())
    }

    /// Goes on with the estimates of what is counted per second.
    pub(super) fn estimate(&mut self, now: Time) {
        if let Some(engine) = &self.engine {
            self.rates.handle_timeout(now, engine.as_ref());
        }
    }

    /// What is counted per second.
    pub(super) fn rates(&self) -> &Rates {
        &self.rates
    }

    pub(super) fn engine(&self) -> Option<&dyn Engine> {
        self.engine.as_deref()
    }

    /// Makes sure that there is an engine if this plan needs one. Returns the tables that an
    /// earlier director left, until a configuration has been laid over them.
    pub(super) fn open(&mut self, plan: &Layer4Plan) -> Result<Option<&Tables>, String> {
        if self.engine.is_none() {
            let runtime = self.runtime.as_ref().ok_or("the supervisor did not say hello")?;
            let opened = match self.opening.take() {
                Some(opening) => finished(opening),
                // What is not wanted any more has to be taken over too, to be removed.
                None if !plan.virtual_servers.is_empty()
                    || is_left_behind(&runtime.pin_directory) =>
                {
                    open_engine(runtime)
                }
                None => return Ok(None),
            };
            let engine = opened.map_err(|error| format!("layer 4 cannot start: {error}"))?;
            self.configured = false;
            self.engine = Some(Box::new(engine));
        }
        let engine = self.engine.as_ref().filter(|engine| engine.adopted() && !self.configured);
        Ok(engine.map(|engine| engine.tables()))
    }

    /// Makes the tables what they should be, by these changes if they are what they were last
    /// made, or again what `former` says when the engine refuses.
    pub(super) fn change(
        &mut self,
        now: Time,
        interfaces: &[String],
        changes: &[TableChange],
        wanted: impl Fn() -> Tables,
        former: impl FnOnce() -> Tables,
    ) -> Result<(), String> {
        let Some(engine) = &mut self.engine else {
            return Ok(());
        };
        let applied = match self.configured && self.repair_at.is_none() {
            true => apply(engine.as_mut(), changes, &wanted),
            false => engine.apply(&diff(engine.tables(), &wanted())),
        };
        if let Err(error) = applied {
            let back = diff(engine.tables(), &former());
            if let Err(error) = engine.apply(&back) {
                self.complain(now, &error);
            }
            return Err(error.to_string());
        }
        engine.set_interfaces(interfaces);
        self.configured = true;
        self.repair_at = None;
        if engine.tables().is_empty() {
            self.stop()?;
        }
        Ok(())
    }

    /// Connections without a packet for so long are forgotten.
    pub(super) fn set_timeouts(&mut self, timeouts: Timeouts) {
        let Some(engine) = &mut self.engine else { return };
        if let Err(error) = engine.set_timeouts(timeouts) {
            self.note(3, format!("the time-outs could not be set: {error}"));
        }
    }

    /// Counts anew: of this service, or of all.
    pub(super) fn zero(&mut self, only: Option<ServiceKey>) -> Result<(), String> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        engine.zero(only).map_err(|error| error.to_string())
    }

    /// Clients' packets are expected on these interfaces too.
    pub(super) fn set_interfaces(&mut self, interfaces: &[String]) {
        if let Some(engine) = &mut self.engine {
            engine.set_interfaces(interfaces);
        }
    }

    /// The firewall's rules for marks, and the addresses that they may be for.
    pub(super) fn set_marks(
        &mut self,
        rules: &MarkRules,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<(), String> {
        match &mut self.engine {
            Some(engine) => engine.set_marks(rules, addresses).map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    /// Changes that health asks for, until the tables are what is wanted.
    pub(super) fn follow(
        &mut self,
        now: Time,
        changes: &[TableChange],
        wanted: impl Fn() -> Tables,
    ) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        if let Err(error) = apply(engine.as_mut(), changes, &wanted) {
            self.complain(now, &error);
        }
    }

    fn complain(&mut self, now: Time, error: &EngineError) {
        self.note(3, format!("the layer-4 tables could not be changed: {error}"));
        self.repair_at = Some(now + REPAIR_AFTER);
    }

    pub(super) fn next_deadline(&self) -> Time {
        let engine = self.engine.as_ref().map_or(Time::NEVER, |engine| engine.next_deadline());
        engine.min(self.repair_at.unwrap_or(Time::NEVER))
    }

    /// Something is ready on the engine's descriptors.
    pub(super) fn handle_ready(&mut self, now: Time) {
        if let Some(engine) = &mut self.engine {
            engine.handle_ready(now);
        }
    }

    pub(super) fn handle_timeout(
        &mut self,
        now: Time,
        budget: Duration,
        wanted: impl FnOnce() -> Tables,
    ) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        if engine.next_deadline() <= now {
            engine.handle_timeout(now, budget);
        }
        if self.repair_at.is_some_and(|due| due <= now) {
            self.repair_at = None;
            let changes = diff(engine.tables(), &wanted());
            if let Err(error) = engine.apply(&changes) {
                self.complain(now, &error);
            }
        }
    }

    /// Keeps the engine's descriptors, whichever it has at the moment, in the poll set.
    pub(super) fn register(&mut self, poll: &Poll, first_token: u64) -> std::io::Result<()> {
        let descriptors =
            self.engine.as_ref().map_or(Vec::new(), |engine| engine.poll_descriptors());
        let now: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        if now == self.registered {
            return Ok(());
        }
        for (descriptor, token) in descriptors.iter().zip(first_token..) {
            // One that was closed left the set by itself; one that stays is in it already.
            if poll.modify(descriptor, token, Interest::Read).is_err() {
                poll.add(descriptor, token, Interest::Read)?;
            }
        }
        self.registered = now;
        Ok(())
    }

    /// A line for the log. Severity as in syslog.
    pub(super) fn note(&mut self, severity: u8, text: String) {
        self.log.push_back((severity, text));
    }

    pub(super) fn poll_log(&mut self) -> Option<(u8, String)> {
        self.log.pop_front().or_else(|| self.engine.as_mut().and_then(|engine| engine.poll_log()))
    }

    pub(super) fn connections(&mut self, now: Time) -> Vec<ConnectionStatus> {
        let listed = self.engine.as_ref().map_or(Ok(Vec::new()), |engine| engine.connections(now));
        listed.unwrap_or_else(|error| {
            self.note(4, format!("the connections could not be listed: {error}"));
            Vec::new()
        })
    }

    /// Takes everything of the engine out of the kernel.
    pub(super) fn stop(&mut self) -> Result<(), String> {
        if let Some(Ok(engine)) = self.opening.take().map(finished) {
            self.engine = Some(Box::new(engine));
        }
        let Some(mut engine) = self.engine.take() else {
            return Ok(());
        };
        while let Some(line) = engine.poll_log() {
            self.log.push_back(line);
        }
        engine.stop().map_err(|error| format!("layer 4 could not be taken down: {error}"))
    }
}

/// Applies changes. Whoever takes over is added before others are removed: where there is no room
/// for that, removals come first.
fn apply(
    engine: &mut dyn Engine,
    changes: &[TableChange],
    wanted: &impl Fn() -> Tables,
) -> Result<(), EngineError> {
    match engine.apply(changes) {
        Err(EngineError::Full { .. }) => engine.apply(&diff(engine.tables(), &wanted())),
        applied => applied,
    }
}

/// Loads the engine, taking over what an earlier director left.
fn open_engine(runtime: &Runtime) -> Result<XdpEngine, EngineError> {
    let mut options = XdpOptions::new(&runtime.pin_directory);
    options.mode = runtime.xdp_mode;
    options.connections_max = runtime.connections_max;
    options.connections6_max = runtime.connections6_max;
    let mut engine = XdpEngine::start(&options)?;
    engine.prepare()?;
    Ok(engine)
}

/// Waits for an engine on its way.
fn finished(opening: JoinHandle<Result<XdpEngine, EngineError>>) -> Result<XdpEngine, EngineError> {
    let broken = |_| Err(EngineError::Bpf("its loader failed".to_string()));
    opening.join().unwrap_or_else(broken)
}

/// An earlier director left something in the pin directory besides the vrrp role's gate.
fn is_left_behind(pin_directory: &str) -> bool {
    let entries = fs::read_dir(pin_directory).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name() != "gate")
}
