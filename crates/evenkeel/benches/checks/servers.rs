//! One listener that is every real server, and notes when each of them was checked.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lab::net::Namespace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, getsockname, listen, socket_with,
    sockopt,
};

/// Connections that wait to be accepted: more come at once than usual.
const BACKLOG: i32 = 16_384;

/// What the listener saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Checks.
    pub(crate) checks: u64,
    /// Servers that were checked.
    pub(crate) servers: usize,
    /// Longest time between two checks of the same server.
    pub(crate) longest_gap: Duration,
}

#[derive(Default)]
struct Notes {
    last: HashMap<Ipv4Addr, Instant>,
    seen: Seen,
}

/// All servers, until dropped.
pub(crate) struct Servers {
    notes: Arc<Mutex<Notes>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Servers {
    /// Accepts connections to port 80 of every local address of the namespace.
    pub(crate) fn open(space: &Namespace) -> io::Result<Servers> {
        space.sysctl("net/core/somaxconn", &BACKLOG.to_string())?;
        let listener = space.enter(listener)??;
        let notes = Arc::new(Mutex::new(Notes::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (to, until) = (notes.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let patience = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            while !until.load(Ordering::Relaxed) {
                let _ = poll(&mut [PollFd::new(&listener, PollFlags::IN)], Some(&patience));
                while let Ok(connection) = accept_with(&listener, SocketFlags::CLOEXEC) {
                    note(&to, &connection);
                }
            }
        });
        Ok(Servers { notes, stop, thread: Some(thread) })
    }

    /// What was seen since the last call; gaps are counted anew.
    pub(crate) fn take(&self) -> Seen {
        let mut notes = self.notes.lock().expect("no writer panics");
        let servers = notes.last.len();
        notes.last.clear();
        Seen { servers, ..std::mem::take(&mut notes.seen) }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listener() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80)))?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn note(notes: &Mutex<Notes>, connection: &impl AsFd) {
    let Ok(Ok(SocketAddr::V4(address))) = getsockname(connection).map(SocketAddr::try_from) else {
        return;
    };
    let now = Instant::now();
    let mut notes = notes.lock().expect("no writer panics");
    notes.seen.checks += 1;
    if let Some(before) = notes.last.insert(*address.ip(), now) {
        notes.seen.longest_gap = notes.seen.longest_gap.max(now - before);
    }
}
