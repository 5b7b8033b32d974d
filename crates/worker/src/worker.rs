//! One thread's event loop: it owns its sessions, server connections, timers and buffers.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use model::proxy::Mode;

use crate::flow::{Io, Kit};
use crate::record::Calendar;
use crate::session::{Holder, Loaded, Phase, Session, Step};
use crate::shared::Shape;
use crate::slab::{Key, Slab, Token};
use crate::sys::{self, Epoll};
use crate::timers::Wheel;

/// Events taken at a time.
const EVENTS: usize = 256;
/// Connections accepted from one listener before others have their turn.
const ACCEPTS: usize = 64;
/// Steps of one session before others have their turn.
const STEPS: usize = 64;
/// Between two looks at a listener that was paused: other threads' sessions end unseen.
const PAUSED_MS: u64 = 20;

/// What the main thread tells a worker.
pub(crate) enum Command {
    /// Serve this from now on, on these new listeners beside those it still names.
    Load { shape: Arc<Shape>, listeners: Vec<(SocketAddr, OwnedFd)>, done: Sender<()> },
    /// Accept no more; end when all sessions have, or after so many milliseconds.
    Stop { grace_ms: u64 },
}

/// Commands on their way to a worker.
pub(crate) struct Mailbox {
    pub(crate) commands: Mutex<Vec<Command>>,
    pub(crate) wake: OwnedFd,
}

struct Listener {
    fd: OwnedFd,
    address: SocketAddr,
    frontend: usize,
    readable: bool,
}

/// See the module.
pub(crate) struct Worker {
    pub(crate) epoll: Epoll,
    pub(crate) kit: Kit,
    /// Milliseconds, read once per turn of the loop.
    pub(crate) now: u64,
    pub(crate) calendar: Calendar,
    pub(crate) current: Rc<Loaded>,
    pub(crate) upstreams: Slab<Holder>,
    /// Idle server connections by server; the one used last is on top.
    pub(crate) pools: Vec<Vec<Key>>,
    pub(crate) insert: Vec<u8>,
    pub(crate) text: Vec<u8>,
    pub(crate) line: Vec<u8>,
    sessions: Slab<Box<Session>>,
    listeners: Slab<Listener>,
    ready: Vec<Key>,
    wheel: Wheel,
    mailbox: Arc<Mailbox>,
    draining: Option<u64>,
    thread: usize,
    /// Some listener has, or may have, connections to accept.
    any_listener_waits: bool,
}

fn clock_ms() -> u64 {
    edge::clock::now().as_nanos() / 1_000_000
}

impl Worker {
    pub(crate) fn new(
        thread: usize,
        shape: Arc<Shape>,
        mailbox: Arc<Mailbox>,
    ) -> sys::Result<Worker> {
        let epoll = Epoll::new()?;
        epoll.add(mailbox.wake.as_raw_fd(), Token::Mailbox.encode())?;
        let now = clock_ms();
        Ok(Worker {
            epoll,
            kit: Kit::new(),
            now,
            calendar: Calendar::new(now),
            current: Loaded::new(shape, thread),
            upstreams: Slab::new(),
            pools: Vec::new(),
            insert: Vec::new(),
            text: Vec::new(),
            line: Vec::new(),
            sessions: Slab::new(),
            listeners: Slab::new(),
            ready: Vec::new(),
            wheel: Wheel::new(now),
            mailbox,
            draining: None,
            thread,
            any_listener_waits: false,
        })
    }

