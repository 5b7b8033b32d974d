//! What threads share and what outlives a reload: counters, health, connection limits. Objects
//! have stable identities: a frontend's name, a backend's name, a server's name and address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use model::proxy::{LogSettings, Mode};
use model::status::{BackendStatus, FrontendStatus, ProxyReport, ServerStatus};
use proxy::program::Program;

use crate::logger::{Logger, Sink};

/// A number that only its own thread changes and any thread may read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, amount: u64) {
        // One writer: no locked instruction is needed.
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    pub(crate) fn subtract(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).saturating_sub(amount), Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One thread's counters of one frontend, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct FrontendCounts {
    pub(crate) open: Count,
    pub(crate) total: Count,
    pub(crate) requests: Count,
    pub(crate) bytes_in: Count,
    pub(crate) bytes_out: Count,
    pub(crate) responses: [Count; 5],
}

/// One thread's counters of one server.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct ServerCounts {
    pub(crate) open: Count,
    pub(crate) total: Count,
    pub(crate) connect_errors: Count,
    pub(crate) retries: Count,
}

/// A frontend as it lives through reloads.
#[derive(Debug)]
pub(crate) struct FrontendShared {
    pub(crate) threads: Box<[FrontendCounts]>,
    /// Connections now, over all threads.
    pub(crate) open: AtomicU32,
}

/// A server as it lives through reloads.
#[derive(Debug)]
pub struct ServerShared {
    /// Number of its pools.
    pub(crate) id: u32,
    up: AtomicBool,
    last_result: std::sync::Mutex<Option<String>>,
    pub(crate) threads: Box<[ServerCounts]>,
}

impl ServerShared {
    /// It may be chosen.
    pub fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// The verdict of its checks, with the last result in words. True when that is a change.
    pub fn set_up(&self, up: bool, result: Option<String>) -> bool {
        if let Ok(mut last) = self.last_result.lock() {
            *last = result;
        }
        self.up.swap(up, Relaxed) != up
    }
}

/// The process as a whole.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) open: AtomicU32,
    pub(crate) limit: AtomicU32,
    pub(crate) logs_dropped: AtomicU64,
    pub(crate) pid: u32,
}

/// A program together with the living objects its parts belong to.
#[derive(Debug)]
pub struct Shape {
    pub(crate) program: Program,
    pub(crate) frontends: Vec<Arc<FrontendShared>>,
    pub(crate) servers: Vec<Vec<Arc<ServerShared>>>,
    pub(crate) frontend_logs: Vec<Vec<Arc<Sink>>>,
    pub(crate) backend_logs: Vec<Vec<Arc<Sink>>>,
    pub(crate) process: Arc<Process>,
}

impl Shape {
    /// The living object of a server, by the names in the file.
    pub fn server(&self, backend: &str, server: &str) -> Option<&Arc<ServerShared>> {
        let at = self.program.backends.iter().position(|candidate| candidate.name == backend)?;
        let servers = &self.program.backends[at].servers;
        let found = servers.iter().position(|candidate| candidate.name == server)?;
        Some(&self.servers[at][found])
    }

    /// Servers of a backend that are up: regular ones, and backup ones.
    pub fn active(&self, backend: &str) -> (usize, usize) {
        let Some(at) = self.program.backends.iter().position(|b| b.name == backend) else {
            return (0, 0);
        };
        let servers = self.program.backends[at].servers.iter().zip(&self.servers[at]);
        servers.filter(|(_, shared)| shared.is_up()).fold(
            (0, 0),
            |(active, backup), (server, _)| {
                if server.backup { (active, backup + 1) } else { (active + 1, backup) }
            },
        )
    }

    /// Log receivers of a backend, for the state changes of its servers.
    pub fn backend_log(&self, backend: &str) -> Option<(&LogSettings, &[Arc<Sink>])> {
        let at = self.program.backends.iter().position(|candidate| candidate.name == backend)?;
        Some((&self.program.backends[at].log, &self.backend_logs[at]))
    }

    /// Everything countable, for the supervisor.
    pub fn report(&self) -> ProxyReport {
        let frontends = self.program.frontends.iter().zip(&self.frontends);
        let backends = self.program.backends.iter().zip(&self.servers);
        ProxyReport {
            frontends: frontends
                .map(|(frontend, shared)| {
                    let sum = |field: fn(&FrontendCounts) -> &Count| {
                        shared.threads.iter().map(|counts| field(counts).value()).sum()
                    };
                    FrontendStatus {
                        name: frontend.name.clone(),
                        mode: frontend.mode,
                        binds: frontend.binds.clone(),
                        connections: shared.open.load(Relaxed).into(),
                        connections_total: sum(|counts| &counts.total),
                        requests: if frontend.mode == Mode::Http {
                            sum(|counts| &counts.requests)
                        } else {
                            0
                        },
                        bytes_in: sum(|counts| &counts.bytes_in),
                        bytes_out: sum(|counts| &counts.bytes_out),
                        responses: std::array::from_fn(|class| {
                            shared
                                .threads
                                .iter()
                                .map(|counts| counts.responses[class].value())
                                .sum()
                        }),
                    }
                })
                .collect(),
            backends: backends
                .map(|(backend, servers)| BackendStatus {
                    name: backend.name.clone(),
                    mode: backend.mode,
                    servers: backend
                        .servers
                        .iter()
                        .zip(servers)
                        .map(|(server, shared)| server_status(server, shared))
                        .collect(),
                })
                .collect(),
            logs_dropped: self.process.logs_dropped.load(Relaxed),
            pid: self.process.pid,
        }
    }
}

