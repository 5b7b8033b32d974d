//! ipvsadm's changes of the layer-4 tables: each batch becomes a Plan of its own, which the director
//! takes as it takes a reload's.

use std::collections::BTreeMap;

use model::control::{ServerAction, ServerRequest, ToRole};
use model::layer4::{Endpoint, ServiceKey, VirtualServerId};
use model::status::DirectorReport;
use model::{Plan, Time};

use crate::cli::Role;
use crate::control::{Deed, Happening, ManualChange, Response, ServerChange};
use crate::manual::{ORDERS_MAX, Order, Outcome};

use super::Supervisor;
use super::clients::ClientId;
use super::configure::Next;
use super::manual::{Index, Manual, NO_SERVER, SERVER_EXISTS};
use super::names;
use super::servers::{Key, Presence};

/// Clients whose changes wait for a reload that is under way.
const WAITING_MAX: usize = 64;

/// What a client wants to be changed.
pub(super) enum Wish {
    Orders(Vec<Order>),
    Reset { virtual_server: Option<String>, server: Option<String> },
}

/// Whom to tell when a Plan made by hand is in force, and what.
pub(super) struct ByHand {
    client: ClientId,
    answer: Response,
    words: Vec<String>,
}

/// What becomes of a change of `evenkeel server` when ipvsadm speaks of the same server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forget {
    /// Taken back.
    Ready,
    /// What was added goes; ipvsadm adds it anew, or not.
    Delete,
}

impl Supervisor {
    /// Somebody wants the tables changed: now, or when a reload that is under way is over.
    pub(super) fn wish(&mut self, client: ClientId, wish: Wish) {
        if self.stop_by.is_some() {
            return self.clients.answer(client, &Response::Failed("Evenkeel is stopping".into()));
        }
        if self.is_busy() {
            if self.wishes.len() < WAITING_MAX {
                return self.wishes.push_back((client, wish));
            }
            let text = "too many changes wait for a reload: try in a moment";
            return self.clients.answer(client, &Response::Failed(text.into()));
        }
        match wish {
            Wish::Orders(orders) if orders.len() > ORDERS_MAX => {
                let text = format!("more than {ORDERS_MAX} changes at once");
                self.clients.answer(client, &Response::Failed(text));
            }
            Wish::Orders(orders) => self.change_tables(client, &orders),
            Wish::Reset { virtual_server, server } => {
                if let Err(text) = self.reset(client, virtual_server.as_deref(), server.as_deref())
                {
                    self.clients.answer(client, &Response::Failed(text));
                }
            }
        }
    }

    /// Does what waited, as far as nothing is under way.
    pub(super) fn fulfil_wishes(&mut self) {
        while !self.is_busy()
            && let Some((client, wish)) = self.wishes.pop_front()
        {
            self.wish(client, wish);
        }
    }

    fn change_tables(&mut self, client: ClientId, orders: &[Order]) {
        let now = edge::clock::now();
        let mut manual = self.manual.clone();
        let (mut outcomes, mut forgotten, mut words) = (Vec::new(), Vec::new(), Vec::new());
        {
            let index = Index::new(&self.file);
            for order in orders {
                let outcome = self.take_order(now, &mut manual, &index, order, &mut forgotten);
                if outcome.is_ok() {
                    words.push(in_words(order));
                }
                outcomes.push(outcome);
            }
        }
        let answer = Response::Tables(outcomes);
        if manual == self.manual && forgotten.is_empty() {
            return self.clients.answer(client, &answer);
        }
        for (key, how) in forgotten {
            self.forget_change(key, how);
        }
        self.put_by_hand(manual, ByHand { client, answer, words });
    }

