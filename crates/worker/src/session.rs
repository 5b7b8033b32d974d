//! One client connection and the server connection it uses.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use proxy::balance::RoundRobin;
use proxy::http1::request::Method;
use proxy::log::{EndedBy, EndedIn};
use proxy::program::{Backend, Frontend};

use crate::flow::{Flow, Io};
use crate::shared::{FrontendCounts, ServerCounts, ServerShared, Shape};
use crate::slab::Key;

/// A program as one thread runs it.
pub(crate) struct Loaded {
    pub(crate) shape: Arc<Shape>,
    pub(crate) rotations: Vec<RefCell<RoundRobin>>,
    pub(crate) thread: usize,
}

impl Loaded {
    pub(crate) fn new(shape: Arc<Shape>, thread: usize) -> Rc<Loaded> {
        let rotations = shape
            .program
            .backends
            .iter()
            .map(|backend| {
                let weights: Vec<u16> =
                    backend.servers.iter().map(|server| server.weight).collect();
                RefCell::new(RoundRobin::new(&weights, thread))
            })
            .collect();
        Rc::new(Loaded { shape, rotations, thread })
    }
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waiting for a request head, or for the rest of one.
    Head,
    /// Waiting for a server to accept the connection.
    Connect,
    /// Waiting before the next try to connect.
    Pause,
    /// Request and response on their way.
    Exchange,
    /// Bytes both ways: TCP mode, CONNECT, an upgraded connection.
    Tunnel,
    /// The last bytes to the client, which then is closed.
    Flush,
    /// FIN was sent; what the client still sends is thrown away, so that no reset overtakes the
    /// answer.
    Linger,
}

/// What the exchange waits for on the server's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Head,
    Body,
}

/// A connection to a server.
pub(crate) struct Upstream {
    pub(crate) io: Io,
    pub(crate) key: Key,
    pub(crate) shared: Arc<ServerShared>,
    /// It carried a request before this one.
    pub(crate) reused: bool,
    /// Part of a response head.
    pub(crate) input: Vec<u8>,
    /// `input` was not looked at yet: it came behind an interim response.
    pub(crate) unseen: bool,
    pub(crate) idle_since: u64,
}

/// Who holds a server connection.
pub(crate) enum Holder {
    Session(Key),
    Idle(Box<Upstream>),
}

/// Points in time of the current request, milliseconds; 0 where it did not get.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) accepted: u64,
    /// Since when the next request is waited for.
    pub(crate) idle: u64,
    pub(crate) first_byte: u64,
    pub(crate) request: u64,
    /// The current try to connect began.
    pub(crate) connecting: u64,
    pub(crate) connected: u64,
    pub(crate) response: u64,
    /// End of a pause, or start of flushing.
    pub(crate) turn: u64,
}

/// A client connection.
pub(crate) struct Session {
    pub(crate) key: Key,
    pub(crate) client: Io,
    pub(crate) peer: SocketAddr,
    pub(crate) registered: bool,
    pub(crate) loaded: Rc<Loaded>,
    pub(crate) frontend: u32,
    pub(crate) backend: Option<u32>,
    pub(crate) server: Option<u32>,
    pub(crate) phase: Phase,
    pub(crate) answer: Answer,
    pub(crate) upstream: Option<Box<Upstream>>,
    /// Client to server.
    pub(crate) up: Flow,
    /// Server to client.
    pub(crate) down: Flow,
    /// Bytes of the client not yet looked at, or part of a request head.
    pub(crate) input: Vec<u8>,
    /// `input` is the beginning of a head known to be incomplete.
    pub(crate) partial: bool,
    /// The request as sent to the server, while it may have to be sent again.
    pub(crate) request: Vec<u8>,
    /// The request line, for the log.
    pub(crate) line: Vec<u8>,
    pub(crate) method: Method,
    pub(crate) client_minor: u8,
    pub(crate) asks_upgrade: bool,
    pub(crate) expects_continue: bool,
    pub(crate) client_keep: bool,
    pub(crate) server_keep: bool,
    pub(crate) request_done: bool,
    /// The server took only a part of the request, which the client may still send.
    pub(crate) upload_cut: bool,
    pub(crate) up_shut: bool,
    pub(crate) down_shut: bool,
    /// Not from the pool: a pooled connection turned out to be dead.
    pub(crate) force_fresh: bool,
    /// Not this server: connecting to it just failed.
    pub(crate) avoid: Option<u32>,
    pub(crate) retries: u32,
    pub(crate) redispatched: bool,
    pub(crate) requests: u32,
    pub(crate) status: u16,
    pub(crate) ended: (EndedBy, EndedIn),
    pub(crate) times: Times,
    pub(crate) deadline: u64,
    pub(crate) wheel_at: u64,
    pub(crate) touched: bool,
    /// It waits for its turn in the worker's ready list.
    pub(crate) queued: bool,
}