fn server_status(server: &proxy::program::Server, shared: &ServerShared) -> ServerStatus {
    let sum = |field: fn(&ServerCounts) -> &Count| {
        shared.threads.iter().map(|counts| field(counts).value()).sum()
    };
    ServerStatus {
        name: server.name.clone(),
        address: server.address,
        up: shared.is_up(),
        checked: server.checked,
        backup: server.backup,
        weight: server.weight,
        sessions: sum(|counts| &counts.open),
        sessions_total: sum(|counts| &counts.total),
        connect_errors: sum(|counts| &counts.connect_errors),
        retries: sum(|counts| &counts.retries),
        last_result: shared.last_result.lock().ok().and_then(|last| last.clone()),
    }
}

impl ServerShared {
    /// Sessions open now, over all threads.
    pub(crate) fn sessions(&self) -> u64 {
        self.threads.iter().map(|counts| counts.open.value()).sum()
    }
}

/// Keeper of the living objects; belongs to the role's main thread.
pub struct Registry {
    threads: usize,
    process: Arc<Process>,
    frontends: HashMap<String, Arc<FrontendShared>>,
    servers: HashMap<(String, String, SocketAddr), Arc<ServerShared>>,
    next_id: u32,
    logger: Logger,
}

impl Registry {
    /// Nothing yet. `limit` bounds the connections of the process.
    pub fn new(threads: usize, limit: u32, logger: Logger) -> Registry {
        let process = Process {
            open: AtomicU32::new(0),
            limit: AtomicU32::new(limit),
            logs_dropped: AtomicU64::new(0),
            pid: std::process::id(),
        };
        Registry {
            threads,
            process: Arc::new(process),
            frontends: HashMap::new(),
            servers: HashMap::new(),
            next_id: 0,
            logger,
        }
    }

    /// Changes the bound on connections of the process.
    pub fn set_limit(&self, limit: u32) {
        self.process.limit.store(limit, Relaxed);
    }

    /// Joins a program with the objects that live already, and makes those that are new.
    pub fn shape(&mut self, program: Program) -> Shape {
        let threads = self.threads;
        let frontends: Vec<_> = program
            .frontends
            .iter()
            .map(|frontend| {
                let shared = self.frontends.entry(frontend.name.clone()).or_insert_with(|| {
                    let threads = (0..threads).map(|_| FrontendCounts::default()).collect();
                    Arc::new(FrontendShared { threads, open: AtomicU32::new(0) })
                });
                Arc::clone(shared)
            })
            .collect();
        let mut servers = Vec::new();
        for backend in &program.backends {
            let of_backend = backend.servers.iter().map(|server| {
                let key = (backend.name.clone(), server.name.clone(), server.address);
                let next_id = &mut self.next_id;
                let shared = self.servers.entry(key).or_insert_with(|| {
                    let id = *next_id;
                    *next_id += 1;
                    Arc::new(ServerShared {
                        id,
                        up: AtomicBool::new(true),
                        last_result: std::sync::Mutex::new(None),
                        threads: (0..threads).map(|_| ServerCounts::default()).collect(),
                    })
                });
                if !server.checked {
                    shared.set_up(true, None);
                }
                Arc::clone(shared)
            });
            servers.push(of_backend.collect());
        }
        let logger = &mut self.logger;
        let mut sinks = |settings: &LogSettings| -> Vec<Arc<Sink>> {
            settings.targets.iter().map(|target| logger.sink(&target.to)).collect()
        };
        let frontend_logs = program.frontends.iter().map(|frontend| sinks(&frontend.log)).collect();
        let backend_logs = program.backends.iter().map(|backend| sinks(&backend.log)).collect();
        Shape {
            program,
            frontends,
            servers,
            frontend_logs,
            backend_logs,
            process: Arc::clone(&self.process),
        }
    }

    /// Forgets objects that no program uses any more.
    pub fn forget_unused(&mut self) {
        self.frontends.retain(|_, shared| Arc::strong_count(shared) > 1);
        self.servers.retain(|_, shared| Arc::strong_count(shared) > 1);
    }
}
