//! Who is told of what: log lines in Keepalived's words, events for the supervisor, scripts and
//! pipes.

use model::check::CheckKind;
use model::control::{Cause, Event, Moment};
use model::layer4::{Endpoint, Protocol, RealServer, ServiceKey, VirtualServerId};
use model::vrrp::Command;

use super::{Health, Outcome};

/// Syslog severity of everything that is told here.
const INFO: u8 = 6;

impl Health {
    pub(super) fn log(&mut self, text: String) {
        self.outcomes.push_back(logged(text));
    }

    /// Keepalived's name of a virtual server: `[192.0.2.1]:tcp:80`; of a group `[web]:0`, with its
    /// place among the virtual servers that use this group.
    pub(super) fn vs_name(&self, index: usize) -> String {
        let servers = &self.plan.virtual_servers;
        match &servers[index].id {
            VirtualServerId::Service(ServiceKey::Address { address, port, protocol }) => {
                trio(Endpoint { address: *address, port: *port }, Some(*protocol))
            }
            VirtualServerId::Service(ServiceKey::Mark { mark, .. }) => format!("FWM {mark}"),
            VirtualServerId::Group { name, .. } => {
                let same = |id: &VirtualServerId| matches!(id, VirtualServerId::Group { name: other, .. } if other == name);
                let place = servers[..index].iter().filter(|it| same(&it.id)).count();
                format!("[{name}]:{place}")
            }
        }
    }

    /// Keepalived's name of a real server: `[10.0.0.1]:tcp:80`.
    pub(super) fn rs_name(&self, index: usize, server: usize) -> String {
        let protocol = self.plan.virtual_servers[index].protocol();
        trio(self.services[index].servers[server].endpoint, protocol)
    }

    /// A server came up or went down: tells it.
    pub(super) fn tell_server(&mut self, index: usize, server: usize, reason: &str, cause: Cause) {
        let up = self.services[index].servers[server].alive;
        let told = self.server_told(index, server, up, reason, cause);
        self.outcomes.extend(told);
    }

    /// A server is up from the start, without having come up (`rs_init_notifies`): its script and
    /// the pipes are told, nobody else.
    pub(super) fn tell_initial(&mut self, index: usize, server: usize) {
        let (vs, rs) = (self.vs_name(index), self.rs_name(index, server));
        let script = self.real_server(index, server).notify_up.clone();
        self.outcomes.extend(run(script, format!("{rs} of VS {vs}")));
        self.outcomes.push_back(Outcome::Line(format!("RS {rs} {vs} {}", state(true))));
    }

    /// The first check of a server found it down that began so: scripts, pipes and events tell it,
    /// no mail does, as Keepalived has it.
    pub(super) fn tell_down(&mut self, index: usize, server: usize, reason: &str) {
        let mut told = self.server_told(index, server, false, reason, Cause::Change);
        // It never took part: nothing is removed.
        told.retain(|outcome| !matches!(outcome, Outcome::Event(Event::Log { .. })));
        for outcome in &mut told {
            if let Outcome::Event(Event::Health { alert, .. }) = outcome {
                *alert = false;
            }
        }
        self.outcomes.extend(told);
    }

    /// A checker has another verdict, and its server is what it was.
    pub(super) fn tell_check(&mut self, index: usize, server: usize, check: usize, reason: &str) {
        let real_server = self.real_server(index, server);
        let state = &self.services[index].servers[server];
        let event = Event::Check {
            service: self.plan.virtual_servers[index].id.to_string(),
            server: real_server.endpoint.to_string(),
            up: state.alive,
            check,
            passed: state.checkers[check].up,
            reason: reason.to_string(),
            alert: real_server.smtp_alert && is_mailed(real_server, Cause::Check(check)),
        };
        self.outcomes.push_back(Outcome::Event(event));
    }

    /// What is told of a server that came up or went down.
    pub(super) fn server_told(
        &self,
        index: usize,
        server: usize,
        up: bool,
        reason: &str,
        cause: Cause,
    ) -> Vec<Outcome> {
        let (vs, rs) = (self.vs_name(index), self.rs_name(index, server));
        let service = self.plan.virtual_servers[index].id.to_string();
        let real_server = self.real_server(index, server);
        let (verb, link) = match (up, real_server.inhibit_on_failure) {
            (true, true) => ("Enabling", "of"),
            (true, false) => ("Adding", "to"),
            (false, true) => ("Disabling", "of"),
            (false, false) => ("Removing", "from"),
        };
        let script = if up { &real_server.notify_up } else { &real_server.notify_down }.clone();
        let event = Event::Health {
            service,
            server: real_server.endpoint.to_string(),
            up,
            reason: reason.to_string(),
            cause,
            alert: real_server.smtp_alert && is_mailed(real_server, cause),
        };
        let mut told =
            vec![logged(format!("{verb} service {rs} {link} VS {vs}")), Outcome::Event(event)];
        told.extend(run(script, format!("{rs} of VS {vs}")));
        told.push(Outcome::Line(format!("RS {rs} {vs} {}", state(up))));
        told
    }

