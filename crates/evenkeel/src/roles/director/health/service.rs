//! One virtual server: who lives, what each weighs, what its tables show.

use std::collections::{BTreeMap, VecDeque};

use director::{Destination, TableChange};
use model::Time;
use model::layer4::{Endpoint, Quorum, RealServer, ServiceKey, VirtualServer};

use super::CheckerId;
use super::changes::Change;

/// Changes of a server that are remembered.
const HISTORY: usize = 8;
/// Greatest weight, IPVS's.
const WEIGHT_MAX: i64 = 65_535;
/// Weight of a sorry server that serves.
const SORRY_WEIGHT: u32 = 1;

/// One virtual server.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Service {
    /// The file's, in its order, then those added at run time.
    pub(in super::super) servers: Vec<Server>,
    /// What those added at run time are.
    pub(super) added: Vec<RealServer>,
    /// Changes made at run time, those of servers too that are not there at the moment.
    pub(super) changes: BTreeMap<Endpoint, Change>,
    /// The quorum is there.
    pub(super) held: bool,
    /// Weight of all who live.
    pub(super) living: u64,
    /// Checks pause.
    pub(in super::super) suspended: bool,
    /// What the tables show of a sorry server that is none of the servers.
    pub(super) sorry_shown: Option<Destination>,
}

/// One real server of a virtual server.
#[derive(Clone, Debug)]
pub(in super::super) struct Server {
    pub(in super::super) endpoint: Endpoint,
    /// One for each of the plan's, in its order.
    pub(in super::super) checkers: Vec<Tracked>,
    /// It is there, and its checkers agree that it is up.
    pub(in super::super) alive: bool,
    /// Its weight, as long as it lives and the quorum is there.
    pub(in super::super) weight: u32,
    /// It is there since the start and began down (`alpha`), which nobody has been told.
    pub(super) untold: bool,
    /// What the tables show.
    pub(super) shown: Option<Destination>,
    /// Times it changed between up and down.
    pub(in super::super) flaps: u64,
    /// The last changes, the latest first.
    pub(in super::super) history: VecDeque<Flap>,
}

/// A server changed between up and down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Flap {
    pub(in super::super) at: Time,
    pub(in super::super) up: bool,
    pub(in super::super) reason: String,
}

/// A checker: its verdict, and what it adds to the weight.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Tracked {
    pub(in super::super) id: CheckerId,
    pub(in super::super) up: bool,
    pub(in super::super) weight: i32,
}

/// What the tables show of one destination, and what they should.
pub(super) struct Move {
    from: Option<Destination>,
    to: Option<Destination>,
}

impl Move {
    /// The change that makes it so. One of the two is there.
    pub(super) fn change(&self, key: ServiceKey) -> TableChange {
        match (self.from, self.to) {
            (None, Some(to)) => TableChange::AddDestination(key, to),
            (Some(_), Some(to)) => TableChange::UpdateDestination(key, to),
            (Some(from), None) => TableChange::RemoveDestination(key, from.endpoint),
            (None, None) => unreachable!("Move::between compares what differs"),
        }
    }

    fn between(from: Option<Destination>, to: Option<Destination>) -> Option<Move> {
        (from != to).then_some(Move { from, to })
    }

    /// Who begins to take connections comes first, who stops comes last.
    fn rank(&self) -> u8 {
        let takes = |shown: Option<Destination>| shown.is_some_and(|it| it.weight > 0);
        match (takes(self.from), takes(self.to)) {
            (false, true) => 0,
            (true, true) => 1,
            (true, false) | (false, false) => 2,
        }
    }
}

impl Server {
    pub(super) fn new(endpoint: Endpoint) -> Server {
        Server {
            endpoint,
            checkers: Vec::new(),
            alive: false,
            weight: 0,
            untold: false,
            shown: None,
            flaps: 0,
            history: VecDeque::new(),
        }
    }

    /// All of its checkers say that it is up.
    pub(in super::super) fn is_up(&self) -> bool {
        self.checkers.iter().all(|tracked| tracked.up)
    }

    /// The same in everything but its checkers.
    pub(super) fn without_checkers(&self) -> Server {
        Server {
            endpoint: self.endpoint,
            checkers: Vec::new(),
            alive: self.alive,
            weight: self.weight,
            untold: self.untold,
            shown: self.shown,
            flaps: self.flaps,
            history: self.history.clone(),
        }
    }

    /// What it counts for in the quorum.
    pub(super) fn share(&self) -> u64 {
        if self.alive { u64::from(self.weight) } else { 0 }
    }

    pub(super) fn remember(&mut self, at: Time, up: bool, reason: &str) {
        self.flaps += 1;
        self.history.truncate(HISTORY - 1);
        self.history.push_front(Flap { at, up, reason: reason.to_string() });
    }
}

