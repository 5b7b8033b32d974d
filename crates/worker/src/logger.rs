//! Log lines out of the process, never waiting: what cannot be sent at once is dropped and counted.
//!
//! Datagrams are sent by the thread that has something to say. A helper thread does what may
//! wait: writing to standard output, and connecting to `/dev/log` again after syslogd restarted.
//! It keeps the root directory the process had when it started, so that a chroot does not lose
//! the socket's path.

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use edge::syslog::Datagram;
use model::proxy::{LogDestination, LogTarget};

/// Lines that wait for standard output.
const TEXT_QUEUE: usize = 4096;
/// Between two attempts to find syslogd again.
const RECONNECT_EVERY: Duration = Duration::from_millis(500);

/// A receiver of log lines.
#[derive(Debug)]
pub struct Sink {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Datagram { socket: Datagram, path: Option<String>, lost: AtomicBool },
    Text { queue: SyncSender<Job>, to: LogDestination },
}

enum Job {
    Text(LogDestination, Vec<u8>),
    Watch(Weak<Sink>),
}

impl Sink {
    /// Lines go out without a syslog header.
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self.kind, Kind::Text { .. })
    }

    /// Sends a line, or drops it: false.
    pub(crate) fn send(&self, line: &[u8]) -> bool {
        match &self.kind {
            Kind::Datagram { socket, lost, .. } => match socket.send(line) {
                Ok(()) => true,
                Err(error) => {
                    if error.kind() != std::io::ErrorKind::WouldBlock {
                        lost.store(true, Relaxed);
                    }
                    // The error of an earlier datagram (ICMP) is reported once, here.
                    error.kind() == std::io::ErrorKind::ConnectionRefused
                        && socket.send(line).is_ok()
                }
            },
            Kind::Text { queue, to } => {
                queue.try_send(Job::Text(to.clone(), line.to_vec())).is_ok()
            }
        }
    }

    fn reconnect(&self) {
        if let Kind::Datagram { socket, path: Some(path), lost } = &self.kind
            && lost.load(Relaxed)
            && socket.connect_path(path).is_ok()
        {
            lost.store(false, Relaxed);
        }
    }
}

/// Opens receivers; one per destination, shared by all threads.
pub struct Logger {
    sinks: HashMap<LogDestination, Arc<Sink>>,
    jobs: SyncSender<Job>,
}

impl Logger {
    /// Starts the helper thread: before a chroot.
    pub fn start() -> std::io::Result<Logger> {
        let (jobs, inbox) = sync_channel::<Job>(TEXT_QUEUE);
        let (ready, is_ready) = sync_channel(1);
        std::thread::Builder::new().name("logger".into()).spawn(move || {
            // Without a root of its own the thread would follow the process into its chroot, and
            // only lose the way back to a restarted syslogd: nothing to stop for.
            let _ = edge::syslog::keep_root();
            let _ = ready.send(());
            let mut watched: Vec<Weak<Sink>> = Vec::new();
            let mut next_look = Instant::now() + RECONNECT_EVERY;
            loop {
                // Lines for standard output, however many, do not keep it from looking.
                let now = Instant::now();
                if now >= next_look {
                    next_look = now + RECONNECT_EVERY;
                    watched.retain(|sink| sink.upgrade().map(|sink| sink.reconnect()).is_some());
                }
                match inbox.recv_timeout(next_look.saturating_duration_since(now)) {
                    Ok(Job::Text(LogDestination::Stderr, line)) => {
                        let _ = std::io::stderr().write_all(&line);
                    }
                    Ok(Job::Text(_, line)) => {
                        let _ = std::io::stdout().write_all(&line);
                        let _ = std::io::stdout().flush();
                    }
                    Ok(Job::Watch(sink)) => watched.push(sink),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        let _ = is_ready.recv();
        Ok(Logger { sinks: HashMap::new(), jobs })
    }

    /// The receiver behind a destination. One that cannot be reached drops its lines and is tried
    /// again.
    pub(crate) fn sink(&mut self, to: &LogDestination) -> Arc<Sink> {
        if let Some(sink) = self.sinks.get(to) {
            return Arc::clone(sink);
        }
        let text = || Kind::Text { queue: self.jobs.clone(), to: to.clone() };
        let kind = match to {
            LogDestination::Stdout | LogDestination::Stderr => text(),
            LogDestination::Udp(address) => match Datagram::udp(*address) {
                Ok(socket) => Kind::Datagram { socket, path: None, lost: AtomicBool::new(false) },
                Err(_) => text(),
            },
            LogDestination::Unix(path) => match Datagram::unix() {
                Ok(socket) => {
                    let lost = AtomicBool::new(socket.connect_path(path).is_err());
                    Kind::Datagram { socket, path: Some(path.clone()), lost }
                }
                Err(_) => text(),
            },
        };
        let sink = Arc::new(Sink { kind });
        if let LogDestination::Unix(_) = to {
            let _ = self.jobs.try_send(Job::Watch(Arc::downgrade(&sink)));
        }
        self.sinks.insert(to.clone(), Arc::clone(&sink));
        sink
    }
}

/// Sends one line to every target that wants its severity. Returns how many were dropped.
pub fn send_line(
    targets: &[LogTarget],
    sinks: &[Arc<Sink>],
    severity: u8,
    tag: &str,
    text: &[u8],
    line: &mut Vec<u8>,
) -> u64 {
    let now = crate::sys::local_date(crate::sys::wall_ms() / 1000);
    let pid = std::process::id();
    let mut dropped = 0;
    for (target, sink) in targets.iter().zip(sinks) {
        line.clear();
        if proxy::log::append_header(target, severity, &now, tag, pid, line).is_none() {
            continue;
        }
        if sink.is_raw() {
            line.clear();
        }
        line.extend_from_slice(text);
        line.push(b'\n');
        dropped += u64::from(!sink.send(line));
    }
    dropped
}
