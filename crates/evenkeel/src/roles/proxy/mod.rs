//! The proxy role's driver: the main thread talks to the supervisor and checks the servers; the
//! worker threads serve.

mod health;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use edge::clock::now;
use edge::ipc::{Channel, Received};
use edge::poll::{Event, Interest, Poll};
use edge::privileges;
use edge::signal::Signals;
use model::Time;
use model::control::{Cause, Event as Notice, FromRole, RolePlan, RoleReport, ToRole};
use model::proxy::{Account, ProcessSettings, ProxyPlan};
use model::status::ProxyReport;
use proxy::program::Program;
use worker::{Logger, Registry, Shape, Workers};

use health::Health;

/// How long sessions may go on after a stop.
const GRACE: Duration = Duration::from_secs(30);
/// Between two looks at threads that are ending.
const DRAIN_STEP: Duration = Duration::from_millis(20);
/// Descriptors for everything but sessions: listeners, checks, logs, pipes.
const DESCRIPTORS_ASIDE: usize = 200;

const CHANNEL: u64 = 0;
const PROBES: u64 = 1;

/// Runs the role until its supervisor says stop or goes away; then the sessions finish.
pub(crate) fn run(channel: Channel) -> io::Result<()> {
    // Ctrl-C reaches the whole process group: the end of this role is the supervisor's to say.
    let _signals = Signals::blocked(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])?;
    let poll = Poll::new()?;
    poll.add(&channel, CHANNEL, Interest::Read)?;
    let health = Health::new()?;
    poll.add(health.descriptor(), PROBES, Interest::Read)?;
    Driver { channel, writing: false, poll, health, serving: None }.run()
}

struct Driver {
    channel: Channel,
    writing: bool,
    poll: Poll,
    health: Health,
    serving: Option<Serving>,
}

/// What stands once the first plan was taken.
struct Serving {
    settings: ProcessSettings,
    registry: Registry,
    shape: Arc<Shape>,
    workers: Workers,
}

impl Driver {
    fn run(mut self) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            self.poll.wait(&mut events, self.health.next_deadline())?;
            let now = now();
            self.run_checks(now)?;
            if events.iter().any(|event| event.token == CHANNEL) && self.handle_channel(now)? {
                return self.drain();
            }
            self.flush()?;
        }
    }

    /// Takes in what the supervisor has said. True when it is over.
    fn handle_channel(&mut self, now: Time) -> io::Result<bool> {
        loop {
            let frame = match self.channel.receive()? {
                Received::Frame(frame) => frame,
                Received::Nothing => return Ok(false),
                Received::Closed => return Ok(true),
            };
            match serde_json::from_slice(&frame.bytes)? {
                ToRole::Hello(_) => {}
                ToRole::Configure { generation, plan: RolePlan::Proxy(plan), listeners } => {
                    let error =
                        self.configure(now, generation, plan, &listeners, frame.descriptors).err();
                    self.say(&FromRole::Configured { generation, error })?;
                }
                ToRole::Configure { generation, .. } => {
                    let error = Some("this plan is for another role".to_string());
                    self.say(&FromRole::Configured { generation, error })?;
                }
                ToRole::Report { id } => {
                    let report = self.serving.as_ref().map_or_else(
                        || ProxyReport { pid: std::process::id(), ..ProxyReport::default() },
                        |serving| serving.shape.report(),
                    );
                    self.say(&FromRole::Report { id, report: RoleReport::Proxy(report) })?;
                }
                ToRole::Connections { id } => {
                    let connections = Vec::new();
                    self.say(&FromRole::Connections { id, connections, last: true })?;
                }
                // Between the vrrp and helper roles only.
                ToRole::Services { .. }
                | ToRole::Link
                | ToRole::Server { .. }
                | ToRole::Zero { .. }
                | ToRole::Changes(_)
                | ToRole::Bfd { .. } => {}
                ToRole::Stop | ToRole::Leave => return Ok(true),
            }
        }
    }

    /// Brings a plan into force, or leaves the former one in force and says why.
    fn configure(
        &mut self,
        now: Time,
        generation: u64,
        plan: ProxyPlan,
        addresses: &[SocketAddr],
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), String> {
        let listeners = group(addresses, descriptors)?;
        let program = Program::compile(&plan, generation)?;
        let serving = match self.serving.take() {
            Some(mut serving) => {
                let reloaded = serving.reload(&plan.process, program, listeners);
                let serving = self.serving.insert(serving);
                reloaded?;
                serving
            }
            None => self.serving.insert(Serving::start(&plan.process, program, listeners)?),
        };
        self.health.follow(now, &plan, &serving.shape);
        Ok(())
    }

    /// Passes on what the checks found out.
    fn run_checks(&mut self, now: Time) -> io::Result<()> {
        let Some(serving) = &self.serving else { return Ok(()) };
        let shape = Arc::clone(&serving.shape);
        for change in self.health.run(now, &shape)? {
            health::log(&shape, &change);
            let health::Change { backend, server, up, reason } = change;
            let (service, cause) = (backend, Cause::Check(0));
            let event = Notice::Health { service, server, up, reason, cause, alert: false };
            self.say(&FromRole::Event(event))?;
        }
        if let Some(text) = self.health.poll_shortage() {
            self.say(&FromRole::Event(Notice::Log { severity: 4, text }))?;
        }
        Ok(())
    }

    /// Puts a message in line for the supervisor.
    fn say(&mut self, message: &FromRole) -> io::Result<()> {
        self.channel.queue(serde_json::to_vec(message)?, Vec::new());
        Ok(())
    }

    /// Sends what the channel takes, and waits for room when it does not take everything.
    fn flush(&mut self) -> io::Result<()> {
        self.channel.flush()?;
        let writing = self.channel.wants_write();
        if writing != self.writing {
            self.poll.modify(&self.channel, CHANNEL, Interest::read_and(writing))?;
            self.writing = writing;
        }
        Ok(())
    }

    /// Accepts no more and lets the sessions finish.
    fn drain(mut self) -> io::Result<()> {
        // The supervisor may be gone: what it does not read is not needed.
        let _ = self.channel.flush();
        let Some(serving) = self.serving else { return Ok(()) };
        serving.workers.stop(GRACE);
        while !serving.workers.are_finished() {
            std::thread::sleep(DRAIN_STEP);
        }
        Ok(())
    }
}

