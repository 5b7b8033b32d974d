//! Choosing a server and getting a connection to it: from this thread's pool, or a new one.

use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;

use model::proxy::Mode;
use proxy::log::{EndedBy, EndedIn};
use proxy::reply::Reply;

use crate::flow::Io;
use crate::session::{Holder, Loaded, Phase, Session, Step, Upstream};
use crate::slab::{Key, Token};
use crate::sys;
use crate::worker::Worker;

/// Wait before the same server is tried again, unless `timeout connect` is shorter.
const PAUSE_MS: u64 = 1000;
/// Idle connections kept per server and thread, and for how long.
const POOL_MAX: usize = 1024;
const POOL_MS: u64 = 30_000;

impl Worker {
    /// Settles on a server, or answers that there is none.
    pub(crate) fn choose_server(&mut self, s: &mut Session) -> Result<(), Step> {
        let Some(backend) = s.backend else { return Err(Step::Close) };
        let loaded = Rc::clone(&s.loaded);
        let shared = &loaded.shape.servers[backend as usize];
        if s.server.is_some_and(|server| shared[server as usize].is_up()) {
            return Ok(());
        }
        self.release_server(s);
        let Some(server) = pick(&loaded, backend as usize, s.avoid) else {
            s.blame(EndedBy::Server, EndedIn::Connect);
            if s.front().mode == Mode::Tcp {
                return Err(self.finish_broken(s));
            }
            return Err(self.reply(s, Reply::ServiceUnavailable));
        };
        s.server = Some(server as u32);
        if let Some(counts) = s.server_counts() {
            counts.open.add(1);
            counts.total.add(1);
        }
        Ok(())
    }

    /// The session no longer counts for its server.
    pub(crate) fn release_server(&mut self, s: &mut Session) {
        if let Some(counts) = s.server_counts() {
            counts.open.subtract(1);
        }
        s.server = None;
    }

    /// An idle connection to the session's server, the one used last.
    pub(crate) fn take_pooled(&mut self, s: &mut Session) -> Option<Box<Upstream>> {
        if !s.server_keep || s.force_fresh {
            return None;
        }
        let id = self.shared_server(s)?.id as usize;
        loop {
            let key = self.pools.get_mut(id)?.pop()?;
            let Some(Holder::Idle(mut upstream)) = self.upstreams.take(key) else { continue };
            // A request that must not be sent twice goes where nothing speaks against it.
            if !s.is_replayable() && !sys::is_quiet(&upstream.io.fd) {
                self.drop_upstream(upstream);
                continue;
            }
            self.upstreams.put(key, Holder::Session(s.key));
            upstream.reused = true;
            s.times.connecting = self.now;
            return Some(upstream);
        }
    }