    /// Takes in one order. A server that `evenkeel server` changed is from then on what ipvsadm says:
    /// that is the later word.
    fn take_order(
        &self,
        now: Time,
        manual: &mut Manual,
        index: &Index<'_>,
        order: &Order,
        forgotten: &mut Vec<(Key, Forget)>,
    ) -> Outcome {
        let (key, endpoint) = match order {
            Order::AddServer(key, server) | Order::EditServer(key, server) => {
                (key, Endpoint { address: server.address, port: server.port })
            }
            Order::DeleteServer(key, address, port) => {
                (key, Endpoint { address: *address, port: *port })
            }
            Order::AddService(..)
            | Order::EditService(..)
            | Order::DeleteService(_)
            | Order::Clear
            | Order::Timeouts { .. } => return manual.apply(now, index, order),
        };
        let id = index.find(key).map_or(VirtualServerId::Service(*key), |server| server.id.clone());
        let change = (id, endpoint);
        let known = forgotten.iter().all(|(known, _)| *known != change);
        let presence = self.changes.presence(&change).filter(|_| known);
        let mut forget = |outcome: Outcome, how| {
            if outcome.is_ok() {
                forgotten.push((change.clone(), how));
            }
            outcome
        };
        match (order, presence) {
            (_, None) => manual.apply(now, index, order),
            (Order::AddServer(key, server), Some(Presence::Deleted)) => {
                let edit = Order::EditServer(*key, *server);
                forget(manual.apply(now, index, &edit), Forget::Ready)
            }
            (Order::AddServer(..), Some(Presence::AsFile | Presence::Added { .. })) => {
                Err(SERVER_EXISTS.into())
            }
            (_, Some(Presence::Deleted)) => Err(NO_SERVER.into()),
            (Order::EditServer(key, server), Some(Presence::Added { .. })) => {
                let add = Order::AddServer(*key, *server);
                forget(manual.apply(now, index, &add), Forget::Delete)
            }
            (_, Some(Presence::Added { .. })) => forget(Ok(None), Forget::Delete),
            (_, Some(Presence::AsFile)) => forget(manual.apply(now, index, order), Forget::Ready),
        }
    }

    fn forget_change(&mut self, key: Key, how: Forget) {
        self.changes.forget(&key);
        let action = match how {
            Forget::Ready => ServerAction::Ready,
            Forget::Delete => ServerAction::Delete,
        };
        let (virtual_server, server) = key;
        let request = ServerRequest { virtual_server, server, action };
        if let Some(director) = self.slot(Role::Director).running() {
            // Nobody waits for the answer; one that ends now is told nothing of it by the next.
            let _ = director.say(&ToRole::Server { id: 0, request });
        }
    }

    /// Puts the Plan in force that the files and these changes make.
    fn put_by_hand(&mut self, manual: Manual, by_hand: ByHand) {
        let mut plan = Plan { layer4: manual.over(&self.file), ..self.plan.clone() };
        plan.layer4.share(&self.plan.layer4);
        let next = Next { plan, file: self.file.clone(), manual, by_hand: Some(by_hand) };
        let width = self.listeners.width();
        self.put(next, Vec::new(), String::new(), Vec::new(), width);
    }

    /// It is in force.
    pub(super) fn done_by_hand(&mut self, by_hand: ByHand) {
        let ByHand { client, answer, words } = by_hand;
        if !words.is_empty() {
            let text = match &words[..] {
                [one] => format!("by hand: {one}"),
                [first, ..] => format!("by hand: {first} and {} changes more", words.len() - 1),
                [] => String::new(),
            };
            tracing::info!("{text}");
            self.note_deed(text, Happening::Deed(Deed::Tables { orders: words }));
        }
        self.clients.answer(client, &answer);
    }

    /// It could not be put in force.
    pub(super) fn failed_by_hand(&mut self, by_hand: ByHand, errors: &str) {
        tracing::error!("a change by hand is refused, the tables stay as they were: {errors}");
        let answer = match by_hand.answer {
            Response::Tables(outcomes) => {
                let refused = |outcome: Outcome| outcome.and_then(|_| Err(errors.to_owned()));
                Response::Tables(outcomes.into_iter().map(refused).collect())
            }
            _ => Response::Failed(errors.to_owned()),
        };
        self.clients.answer(by_hand.client, &answer);
    }

    /// Takes back what was changed at run time, by ipvsadm and by `evenkeel server`.
    fn reset(
        &mut self,
        client: ClientId,
        virtual_server: Option<&str>,
        server: Option<&str>,
    ) -> Result<(), String> {
        // What is deleted has a name in the files only.
        let id = virtual_server.map(|text| self.named(text)).transpose()?;
        let server = match (&id, server) {
            (Some(id), Some(text)) => Some(self.named_server(id, text)?),
            (None, _) | (_, None) => None,
        };
        let key = match &id {
            Some(VirtualServerId::Service(key)) => Some(*key),
            Some(id @ VirtualServerId::Group { .. }) => self.only_service(id),
            None => None,
        };
        let mut manual = self.manual.clone();
        let by_ipvsadm = match (&id, key) {
            // A group is nothing that ipvsadm knows.
            (Some(_), None) => false,
            (_, key) => manual.reset(key, server),
        };
        let changed = self.changes.keys(id.as_ref(), server);
        let what = match (&id, server) {
            (None, _) => "everything".to_owned(),
            (Some(id), None) => id.to_string(),
            (Some(id), Some(server)) => format!("{server} of {id}"),
        };
        if !by_ipvsadm && changed.is_empty() {
            return Err(format!("nothing is changed at run time of {what}"));
        }
        for (key, added) in changed {
            self.forget_change(key, if added { Forget::Delete } else { Forget::Ready });
        }
        let text = format!("{what} is as the files say");
        let answer = Response::Reset(text.clone());
        self.put_by_hand(manual, ByHand { client, answer, words: vec![text] });
        Ok(())
    }

