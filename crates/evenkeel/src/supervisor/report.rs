//! Questions that need the roles' answers: collected, bounded in time, then answered whole.

use std::time::Duration;

use model::Plan;
use model::Time;
use model::control::{RoleReport, Scope, ServerRequest, ToRole};
use model::layer4::{ServiceKey, VirtualServerId};
use model::status::{ConnectionStatus, DirectorReport, HelperReport, ProxyReport, VrrpReport};

use crate::cli::Role;
use crate::control::{NOT_NEEDED, Request, Response, RoleStatus, Status};
use crate::personality::keepalived::Function;

use super::Supervisor;
use super::child::Phase;
use super::clients::ClientId;
use super::manual::NO_SERVICE;
use super::names;
use super::servers::{Key, scopes};
use super::tables::Wish;

/// How long a role may take to answer before the rest is shown without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Roles asked for the status: what the helper knows of trackers the vrrp role shows.
const REPORTING: [Role; 3] = [Role::Vrrp, Role::Director, Role::Proxy];

/// One client's question and the answers so far.
pub(super) struct Collecting {
    asker: Asker,
    pub(super) until: Time,
    missing: usize,
    wants: Wants,
}

/// Who gets the answer.
#[derive(Clone, Copy)]
enum Asker {
    /// Somebody at the control socket.
    Client(ClientId),
    /// A file, by a signal.
    Signal(Function),
}

enum Wants {
    Status {
        vrrp: Option<Box<VrrpReport>>,
        director: Option<DirectorReport>,
        proxy: Option<ProxyReport>,
    },
    Connections(Vec<ConnectionStatus>),
    /// A change of a real server is made.
    Server,
    /// Counters begin anew.
    Zero,
    /// One virtual server.
    VirtualServer {
        id: VirtualServerId,
        report: Option<DirectorReport>,
    },
    /// These changes, and what the director says of their servers.
    Servers {
        changed: Vec<Key>,
        /// And what ipvsadm changed.
        all: bool,
        report: Option<DirectorReport>,
    },
    Dump {
        vrrp: Option<Box<VrrpReport>>,
        helper: Option<HelperReport>,
    },
}

impl Supervisor {
    /// Answers a request, now or when the roles have spoken.
    pub(super) fn answer(&mut self, client: ClientId, request: &Request) {
        match request {
            Request::Reload => self.reload(vec![client]),
            Request::Plan => {
                // What was changed by hand is in no file: a reload leaves it alone.
                let plan = Plan { layer4: self.file.clone(), ..self.plan.clone() };
                self.clients.answer(client, &Response::Plan(Box::new(plan)));
            }
            Request::Tables(orders) => self.wish(client, Wish::Orders(orders.clone())),
            Request::Reset { virtual_server, server } => {
                let (virtual_server, server) = (virtual_server.clone(), server.clone());
                self.wish(client, Wish::Reset { virtual_server, server });
            }
            Request::Timeouts => {
                self.clients.answer(client, &Response::Timeouts(self.plan.layer4.timeouts));
            }
            Request::Zero(only) => self.zero(client, *only),
            Request::Status => {
                let wants = Wants::Status { vrrp: None, director: None, proxy: None };
                self.ask_roles(Asker::Client(client), &REPORTING, wants, |id| ToRole::Report {
                    id,
                });
            }
            Request::Connections => {
                let wants = Wants::Connections(Vec::new());
                let asker = Asker::Client(client);
                self.ask_roles(asker, &[Role::Director], wants, |id| ToRole::Connections { id });
            }
            Request::Events { follow } => {
                self.journal.show(&mut self.clients, client, *follow);
            }
            Request::Server(order) => self.order_server(client, order),
            Request::VirtualServer(name) => match names::virtual_server(&self.plan, name) {
                Ok(id) => {
                    let scope = Scope { virtual_server: id.clone(), servers: None };
                    let wants = Wants::VirtualServer { id, report: None };
                    self.ask_for_services(client, wants, vec![scope]);
                }
                Err(error) => self.clients.answer(client, &Response::Failed(error)),
            },
            Request::Servers { only } => {
                let changed = self.changed(only.as_ref());
                let scopes = scopes(&changed);
                let wants = Wants::Servers { changed, all: only.is_none(), report: None };
                self.ask_for_services(client, wants, scopes);
            }
        }
    }