    /// A server lives on, or not, with another weight.
    pub(super) fn tell_weight(&mut self, index: usize, server: usize, former: u32) {
        let state = &self.services[index].servers[server];
        if state.weight == former {
            return;
        }
        let (now, not) = (state.weight, if state.alive { "" } else { "in" });
        let (vs, rs) = (self.vs_name(index), self.rs_name(index, server));
        self.log(format!(
            "Changing weight from {former} to {now} for {not}active service {rs} of VS {vs}"
        ));
    }

    /// A virtual server gained or lost its quorum, or the program ends: tells it.
    pub(super) fn tell_quorum(&mut self, index: usize, moment: Moment) {
        let told = self.quorum_told(index, self.services[index].held, moment);
        self.outcomes.extend(told);
    }

    /// What is told of a virtual server that gained or lost its quorum.
    pub(super) fn quorum_told(&self, index: usize, gained: bool, moment: Moment) -> Vec<Outcome> {
        let vs = self.vs_name(index);
        let plan = &self.plan.virtual_servers[index];
        let living = match moment {
            Moment::Start | Moment::Change | Moment::Reload => self.services[index].living,
            // All of its servers went before it.
            Moment::Removal | Moment::End => 0,
        };
        let (needed, hysteresis) = (plan.quorum.weight, plan.quorum.hysteresis);
        let event = Event::Quorum {
            service: plan.id.to_string(),
            gained,
            living: u32::try_from(living).unwrap_or(u32::MAX),
            needed,
            hysteresis,
            moment,
            alert: plan.smtp_alert,
        };
        let (up, down) = (needed.saturating_add(hysteresis), needed.saturating_sub(hysteresis));
        let text = match (moment, gained) {
            (Moment::End, _) => format!("Shutting down VS {vs}"),
            (Moment::Start | Moment::Change | Moment::Reload | Moment::Removal, true) => {
                format!("Gained quorum {needed}+{hysteresis}={up} <= {living} for VS {vs}")
            }
            (Moment::Reload, false) => format!(
                "Starting with quorum down {needed}-{hysteresis}={down} > {living} for VS {vs}"
            ),
            (Moment::Start | Moment::Change | Moment::Removal, false) => {
                format!("Lost quorum {needed}-{hysteresis}={down} > {living} for VS {vs}")
            }
        };
        let mut told = vec![logged(text)];
        if matches!(moment, Moment::Change | Moment::Reload) {
            told.extend(self.sorry_told(index, !gained));
        }
        told.push(Outcome::Event(event));
        let script = if gained { plan.quorum.up.clone() } else { plan.quorum.down.clone() };
        told.extend(run(script, format!("VS {vs}")));
        told.push(Outcome::Line(format!("VS {vs} {}", state(gained))));
        told
    }

    /// The sorry server, if there is one, took the place of the real servers or gave it back.
    fn sorry_told(&self, index: usize, serves: bool) -> Vec<Outcome> {
        let vs = self.vs_name(index);
        let plan = &self.plan.virtual_servers[index];
        let Some(sorry) = &plan.quorum.sorry else {
            return Vec::new();
        };
        let (service, server) = (plan.id.to_string(), sorry.endpoint.to_string());
        let rs = trio(sorry.endpoint, plan.protocol());
        let (verb, link) = match (serves, sorry.inhibit) {
            (true, true) => ("Enabling", "to"),
            (true, false) => ("Adding", "to"),
            (false, true) => ("Disabling", "from"),
            (false, false) => ("Removing", "from"),
        };
        let pool = if serves { "Removing alive servers from" } else { "Adding alive servers to" };
        vec![
            logged(format!("{verb} sorry server {rs} {link} VS {vs}")),
            logged(format!("{pool} the pool for VS {vs}")),
            Outcome::Event(Event::Sorry { service, server, serves }),
        ]
    }
}

/// Keepalived's FILE_CHECK sends no mails.
fn is_mailed(real_server: &RealServer, cause: Cause) -> bool {
    let checker = match cause {
        Cause::Check(check) => real_server.checkers.get(check),
        Cause::Removal | Cause::End | Cause::Change => None,
    };
    !checker.is_some_and(|checker| matches!(checker.kind, CheckKind::File(_)))
}

fn logged(text: String) -> Outcome {
    Outcome::Event(Event::Log { severity: INFO, text })
}

/// Keepalived adds nothing to the words in the file.
fn run(script: Option<Command>, subject: String) -> Option<Outcome> {
    script.map(|command| Outcome::Run { command, arguments: Vec::new(), subject })
}

/// `[10.0.0.1]:tcp:80`, as Keepalived writes addresses of services.
pub(super) fn trio(endpoint: Endpoint, protocol: Option<Protocol>) -> String {
    let protocol = match protocol {
        Some(Protocol::Tcp) => "tcp",
        Some(Protocol::Udp) => "udp",
        Some(Protocol::Sctp) => "sctp",
        None => "none",
    };
    format!("[{}]:{protocol}:{}", endpoint.address, endpoint.port)
}

fn state(up: bool) -> &'static str {
    if up { "UP" } else { "DOWN" }
}