impl Session {
    pub(crate) fn new(
        key: Key,
        client: Io,
        peer: SocketAddr,
        loaded: Rc<Loaded>,
        frontend: u32,
        now: u64,
    ) -> Session {
        Session {
            key,
            client,
            peer,
            registered: false,
            loaded,
            frontend,
            backend: None,
            server: None,
            phase: Phase::Head,
            answer: Answer::Head,
            upstream: None,
            up: Flow::new(),
            down: Flow::new(),
            input: Vec::new(),
            partial: false,
            request: Vec::new(),
            line: Vec::new(),
            method: Method::Get,
            client_minor: 1,
            asks_upgrade: false,
            expects_continue: false,
            client_keep: false,
            server_keep: false,
            request_done: false,
            upload_cut: false,
            up_shut: false,
            down_shut: false,
            force_fresh: false,
            avoid: None,
            retries: 0,
            redispatched: false,
            requests: 0,
            status: 0,
            ended: (EndedBy::Nobody, EndedIn::Nowhere),
            times: Times { accepted: now, idle: now, ..Times::default() },
            deadline: u64::MAX,
            wheel_at: u64::MAX,
            touched: true,
            queued: false,
        }
    }

    pub(crate) fn front(&self) -> &Frontend {
        &self.loaded.shape.program.frontends[self.frontend as usize]
    }

    pub(crate) fn front_counts(&self) -> &FrontendCounts {
        &self.loaded.shape.frontends[self.frontend as usize].threads[self.loaded.thread]
    }

    pub(crate) fn back(&self) -> Option<&Backend> {
        self.backend.map(|at| &self.loaded.shape.program.backends[at as usize])
    }

    pub(crate) fn server_counts(&self) -> Option<&ServerCounts> {
        let (backend, server) = (self.backend?, self.server?);
        let shared = &self.loaded.shape.servers[backend as usize][server as usize];
        Some(&shared.threads[self.loaded.thread])
    }

    /// The whole request is in `request`, and sending it twice does no harm.
    pub(crate) fn is_replayable(&self) -> bool {
        self.request_done && self.method != Method::Other && self.method != Method::Connect
    }

    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.touched = true;
    }

    /// Remembers the first reason for the end.
    pub(crate) fn blame(&mut self, by: EndedBy, at: EndedIn) {
        if self.ended.0 == EndedBy::Nobody {
            self.ended = (by, at);
        }
    }
}

/// What a step leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Look again at once.
    Again,
    /// Nothing to do until an event or a deadline.
    Wait,
    /// More to do after others had their turn.
    Yield,
    /// It is over.
    Close,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_costs_half_a_kibibyte() {
        // The session itself, its place in the slab, its entry in the timer wheel.
        let bytes = size_of::<Session>() + size_of::<Box<Session>>() + 2 * size_of::<Key>();
        assert!(bytes <= 512, "{bytes}");
    }
}