    /// Asks the director for some of its virtual servers.
    fn ask_for_services(&mut self, client: ClientId, wants: Wants, scopes: Vec<Scope>) {
        let question = |id| ToRole::Services { id, scopes: scopes.clone() };
        self.ask_roles(Asker::Client(client), &[Role::Director], wants, question);
    }

    /// Counters begin anew: of this service, or of all.
    fn zero(&mut self, client: ClientId, only: Option<ServiceKey>) {
        let services = self.plan.layer4.virtual_servers.iter().flat_map(|one| &one.services);
        let known = only.is_none_or(|key| services.into_iter().any(|one| *one == key));
        let nothing = self.plan.layer4.virtual_servers.is_empty();
        if !known || nothing {
            let outcome = if known { Ok(None) } else { Err(NO_SERVICE.to_owned()) };
            return self.clients.answer(client, &Response::Tables(vec![outcome]));
        }
        let (asker, roles) = (Asker::Client(client), [Role::Director]);
        self.ask_roles(asker, &roles, Wants::Zero, |id| ToRole::Zero { id, only });
    }

    /// The director did that, or not.
    pub(super) fn zeroed(&mut self, id: u64, error: Option<String>) {
        let outcome = error.map_or(Ok(None), Err);
        self.finish_server_question(id, &Response::Tables(vec![outcome]));
    }

    /// Asks the director for a change. Nothing when it does not run.
    pub(super) fn begin_server_question(
        &mut self,
        client: ClientId,
        request: &ServerRequest,
    ) -> Option<u64> {
        self.slot(Role::Director).running()?;
        let request = request.clone();
        let (asker, roles) = (Asker::Client(client), [Role::Director]);
        let question = |id| ToRole::Server { id, request: request.clone() };
        self.ask_roles(asker, &roles, Wants::Server, question);
        Some(self.last_question)
    }

    /// The director answered it.
    pub(super) fn finish_server_question(&mut self, id: u64, response: &Response) {
        if let Some(Collecting { asker: Asker::Client(client), .. }) = self.collecting.remove(&id) {
            self.clients.answer(client, response);
        }
    }

    /// Writes one of Keepalived's files when those who know have spoken.
    pub(super) fn ask_for_dump(&mut self, function: Function) {
        let wants = Wants::Dump { vrrp: None, helper: None };
        let roles = [Role::Vrrp, Role::Helper];
        self.ask_roles(Asker::Signal(function), &roles, wants, |id| ToRole::Report { id });
    }

    fn ask_roles(
        &mut self,
        asker: Asker,
        roles: &[Role],
        wants: Wants,
        question: impl Fn(u64) -> ToRole,
    ) {
        self.last_question += 1;
        let id = self.last_question;
        let mut missing = 0;
        for &role in roles {
            if let Some(running) = self.slot(role).running() {
                missing += usize::from(running.say(&question(id)).is_ok());
            }
        }
        let until = edge::clock::now() + PATIENCE;
        self.collecting.insert(id, Collecting { asker, until, missing, wants });
        if missing == 0 {
            self.finish_question(id);
        }
    }

    pub(super) fn collect_report(&mut self, id: u64, report: RoleReport) {
        let Some(collecting) = self.collecting.get_mut(&id) else { return };
        match (&mut collecting.wants, report) {
            (Wants::Status { vrrp, .. } | Wants::Dump { vrrp, .. }, RoleReport::Vrrp(report)) => {
                *vrrp = Some(Box::new(report));
            }
            (Wants::Status { director, .. }, RoleReport::Director(report)) => {
                *director = Some(report);
            }
            (
                Wants::VirtualServer { report: wanted, .. } | Wants::Servers { report: wanted, .. },
                RoleReport::Director(report),
            ) => *wanted = Some(report),
            (Wants::Status { proxy, .. }, RoleReport::Proxy(report)) => *proxy = Some(report),
            (Wants::Dump { helper, .. }, RoleReport::Helper(report)) => *helper = Some(report),
            (
                Wants::Connections(_)
                | Wants::Server
                | Wants::Zero
                | Wants::VirtualServer { .. }
                | Wants::Servers { .. }
                | Wants::Status { .. }
                | Wants::Dump { .. },
                _,
            ) => return,
        }
        collecting.missing -= 1;
        if collecting.missing == 0 {
            self.finish_question(id);
        }
    }