impl Serving {
    fn start(
        settings: &ProcessSettings,
        program: Program,
        listeners: Vec<(SocketAddr, Vec<OwnedFd>)>,
    ) -> Result<Serving, String> {
        let user = known(settings.user.as_ref(), "user")?;
        let group = known(settings.group.as_ref(), "group")?;
        let threads = usize::from(settings.threads.max(1));
        let logger = Logger::start().map_err(|error| format!("no thread for the log: {error}"))?;
        let mut registry = Registry::new(threads, limit(settings), logger);
        let shape = Arc::new(registry.shape(program));
        // The calendar reads the time zone's file, which a chroot would hide.
        edge::clock::load_time_zone();
        if privileges::are_all() {
            if let Some(directory) = &settings.chroot {
                privileges::chroot(directory)
                    .map_err(|error| format!("cannot chroot to {directory}: {error}"))?;
            }
            privileges::become_account(user, group)
                .map_err(|error| format!("cannot change user or group: {error}"))?;
        }
        let workers = Workers::start(threads, &shape)
            .map_err(|error| format!("cannot start {threads} threads: {error}"))?;
        workers.load(&shape, listeners).map_err(|error| error.to_string())?;
        Ok(Serving { settings: settings.clone(), registry, shape, workers })
    }

    fn reload(
        &mut self,
        settings: &ProcessSettings,
        program: Program,
        listeners: Vec<(SocketAddr, Vec<OwnedFd>)>,
    ) -> Result<(), String> {
        let (old, new) = (&self.settings, settings);
        if (old.threads, &old.user, &old.group, &old.chroot)
            != (new.threads, &new.user, &new.group, &new.chroot)
        {
            return Err("threads, user, group and chroot need a new process".to_string());
        }
        self.registry.set_limit(limit(settings));
        let shape = Arc::new(self.registry.shape(program));
        self.workers.load(&shape, listeners).map_err(|error| error.to_string())?;
        self.shape = shape;
        self.registry.forget_unused();
        self.settings = settings.clone();
        Ok(())
    }
}

/// The bound on client connections: as configured, else what the descriptors allow at two each.
fn limit(settings: &ProcessSettings) -> u32 {
    let descriptors = edge::process::descriptors_max().saturating_sub(DESCRIPTORS_ASIDE);
    let possible = u32::try_from(descriptors / 2).unwrap_or(u32::MAX).max(1);
    settings.max_connections.unwrap_or(possible).min(possible)
}

fn known(account: Option<&Account>, what: &str) -> Result<Option<u32>, String> {
    match account {
        None => Ok(None),
        Some(Account { id: Some(id), .. }) => Ok(Some(*id)),
        Some(Account { name, id: None }) => Err(format!("this machine has no {what} {name:?}")),
    }
}

/// `threads` descriptors in a row for each address.
fn group(
    addresses: &[SocketAddr],
    descriptors: Vec<OwnedFd>,
) -> Result<Vec<(SocketAddr, Vec<OwnedFd>)>, String> {
    let each = descriptors.len().checked_div(addresses.len()).unwrap_or(0);
    if descriptors.len() != addresses.len() * each || (each == 0 && !addresses.is_empty()) {
        let got = descriptors.len();
        return Err(format!("{got} listening descriptors came for {} addresses", addresses.len()));
    }
    let mut descriptors = descriptors.into_iter();
    let of_address = |&address| (address, descriptors.by_ref().take(each).collect());
    Ok(addresses.iter().map(of_address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_gets_equally_many_descriptors() {
        let addresses: Vec<SocketAddr> =
            ["127.0.0.1:1", "127.0.0.1:2"].map(|text| text.parse().unwrap()).into();
        let open =
            |count| (0..count).map(|_| OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        let groups = group(&addresses, open(6).collect()).unwrap();
        assert_eq!(groups.len(), 2);
        assert!(groups.iter().all(|(_, sockets)| sockets.len() == 3));
        assert!(group(&addresses, open(5).collect()).is_err());
    }

    #[test]
    fn an_account_this_machine_does_not_know_is_refused() {
        let account = Account { name: "nosuch".into(), id: None };
        assert_eq!(
            known(Some(&account), "user").unwrap_err(),
            "this machine has no user \"nosuch\""
        );
        assert_eq!(known(None, "user"), Ok(None));
    }
}
