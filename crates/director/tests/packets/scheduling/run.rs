//! Ten thousand connections of one service, its servers as the program has them, and a reference
//! that is asked first.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use director::xdp::LAYOUT;
use director::{Destination, Engine, TableChange};
use edge::bpf::Map;
use model::layer4::{Forwarding, Protocol, Scheduler, ServiceKey};
use sched::Candidate;

use crate::bed::{Bed, Outcome, VIRTUAL, endpoint, service, with_room};
use crate::frame::{ACK, Frame, RST, SYN, Side};

pub(super) const CONNECTIONS: u32 = 10_000;
/// Connections from one change of the servers to the next.
const CHANGE_EVERY: u32 = 40;
/// Connections that are open at a time; the oldest is reset when one more opens.
const OPEN: usize = 48;
const SERVERS: u8 = 9;

/// A server as the test knows it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) last: u8,
    pub(super) weight: u32,
    pub(super) last_weight: u32,
    upper: u32,
    overloaded: bool,
    load: (u32, u32),
    expected: f64,
    got: u32,
}

impl Server {
    pub(super) fn candidate(&self) -> Candidate {
        let (active, inactive) = self.load;
        let overloaded = self.upper > 0 && self.overloaded;
        Candidate { weight: self.weight, active, inactive, overloaded }
    }

    fn total(&self) -> u32 {
        self.load.0 + self.load.1
    }
}

/// What a reference sees before each connection.
pub(super) struct View<'v> {
    /// In the order of the schedulers, the newest first.
    pub(super) servers: &'v [Server],
    /// Those that left.
    pub(super) gone: &'v [Server],
    pub(super) candidates: &'v [Candidate],
    pub(super) from: Side,
    /// State of the service's random numbers.
    pub(super) state: u64,
    /// Connections before this one.
    pub(super) number: u32,
    pub(super) bed: &'v Bed,
}

/// What happened to the servers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// One was put before the others.
    Added,
    /// The one at this position went.
    Removed(usize),
    /// Weights or thresholds.
    Updated,
}

/// The reference of one scheduler.
pub(super) trait Reference {
    /// The position that a connection is to go to.
    fn choose(&mut self, view: &View<'_>) -> Option<usize>;

    /// The servers are these now.
    fn handle_change(&mut self, _change: Change, _candidates: &[Candidate]) {}
}

/// A scheduler without a state.
impl<F: FnMut(&View<'_>) -> Option<usize>> Reference for F {
    fn choose(&mut self, view: &View<'_>) -> Option<usize> {
        self(view)
    }
}

struct Run<'b> {
    bed: &'b mut Bed,
    key: ServiceKey,
    cursors: Map,
    servers: Vec<Server>,
    gone: Vec<Server>,
    open: VecDeque<Side>,
    random: u64,
    none: u32,
    changes: u32,
}

/// Holds the program against the reference, and prints the spread beside the weights.
pub(super) fn compare(scheduler: Scheduler, reference: &mut (dyn Reference + Send)) {
    with_room(2 * CONNECTIONS, |bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, scheduler, None);
        let cursors = Map::open(&bed.pins.join(LAYOUT).join("cursors")).unwrap();
        let mut run = Run {
            bed,
            key,
            cursors,
            servers: Vec::new(),
            gone: Vec::new(),
            open: VecDeque::new(),
            random: 88_172_645_463_325_252,
            none: 0,
            changes: 0,
        };
        for last in 1..=SERVERS {
            run.add(Server {
                last,
                weight: 0,
                last_weight: 0,
                upper: 0,
                overloaded: false,
                load: (0, 0),
                expected: 0.0,
                got: 0,
            });
            reference.handle_change(Change::Added, &run.candidates());
        }
        for number in 0..CONNECTIONS {
            if number % CHANGE_EVERY == CHANGE_EVERY - 1 {
                let change = run.change();
                run.changes += 1;
                reference.handle_change(change, &run.candidates());
            }
            run.connect(number, reference);
        }
        run.report(scheduler);
    });
}