    /// Serves until told to stop and done.
    pub(crate) fn run(mut self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let mut fired = Vec::new();
        let mut next_second = self.now + 1000;
        loop {
            let count = self.epoll.wait(&mut events, self.timeout(next_second));
            self.now = clock_ms();
            // What idle server connections have to say comes first: one that is over, or speaks
            // unasked, must not be given to a request of this turn.
            for event in &events[..count] {
                let (bits, token) = (event.events, event.u64);
                if let Token::Upstream(key) = Token::decode(token) {
                    self.check_idle(key, bits);
                }
            }
            for event in &events[..count] {
                let (bits, token) = (event.events, event.u64);
                self.handle_event(Token::decode(token), bits);
            }
            for key in std::mem::take(&mut self.ready) {
                if let Some(session) = self.sessions.get(key) {
                    session.queued = false;
                    self.drive(key);
                }
            }
            self.accept_all();
            self.wheel.advance(self.now, &mut fired);
            for key in fired.drain(..) {
                self.handle_timer(key);
            }
            if self.now >= next_second {
                next_second = self.now + 1000;
                self.calendar.adjust(self.now);
                self.sweep_pools(false);
            }
            if let Some(end) = self.draining {
                if self.sessions.len() == 0 {
                    return;
                }
                if self.now >= end {
                    for key in self.sessions.keys() {
                        self.kill(key);
                    }
                    return;
                }
            }
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    fn timeout(&self, next_second: u64) -> i32 {
        if !self.ready.is_empty() {
            return 0;
        }
        let mut wait = next_second.saturating_sub(self.now);
        if let Some(timer) = self.wheel.wait_ms(self.now) {
            wait = wait.min(timer);
        }
        if self.any_listener_waits {
            wait = wait.min(PAUSED_MS);
        }
        wait as i32
    }

    fn handle_event(&mut self, token: Token, bits: u32) {
        match token {
            Token::Mailbox => self.read_mailbox(),
            Token::Listener(key) => {
                if let Some(listener) = self.listeners.get(key) {
                    listener.readable = true;
                    self.any_listener_waits = true;
                }
            }
            Token::Client(key) => {
                if let Some(session) = self.sessions.get(key) {
                    session.client.note(bits);
                    self.drive(key);
                }
            }
            Token::Upstream(key) => match self.upstreams.get(key) {
                Some(&mut Holder::Session(session)) => {
                    let upstream = self.sessions.get(session).and_then(|s| s.upstream.as_mut());
                    if let Some(upstream) = upstream {
                        upstream.io.note(bits);
                        self.drive(session);
                    }
                }
                Some(Holder::Idle(_)) => self.check_idle(key, bits),
                None => {}
            },
        }
    }

    fn accept_all(&mut self) {
        if !self.any_listener_waits {
            return;
        }
        self.any_listener_waits = false;
        for key in self.listeners.keys() {
            self.accept_some(key);
        }
    }

    fn accept_some(&mut self, key: Key) {
        let loaded = Rc::clone(&self.current);
        let shape = &loaded.shape;
        for _ in 0..ACCEPTS {
            let Some(listener) = self.listeners.get(key).filter(|listener| listener.readable)
            else {
                return;
            };
            let at = listener.frontend;
            let shared = &shape.frontends[at];
            let most = shape.program.frontends[at].max_connections.unwrap_or(u32::MAX);
            let full = shared.open.load(Relaxed) >= most
                || shape.process.open.load(Relaxed) >= shape.process.limit.load(Relaxed);
            if full {
                break;
            }
            match sys::accept(&listener.fd) {
                Ok((fd, peer)) => self.begin_session(&loaded, at, fd, peer),
                Err(libc::EAGAIN) => {
                    listener.readable = false;
                    return;
                }
                Err(libc::ECONNABORTED | libc::EINTR) => {}
                // Out of descriptors or memory: its edge will not return, so it is tried again.
                // Server connections that wait for work go first.
                Err(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    self.sweep_pools(true);
                    break;
                }
                Err(_) => break,
            }
        }
        self.any_listener_waits = true;
    }

    fn begin_session(&mut self, loaded: &Rc<Loaded>, at: usize, fd: OwnedFd, peer: SocketAddr) {
        let shape = &loaded.shape;
        let shared = &shape.frontends[at];
        shape.process.open.fetch_add(1, Relaxed);
        shared.open.fetch_add(1, Relaxed);
        shared.threads[self.thread].open.add(1);
        shared.threads[self.thread].total.add(1);
        let key = self.sessions.reserve();
        // Its first bytes are usually here: one read is tried before epoll hears of it.
        let client = Io::new(fd, true);
        let mut session =
            Box::new(Session::new(key, client, peer, Rc::clone(loaded), at as u32, self.now));
        self.log_accept(&session);
        if shape.program.frontends[at].mode == Mode::Tcp {
            let step = self.tcp_start(&mut session);
            self.run_session(session, step);
        } else {
            self.run_session(session, Step::Again);
        }
    }

    /// Goes on with a session.
    fn drive(&mut self, key: Key) {
        if let Some(session) = self.sessions.take(key) {
            self.run_session(session, Step::Again);
        }
    }

    fn run_session(&mut self, mut s: Box<Session>, first: Step) {
        let moves = self.kit.moves;
        let mut step = first;
        for _ in 0..STEPS {
            if step != Step::Again {
                break;
            }
            step = match s.phase {
                Phase::Head => self.read_request(&mut s),
                Phase::Connect => self.await_connect(&mut s),
                Phase::Pause => self.try_again(&mut s),
                Phase::Exchange => self.exchange(&mut s),
                Phase::Tunnel => self.tunnel(&mut s),
                Phase::Flush => self.flush_and_close(&mut s),
                Phase::Linger => self.linger(&mut s),
            };
        }
        if step == Step::Close || !self.register(&mut s) {
            return self.close(s);
        }
        if step != Step::Wait && !s.queued {
            s.queued = true;
            self.ready.push(s.key);
        }
        if s.touched || self.kit.moves != moves {
            s.touched = false;
            s.deadline = s.next_deadline(self.now);
            if s.deadline < s.wheel_at {
                s.wheel_at = self.wheel.insert(s.key, s.deadline);
            }
        }
        self.sessions.put(s.key, s);
    }

    /// Tells epoll of the client, once, when something from it must be waited for.
    fn register(&mut self, s: &mut Session) -> bool {
        let only_server = match s.phase {
            Phase::Exchange => s.request_done && s.client.writable,
            Phase::Connect | Phase::Pause => s.front().mode == Mode::Http,
            Phase::Head | Phase::Tunnel | Phase::Flush | Phase::Linger => false,
        };
        if s.registered || only_server {
            return true;
        }
        s.registered = true;
        self.epoll.add(s.client.fd.as_raw_fd(), Token::Client(s.key).encode()).is_ok()
    }

    fn handle_timer(&mut self, key: Key) {
        let Some(session) = self.sessions.get(key) else { return };
        if session.deadline <= self.now {
            session.wheel_at = u64::MAX;
            session.touched = true;
            if let Some(mut session) = self.sessions.take(key) {
                let step = self.handle_deadline(&mut session);
                self.run_session(session, step);
            }
        } else if session.wheel_at <= self.now {
            session.wheel_at = u64::MAX;
            if session.deadline != u64::MAX {
                session.wheel_at = self.wheel.insert(key, session.deadline);
            }
        }
    }

    fn close(&mut self, mut s: Box<Session>) {
        if let Some(upstream) = s.upstream.take() {
            self.drop_upstream(upstream);
        }
        self.release_server(&mut s);
        self.count_bytes(&mut s);
        s.up.reset(&mut self.kit);
        s.down.reset(&mut self.kit);
        self.kit.give(&mut s.input);
        self.kit.give(&mut s.request);
        let shape = &s.loaded.shape;
        shape.process.open.fetch_sub(1, Relaxed);
        shape.frontends[s.frontend as usize].open.fetch_sub(1, Relaxed);
        s.front_counts().open.subtract(1);
        self.sessions.release(s.key);
    }

    fn kill(&mut self, key: Key) {
        if let Some(mut session) = self.sessions.take(key) {
            if session.phase != Phase::Linger && (session.phase != Phase::Head || session.partial) {
                session.blame(proxy::log::EndedBy::Killed, proxy::log::EndedIn::Data);
                self.log(&session);
            }
            self.close(session);
        }
    }

    fn read_mailbox(&mut self) {
        sys::drain_counter(&self.mailbox.wake);
        let commands = match self.mailbox.commands.lock() {
            Ok(mut commands) => std::mem::take(&mut *commands),
            Err(_) => return,
        };
        for command in commands {
            match command {
                Command::Load { shape, listeners, done } => {
                    self.load(shape, listeners);
                    // The main thread may have given up waiting.
                    let _ = done.send(());
                }
                Command::Stop { grace_ms } => self.stop(grace_ms),
            }
        }
    }

    fn load(&mut self, shape: Arc<Shape>, listeners: Vec<(SocketAddr, OwnedFd)>) {
        let frontend_of = |address: SocketAddr| {
            shape.program.frontends.iter().position(|frontend| frontend.binds.contains(&address))
        };
        for key in self.listeners.keys() {
            let Some(address) = self.listeners.get(key).map(|listener| listener.address) else {
                continue;
            };
            match frontend_of(address) {
                Some(frontend) => {
                    if let Some(listener) = self.listeners.get(key) {
                        listener.frontend = frontend;
                    }
                }
                None => self.close_listener(key),
            }
        }
        for (address, fd) in listeners {
            let Some(frontend) = frontend_of(address) else { continue };
            // Failing costs nothing but exactness with urgent data, which nobody sends.
            let _ = sys::keep_urgent_inline(&fd);
            let key = self.listeners.reserve();
            if self.epoll.add(fd.as_raw_fd(), Token::Listener(key).encode()).is_err() {
                self.listeners.release(key);
                continue;
            }
            self.listeners.put(key, Listener { fd, address, frontend, readable: true });
            self.any_listener_waits = true;
        }
        self.current = Loaded::new(shape, self.thread);
        self.sweep_pools(false);
    }

    /// Serves who is in the queue already, then lets go of it. The supervisor's copy keeps the
    /// socket's epoll entry alive, so it is removed first.
    fn close_listener(&mut self, key: Key) {
        if let Some(listener) = self.listeners.get(key) {
            listener.readable = true;
        }
        self.accept_some(key);
        if let Some(listener) = self.listeners.release(key) {
            let _ = self.epoll.remove(listener.fd.as_raw_fd());
        }
    }

    fn stop(&mut self, grace_ms: u64) {
        for key in self.listeners.keys() {
            self.close_listener(key);
        }
        self.draining = Some(self.now + grace_ms);
        self.sweep_pools(true);
        for key in self.sessions.keys() {
            let idle = self.sessions.get(key).is_some_and(|s| {
                s.phase == Phase::Head && s.input.is_empty() && !s.client.readable && s.requests > 0
            });
            if idle {
                self.kill(key);
            }
        }
    }
}