    pub(super) fn collect_connections(
        &mut self,
        id: u64,
        connections: Vec<ConnectionStatus>,
        last: bool,
    ) {
        let Some(collecting) = self.collecting.get_mut(&id) else { return };
        if let Wants::Connections(all) = &mut collecting.wants {
            all.extend(connections);
            if last {
                self.finish_question(id);
            }
        }
    }

    /// Roles that did not answer in time are left out.
    pub(super) fn finish_late_questions(&mut self, now: Time) {
        let late: Vec<u64> =
            self.collecting.iter().filter(|(_, one)| one.until <= now).map(|(&id, _)| id).collect();
        for id in late {
            self.finish_question(id);
        }
    }

    fn finish_question(&mut self, id: u64) {
        let Some(collecting) = self.collecting.remove(&id) else { return };
        let client = match collecting.asker {
            Asker::Client(client) => client,
            Asker::Signal(function) => {
                if let Wants::Dump { vrrp, helper } = collecting.wants {
                    self.write_dump(function, vrrp.as_deref(), helper.as_ref());
                }
                return;
            }
        };
        let response = match collecting.wants {
            Wants::Connections(connections) => Response::Connections(connections),
            Wants::Status { vrrp, director, proxy } => {
                Response::Status(Box::new(self.status(vrrp, director, proxy)))
            }
            Wants::VirtualServer { report: Some(mut report), .. }
                if !report.services.is_empty() =>
            {
                self.note_by_hand(&mut report);
                Response::VirtualServer(Box::new(report))
            }
            Wants::VirtualServer { id, report: Some(_) } => {
                Response::Failed(format!("the director role does not have {id} yet"))
            }
            Wants::Server | Wants::Zero | Wants::VirtualServer { report: None, .. } => {
                Response::Failed("the director role does not answer".into())
            }
            Wants::Servers { changed, all, report } => {
                let now = edge::clock::now();
                let mut listing = self.changes.listing(now, &changed, report.as_ref());
                if all {
                    listing.extend(self.manual_listing());
                }
                Response::Servers(listing)
            }
            Wants::Dump { .. } => return,
        };
        self.clients.answer(client, &response);
    }

    fn status(
        &mut self,
        vrrp: Option<Box<VrrpReport>>,
        mut director: Option<DirectorReport>,
        proxy: Option<ProxyReport>,
    ) -> Status {
        if let Some(report) = &mut director {
            self.note_by_hand(report);
        }
        let now = edge::clock::now();
        let answered = |role| match role {
            // It is not asked.
            Role::Helper => true,
            Role::Vrrp => vrrp.is_some(),
            Role::Director => director.is_some(),
            Role::Proxy => proxy.is_some(),
        };
        let roles = self
            .slots
            .iter()
            .map(|slot| RoleStatus {
                role: slot.role.name().to_owned(),
                pid: match &slot.phase {
                    Phase::Running(running) => Some(running.pid()),
                    Phase::Idle | Phase::Waiting(_) => None,
                },
                state: match &slot.phase {
                    Phase::Idle => NOT_NEEDED.to_owned(),
                    Phase::Running(_) if answered(slot.role) => "running".to_owned(),
                    Phase::Running(_) => "running, but does not answer".to_owned(),
                    Phase::Waiting(until) => {
                        format!("restarting in {} s", until.since(now).as_secs_f32().ceil())
                    }
                },
                restarts: slot.restarts,
            })
            .collect();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: now.since(self.started).as_secs(),
            host: crate::machine::host_name(),
            files: self.options.files.names(),
            generation: self.generation,
            last_reload: self.last_reload.clone(),
            roles,
            vrrp: vrrp.map(|report| *report),
            director,
            proxy,
            alerts: self.alerts.status(),
            manual: self.manual_changes(),
        }
    }
}