impl Run<'_> {
    fn below(&mut self, bound: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (((self.random >> 32) * u64::from(bound)) >> 32) as u32
    }

    fn weight(&mut self) -> u32 {
        match self.below(8) {
            0 => 0,
            1 => 1 + self.below(300),
            2 | 3 => 2 * (1 + self.below(6)),
            _ => 1 + self.below(12),
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        self.servers.iter().map(Server::candidate).collect()
    }

    fn destination(&self, server: &Server) -> Destination {
        Destination {
            upper_threshold: server.upper,
            ..Destination::new(endpoint(server.last, 80), server.weight, Forwarding::DirectRouting)
        }
    }

    fn add(&mut self, server: Server) {
        let weight = self.weight();
        let server = Server { weight, last_weight: weight, ..server };
        self.bed.add(self.key, server.last, weight, Forwarding::DirectRouting);
        if server.upper > 0 {
            let change = TableChange::UpdateDestination(self.key, self.destination(&server));
            self.bed.engine.apply(&[change]).unwrap();
        }
        self.servers.insert(0, server);
        self.look();
    }

    fn change(&mut self) -> Change {
        self.look();
        let at = self.below(self.servers.len() as u32) as usize;
        match self.below(10) {
            0 | 1 if self.servers.len() > 3 => {
                let server = self.servers.remove(at);
                self.bed.remove(self.key, endpoint(server.last, 80));
                // Added again without a threshold, it is not full.
                self.gone.push(Server { upper: 0, ..server });
                return Change::Removed(at);
            }
            2 | 3 if !self.gone.is_empty() => {
                let back = self.below(self.gone.len() as u32) as usize;
                let server = self.gone.remove(back);
                self.add(server);
                return Change::Added;
            }
            4 | 5 => {
                let upper = self.servers[at].total() + 1 + self.below(30);
                self.limit(at, upper);
            }
            6 | 7 => {
                let limited = self.servers.iter().position(|server| server.upper > 0);
                self.limit(limited.unwrap_or(at), 0);
            }
            _ => {
                let weight = self.weight();
                let server = &mut self.servers[at];
                server.weight = weight;
                server.last_weight = if weight > 0 { weight } else { server.last_weight };
            }
        }
        let at = self.servers.iter().map(|server| self.destination(server));
        let changes: Vec<_> =
            at.map(|destination| TableChange::UpdateDestination(self.key, destination)).collect();
        self.bed.engine.apply(&changes).unwrap();
        Change::Updated
    }

    fn limit(&mut self, at: usize, upper: u32) {
        let server = &mut self.servers[at];
        if server.upper != upper {
            server.upper = upper;
            server.overloaded = upper > 0 && server.total() >= upper;
        }
    }

    /// What the program counts.
    fn look(&mut self) {
        for server in self.servers.iter_mut().chain(&mut self.gone) {
            let (active, inactive, _) = self.bed.load(self.key, endpoint(server.last, 80));
            server.load = (active, inactive);
        }
    }

    fn state(&self) -> u64 {
        let mut state = [0; 8];
        // The only service has the first place.
        assert!(self.cursors.lookup(&0u32.to_ne_bytes(), &mut state).unwrap());
        u64::from_ne_bytes(state)
    }

    fn connect(&mut self, number: u32, reference: &mut dyn Reference) {
        let host = self.below(3000);
        let from = (Ipv4Addr::from_bits(0xc612_0000 + host), 1024 + (number % 60_000) as u16);
        self.look();
        let candidates = self.candidates();
        let view = View {
            servers: &self.servers,
            gone: &self.gone,
            candidates: &candidates,
            from,
            state: self.state(),
            number,
            bed: self.bed,
        };
        let expected = reference.choose(&view);
        let outcome = self.bed.send(&Frame::tcp(from, (VIRTUAL, 80), SYN));
        let chosen = match outcome {
            // After a thousand in a second nobody is told any more.
            Outcome::Refused | Outcome::Drop => None,
            forwarded => Some(forwarded.forwarded().to_mac[5]),
        };
        let wanted = expected.map(|position| self.servers[position].last);
        assert_eq!(chosen, wanted, "connection {number} from {from:?}: {:?}", self.servers);
        let Some(position) = expected else {
            self.none += 1;
            return;
        };
        self.count(position);
        if self.below(3) > 0 {
            self.bed.send(&Frame::tcp(from, (VIRTUAL, 80), ACK));
            self.open.push_back(from);
        }
        if self.open.len() > OPEN {
            let oldest = self.open.pop_front().unwrap();
            self.bed.send(&Frame::tcp(oldest, (VIRTUAL, 80), RST));
        }
    }

    fn count(&mut self, position: usize) {
        let total: u32 = self.servers.iter().map(|server| server.weight).sum();
        for server in &mut self.servers {
            server.expected += f64::from(server.weight) / f64::from(total.max(1));
        }
        let server = &mut self.servers[position];
        server.got += 1;
        server.overloaded |= server.upper > 0 && server.total() + 1 >= server.upper;
    }

    fn report(&self, scheduler: Scheduler) {
        println!(
            "{scheduler}: {CONNECTIONS} connections, {} changes, {} without a server",
            self.changes, self.none
        );
        let mut all: Vec<&Server> = self.servers.iter().chain(&self.gone).collect();
        all.sort_by_key(|server| server.last);
        for server in all {
            let Server { last, expected, got, .. } = server;
            println!("  server {last}: {got:>5}  by the weights {expected:>7.1}");
        }
    }
}
