//! What is seen on the backup's side: adverts with the kernel's time stamps, and addresses.

use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use edge::netlink::Socket;
use lab::net::Namespace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(crate) use crate::capture::{Capture, Nanos, Packet};

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Addresses that are added.
    Added,
    /// Addresses that are removed.
    Removed,
}

/// When addresses came to a namespace, or went.
pub(crate) struct Addresses {
    stop: Arc<AtomicBool>,
    events: Arc<Mutex<Vec<Nanos>>>,
    thread: Option<JoinHandle<()>>,
}

impl Addresses {
    /// Begins to watch.
    pub(crate) fn watch(namespace: &Namespace, change: Change) -> io::Result<Addresses> {
        let mut socket = namespace.enter(Socket::open)??;
        socket.subscribe(&[libc::RTNLGRP_IPV4_IFADDR])?;
        let stop = Arc::new(AtomicBool::new(false));
        let events = Arc::new(Mutex::new(Vec::new()));
        let (until, to) = (stop.clone(), events.clone());
        let thread = thread::spawn(move || {
            // It must see them as they come, whoever else is busy.
            let _ = edge::realtime::raise_priority(60);
            let patience = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            while !until.load(Ordering::Relaxed) {
                let mut ready = [PollFd::new(&socket, PollFlags::IN)];
                let _ = poll(&mut ready, Some(&patience));
                let Ok(messages) = socket.receive() else { continue };
                let at = now();
                let is_new = |one: &_| edge::netlink::address::is_new(one);
                let count = messages.iter().filter(|&one| is_new(one) == (change == Change::Added));
                let count = count.count();
                to.lock().expect("no reader panics").extend(std::iter::repeat_n(at, count));
            }
        });
        Ok(Addresses { stop, events, thread: Some(thread) })
    }

    /// When addresses changed since the last call.
    pub(crate) fn take(&self) -> Vec<Nanos> {
        std::mem::take(&mut *self.events.lock().expect("no reader panics"))
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Now, on the clock of the captures.
pub(crate) fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as Nanos)
}

/// Whether the tools are there.
pub(crate) fn missing_tool() -> Option<String> {
    ["tcpdump", "keepalived", "ip"].into_iter().find_map(|tool| {
        let found = Command::new(tool).arg("--version").output().is_ok();
        (!found).then(|| format!("`{tool}` is not installed"))
    })
}