    fn shared_server<'a>(&self, s: &'a Session) -> Option<&'a Arc<crate::shared::ServerShared>> {
        Some(&s.loaded.shape.servers[s.backend? as usize][s.server? as usize])
    }

    /// Begins a new connection to the session's server.
    pub(crate) fn open_upstream(&mut self, s: &mut Session) -> sys::Result<Box<Upstream>> {
        s.times.connecting = self.now;
        let (Some(back), Some(server), Some(shared)) = (s.back(), s.server, self.shared_server(s))
        else {
            return Err(libc::EHOSTUNREACH);
        };
        let address = &back.servers[server as usize].address;
        let fd = match sys::connect(address) {
            Err(libc::EMFILE | libc::ENFILE) => {
                // Idle connections to other servers hold what this one needs.
                self.sweep_pools(true);
                sys::connect(address)?
            }
            fd => fd?,
        };
        let key = self.upstreams.reserve();
        if let Err(error) = self.epoll.add(fd.as_raw_fd(), Token::Upstream(key).encode()) {
            self.upstreams.release(key);
            return Err(error);
        }
        self.upstreams.put(key, Holder::Session(s.key));
        let mut io = Io::new(fd, false);
        io.writable = false;
        let shared = Arc::clone(shared);
        Ok(Box::new(Upstream {
            io,
            key,
            shared,
            reused: false,
            input: Vec::new(),
            unseen: false,
            idle_since: 0,
        }))
    }

    /// Keeps a connection for the next request.
    pub(crate) fn pool(&mut self, mut upstream: Box<Upstream>) {
        let id = upstream.shared.id as usize;
        if self.pools.len() <= id {
            self.pools.resize_with(id + 1, Vec::new);
        }
        // A body that ended with a full read leaves it open whether anything is behind it.
        if self.pools[id].len() >= POOL_MAX
            || (upstream.io.readable && !sys::is_quiet(&upstream.io.fd))
        {
            return self.drop_upstream(upstream);
        }
        upstream.io.readable = false;
        upstream.idle_since = self.now;
        let key = upstream.key;
        self.pools[id].push(key);
        self.upstreams.put(key, Holder::Idle(upstream));
    }

    /// Closes a server connection.
    #[expect(clippy::boxed_local, reason = "it is what sessions and pools hold")]
    pub(crate) fn drop_upstream(&mut self, mut upstream: Box<Upstream>) {
        self.kit.give(&mut upstream.input);
        self.upstreams.release(upstream.key);
    }

    /// Something happened on a connection: if it is idle, only its end is to be expected.
    pub(crate) fn check_idle(&mut self, key: Key, bits: u32) {
        let Some(Holder::Idle(upstream)) = self.upstreams.get(key) else { return };
        // The edge may be that of bytes its last request has read already.
        let over =
            bits & sys::GONE != 0 || (bits & sys::IN != 0 && !sys::is_quiet(&upstream.io.fd));
        if over {
            self.close_idle(key);
        }
    }

    fn close_idle(&mut self, key: Key) {
        if let Some(Holder::Idle(upstream)) = self.upstreams.take(key) {
            if let Some(pool) = self.pools.get_mut(upstream.shared.id as usize) {
                pool.retain(|&other| other != key);
            }
            self.drop_upstream(upstream);
        }
    }

    /// Closes connections that were idle for long, or whose server the program does not know.
    pub(crate) fn sweep_pools(&mut self, all: bool) {
        let mut wanted = vec![false; self.pools.len()];
        for server in self.current.shape.servers.iter().flatten() {
            if let Some(wanted) = wanted.get_mut(server.id as usize) {
                *wanted = !all;
            }
        }
        for (id, wanted) in wanted.into_iter().enumerate() {
            // The one idle longest is at the bottom.
            while let Some(&key) = self.pools[id].first() {
                let Some(Holder::Idle(upstream)) = self.upstreams.get(key) else { break };
                if wanted && self.now < upstream.idle_since + POOL_MS {
                    break;
                }
                self.close_idle(key);
            }
        }
    }

    /// A try to connect failed: the next one, here or elsewhere, or the end.
    pub(crate) fn connect_failed(&mut self, s: &mut Session, by: EndedBy) -> Step {
        if let Some(upstream) = s.upstream.take() {
            self.drop_upstream(upstream);
        }
        let loaded = Rc::clone(&s.loaded);
        let (Some(backend), Some(counts)) = (s.backend, s.server_counts()) else {
            return Step::Close;
        };
        counts.connect_errors.add(1);
        let back = &loaded.shape.program.backends[backend as usize];
        if s.retries >= back.retries {
            s.blame(by, EndedIn::Connect);
            if s.front().mode == Mode::Tcp {
                return self.finish_broken(s);
            }
            return self.reply(s, Reply::ServiceUnavailable);
        }
        counts.retries.add(1);
        s.retries += 1;
        s.times.turn = self.now;
        let elsewhere =
            pick(&loaded, backend as usize, s.server).filter(|&at| Some(at as u32) != s.server);
        if back.redispatch && elsewhere.is_some() {
            s.avoid = s.server;
            s.redispatched = true;
            self.release_server(s);
        } else if by == EndedBy::Server {
            let connect = back.timeouts.connect.map_or(PAUSE_MS, |t| t.as_millis() as u64);
            s.times.turn += PAUSE_MS.min(connect);
        }
        s.enter(Phase::Pause);
        Step::Again
    }

    /// The pause is over: tries again.
    pub(crate) fn try_again(&mut self, s: &mut Session) -> Step {
        if self.now < s.times.turn {
            return Step::Wait;
        }
        if s.front().mode == Mode::Tcp { self.tcp_connect(s) } else { self.dispatch_again(s) }
    }
}

/// The next server in turn that is up and not to be avoided; the first backup server that is up
/// when no other is.
fn pick(loaded: &Loaded, backend: usize, avoid: Option<u32>) -> Option<usize> {
    let servers = &loaded.shape.program.backends[backend].servers;
    let shared = &loaded.shape.servers[backend];
    let mut rotation = loaded.rotations[backend].borrow_mut();
    let weight = |at: usize| servers[at].weight;
    let active = |at: usize| !servers[at].backup && shared[at].is_up();
    let other = |at: usize| Some(at as u32) != avoid;
    rotation
        .pick(weight, |at| active(at) && other(at))
        .or_else(|| if avoid.is_some() { rotation.pick(weight, active) } else { None })
        .or_else(|| {
            let usable = |&at: &usize| servers[at].backup && shared[at].is_up() && weight(at) > 0;
            (0..servers.len())
                .filter(|&at| other(at))
                .find(usable)
                .or_else(|| (0..servers.len()).find(usable))
        })
}