impl Service {
    /// A server of the file or an added one.
    pub(in super::super) fn real_server<'a>(
        &'a self,
        plan: &'a VirtualServer,
        server: usize,
    ) -> &'a RealServer {
        match plan.real_servers.get(server) {
            Some(real_server) => real_server,
            None => &self.added[server - plan.real_servers.len()],
        }
    }

    pub(super) fn checkers(&self) -> impl Iterator<Item = &Tracked> {
        self.servers.iter().flat_map(|server| &server.checkers)
    }

    /// What was changed of a server at run time.
    pub(super) fn change(&self, endpoint: Endpoint) -> Option<&Change> {
        // Nearly always empty: a reload asks for every server.
        if self.changes.is_empty() { None } else { self.changes.get(&endpoint) }
    }

    /// Brings what is known of one server up to date; returns whether it lived before, and its
    /// weight then.
    pub(super) fn update(&mut self, plan: &VirtualServer, server: usize) -> (bool, u32) {
        let weight = self.weight_of(plan, server);
        let deleted = self.change(self.servers[server].endpoint).is_some_and(Change::is_deleted);
        let state = &mut self.servers[server];
        let (before, share) = ((state.alive, state.weight), state.share());
        state.alive = !deleted && state.is_up();
        state.weight = weight;
        self.living = self.living - share + state.share();
        before
    }

    /// The file's weight, or the one set at run time, and what the checkers add; none while it
    /// drains.
    fn weight_of(&self, plan: &VirtualServer, server: usize) -> u32 {
        let state = &self.servers[server];
        let change = self.change(state.endpoint);
        if change.is_some_and(Change::drains) {
            return 0;
        }
        let configured = self.real_server(plan, server).weight;
        let base = change.and_then(|change| change.weight).unwrap_or(configured);
        let added: i64 = state.checkers.iter().map(|tracked| i64::from(tracked.weight)).sum();
        (i64::from(base) + added).clamp(0, WEIGHT_MAX) as u32
    }

    /// Whether the quorum is there now, coming from where it was.
    pub(super) fn holds(&self, quorum: &Quorum) -> bool {
        let (needed, hysteresis) = (u64::from(quorum.weight), u64::from(quorum.hysteresis));
        match self.held {
            true => self.living > 0 && self.living + hysteresis >= needed,
            false => self.living >= needed + hysteresis,
        }
    }

    /// What the tables should show of a server.
    pub(super) fn target(&self, plan: &VirtualServer, server: usize) -> Option<Destination> {
        let endpoint = self.servers[server].endpoint;
        let sorry = plan.quorum.sorry.as_ref().filter(|sorry| sorry.endpoint == endpoint);
        let own = self.own_target(plan, server);
        match sorry {
            None => own,
            // A sorry server that is a real server as well has one place in the tables.
            Some(_) if !self.held => sorry_destination(plan, self.held),
            Some(_) => own.or_else(|| sorry_destination(plan, self.held)),
        }
    }

    fn own_target(&self, plan: &VirtualServer, server: usize) -> Option<Destination> {
        let state = &self.servers[server];
        let change = self.change(state.endpoint);
        if change.is_some_and(Change::is_out) {
            return None;
        }
        let real_server = self.real_server(plan, server);
        let shown = |weight| Destination {
            upper_threshold: real_server.upper_threshold,
            lower_threshold: real_server.lower_threshold,
            ..Destination::new(state.endpoint, weight, real_server.forwarding)
        };
        let displaced = !self.held && plan.quorum.sorry.is_some();
        let drains = change.is_some_and(Change::drains);
        match (state.alive, displaced) {
            (true, false) => Some(shown(state.weight)),
            // Those it has may stay, whoever serves the others.
            (true, true) if drains => Some(shown(0)),
            (true, true) | (false, _) if real_server.inhibit_on_failure => Some(shown(0)),
            (true, true) | (false, _) => None,
        }
    }

    /// What the tables should show of a sorry server that is none of the servers.
    pub(super) fn sorry_target(&self, plan: &VirtualServer) -> Option<Destination> {
        let sorry = plan.quorum.sorry.as_ref()?;
        match self.find(sorry.endpoint) {
            Some(_) => None,
            None => sorry_destination(plan, self.held),
        }
    }

    /// What changes in the tables now, of these servers and the sorry server; it counts as shown.
    pub(super) fn moves(&mut self, plan: &VirtualServer, touched: &[usize]) -> Vec<Move> {
        let mut moves = Vec::new();
        for &server in touched {
            let to = self.target(plan, server);
            let from = std::mem::replace(&mut self.servers[server].shown, to);
            moves.extend(Move::between(from, to));
        }
        if plan.quorum.sorry.is_some() || self.sorry_shown.is_some() {
            let to = self.sorry_target(plan);
            let from = std::mem::replace(&mut self.sorry_shown, to);
            moves.extend(Move::between(from, to));
        }
        moves.sort_by_key(Move::rank);
        moves
    }
}

/// The sorry server in the tables: with weight while the quorum is lost.
fn sorry_destination(plan: &VirtualServer, held: bool) -> Option<Destination> {
    let sorry = plan.quorum.sorry.as_ref()?;
    let shown = |weight| Destination::new(sorry.endpoint, weight, sorry.forwarding);
    match (held, sorry.inhibit) {
        (false, _) => Some(shown(SORRY_WEIGHT)),
        (true, true) => Some(shown(0)),
        (true, false) => None,
    }
}
