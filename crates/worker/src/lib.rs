//! Layer 7, I/O: one epoll loop per thread, which owns its sessions, server connections, buffers
//! and timers. What bytes mean is decided by the `proxy` crate.
//!
//! The main thread of the role makes a [`Registry`], turns each plan into a [`Shape`] with it, and
//! hands that to the [`Workers`] together with the listeners that are new.

mod deadline;
mod ending;
mod exchange;
mod flow;
mod http;
mod logger;
mod pipes;
mod record;
mod session;
mod shared;
mod slab;
mod sys;
mod timers;
mod tunnel;
mod upstream;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use logger::{Logger, Sink, send_line};
pub use shared::{Count, Registry, ServerShared, Shape};

use worker::{Command, Mailbox, Worker};

/// A worker that does not take a program within this time is stuck.
const LOAD_MAX: Duration = Duration::from_secs(5);

/// The event loops of the process.
pub struct Workers {
    mailboxes: Vec<Arc<Mailbox>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads that serve nothing yet.
    pub fn start(count: usize, shape: &Arc<Shape>) -> io::Result<Workers> {
        let mut workers = Workers { mailboxes: Vec::new(), threads: Vec::new() };
        for thread in 0..count {
            let wake = sys::event_counter().map_err(io::Error::from_raw_os_error)?;
            let mailbox = Arc::new(Mailbox { commands: Mutex::new(Vec::new()), wake });
            workers.mailboxes.push(Arc::clone(&mailbox));
            let shape = Arc::clone(shape);
            let builder = std::thread::Builder::new().name(format!("worker/{thread}"));
            workers.threads.push(builder.spawn(move || {
                match Worker::new(thread, shape, mailbox) {
                    Ok(worker) => worker.run(),
                    Err(error) => {
                        let error = io::Error::from_raw_os_error(error);
                        eprintln!("evenkeel: proxy role: worker {thread}: {error}");
                    }
                }
            })?);
        }
        Ok(workers)
    }

    /// Gives every thread the program, and its own socket of each new listener (one per thread,
    /// in order). Returns once all of them serve it.
    pub fn load(
        &self,
        shape: &Arc<Shape>,
        listeners: Vec<(SocketAddr, Vec<OwnedFd>)>,
    ) -> io::Result<()> {
        let mut of_threads: Vec<Vec<(SocketAddr, OwnedFd)>> =
            self.mailboxes.iter().map(|_| Vec::new()).collect();
        for (address, sockets) in listeners {
            // There may be more sockets than threads: connections wait in every one of them.
            for (number, socket) in sockets.into_iter().enumerate() {
                let thread = number % self.mailboxes.len();
                of_threads[thread].push((address, socket));
            }
        }
        let (done, finished) = channel();
        for (mailbox, listeners) in self.mailboxes.iter().zip(of_threads) {
            let (shape, done) = (Arc::clone(shape), done.clone());
            post(mailbox, Command::Load { shape, listeners, done });
        }
        drop(done);
        let deadline = Instant::now() + LOAD_MAX;
        for _ in &self.mailboxes {
            let left = deadline.saturating_duration_since(Instant::now());
            finished
                .recv_timeout(left)
                .map_err(|_| io::Error::other("a worker thread is stuck"))?;
        }
        Ok(())
    }

    /// Stops accepting; every thread ends when its sessions have, or after `grace`.
    pub fn stop(&self, grace: Duration) {
        for mailbox in &self.mailboxes {
            post(mailbox, Command::Stop { grace_ms: grace.as_millis() as u64 });
        }
    }

    /// All threads have ended.
    pub fn are_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

fn post(mailbox: &Mailbox, command: Command) {
    if let Ok(mut commands) = mailbox.commands.lock() {
        commands.push(command);
    }
    sys::wake(&mailbox.wake);
}