    /// A virtual server of the tables, or one that was deleted.
    fn named(&self, text: &str) -> Result<VirtualServerId, String> {
        names::virtual_server(&self.plan, text).or_else(|error| {
            let file = Plan { layer4: self.file.clone(), ..Plan::default() };
            names::virtual_server(&file, text).map_err(|_| error)
        })
    }

    fn named_server(&self, id: &VirtualServerId, text: &str) -> Result<Endpoint, String> {
        let changed = self.changes.of(id);
        names::real_server(&self.plan, id, &changed, text).or_else(|error| {
            let file = Plan { layer4: self.file.clone(), ..Plan::default() };
            names::real_server(&file, id, &changed, text).map_err(|_| error)
        })
    }

    fn only_service(&self, id: &VirtualServerId) -> Option<ServiceKey> {
        let mut servers = self.file.virtual_servers.iter();
        match servers.find(|server| server.id == *id)?.services[..] {
            [key] => Some(key),
            [..] => None,
        }
    }

    /// Says in the director's report what ipvsadm changed.
    pub(super) fn note_by_hand(&self, report: &mut DirectorReport) {
        if self.manual.is_empty() {
            return;
        }
        let listed = self.manual.listing();
        let mut of_services: BTreeMap<ServiceKey, &str> = BTreeMap::new();
        let mut of_servers: BTreeMap<(ServiceKey, Endpoint), &str> = BTreeMap::new();
        for one in &listed {
            match one.server {
                None => drop(of_services.insert(one.service, one.words)),
                Some(server) => drop(of_servers.insert((one.service, server), one.words)),
            }
        }
        for service in &mut report.services {
            service.changed = of_services.get(&service.key).map(|words| (*words).to_owned());
            for server in &mut service.servers {
                let Some(words) = of_servers.get(&(service.key, server.endpoint)) else { continue };
                let words = format!("{words} by ipvsadm");
                let former = server.changed.take().map(|former| format!("{words}, {former}"));
                server.changed = Some(former.unwrap_or(words));
            }
        }
    }

    /// The same in the list of changes at run time.
    pub(super) fn manual_listing(&self) -> impl Iterator<Item = ServerChange> {
        self.manual_changes().into_iter().map(|one| ServerChange {
            virtual_server: one.virtual_server,
            server: one.server.unwrap_or_default(),
            change: format!("{} by ipvsadm", one.change),
            drains: false,
            since_seconds: one.since_seconds,
            remaining_ms: None,
            known: false,
            in_table: false,
            active: 0,
            inactive: 0,
        })
    }

    /// Everything that ipvsadm changed, for people.
    pub(super) fn manual_changes(&self) -> Vec<ManualChange> {
        let now = edge::clock::now();
        let listed = self.manual.listing().into_iter().map(|one| ManualChange {
            virtual_server: one.service.to_string(),
            server: one.server.map(|server| server.to_string()),
            change: one.words.to_owned(),
            since_seconds: now.since(one.since).as_secs(),
        });
        let timeouts = self.manual.timeouts().map(|change| ManualChange {
            virtual_server: String::new(),
            server: None,
            change: format!("time-outs {change}"),
            since_seconds: 0,
        });
        listed.chain(timeouts).collect()
    }
}

/// An order for the log: `TCP 192.0.2.1:80 added`.
fn in_words(order: &Order) -> String {
    match order {
        Order::AddService(key, _) => format!("{key} added"),
        Order::EditService(key, _) => format!("{key} has other settings"),
        Order::DeleteService(key) => format!("{key} deleted"),
        Order::AddServer(key, server) => {
            let endpoint = Endpoint { address: server.address, port: server.port };
            format!("{endpoint} of {key} added with weight {}", server.weight)
        }
        Order::EditServer(key, server) => {
            let endpoint = Endpoint { address: server.address, port: server.port };
            format!("{endpoint} of {key} has weight {}", server.weight)
        }
        Order::DeleteServer(key, address, port) => {
            format!("{} of {key} deleted", Endpoint { address: *address, port: *port })
        }
        Order::Clear => "what was added by hand is gone".to_owned(),
        Order::Timeouts { tcp, tcp_fin, udp } => {
            format!("time-outs set: tcp {tcp} tcpfin {tcp_fin} udp {udp} (0: as before)")
        }
    }
}
