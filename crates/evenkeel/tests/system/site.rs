//! A small site: a client, two directors, two servers, two networks; NAT at layer 4 and a proxy
//! at layer 7 behind one VRRP address.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use serde_json::Value;

use crate::site_server::Server;

/// The address clients use: layer 4 on port 80, layer 7 on port 8080.
pub(crate) const VIRTUAL: &str = "10.1.0.100";

/// Everything of one test; dropped, everything is gone.
pub(crate) struct Site {
    pub(crate) client: Namespace,
    pub(crate) directors: [Namespace; 2],
    running: Vec<Running>,
    pub(crate) directory: PathBuf,
    pin_directories: Vec<String>,
    _servers: Vec<Server>,
    _net: Net,
}

struct Running {
    number: usize,
    child: Child,
}

impl Site {
    /// Builds the networks and starts the servers `s1` and `s2`.
    pub(crate) fn new(tag: &str) -> io::Result<Site> {
        let net = Net::new(tag)?;
        let client = net.namespace("client")?;
        let directors = [net.namespace("d1")?, net.namespace("d2")?];
        let servers = [net.namespace("s1")?, net.namespace("s2")?];
        net.segment(
            "public",
            &[(&client, "eth0"), (&directors[0], "eth0"), (&directors[1], "eth0")],
        )?;
        net.segment(
            "private",
            &[
                (&directors[0], "eth1"),
                (&directors[1], "eth1"),
                (&servers[0], "eth0"),
                (&servers[1], "eth0"),
            ],
        )?;
        for (number, director) in directors.iter().enumerate() {
            director.ip(&format!("addr add 10.2.0.{}/24 dev eth1", number + 2))?;
            director.sysctl("net/ipv4/ip_forward", "1")?;
        }
        for (number, server) in servers.iter().enumerate() {
            server.ip(&format!("addr add 10.2.0.{}/24 dev eth0", number + 11))?;
            server.ip("route add default via 10.2.0.1")?;
        }
        Site::over(tag, net, client, directors, &servers)
    }

    /// A site on networks that are there: gives the client and the directors their public
    /// addresses and starts a server `s1`, `s2`... in each of `servers`.
    pub(crate) fn over(
        tag: &str,
        net: Net,
        client: Namespace,
        directors: [Namespace; 2],
        servers: &[Namespace],
    ) -> io::Result<Site> {
        client.ip("addr add 10.1.0.10/24 dev eth0")?;
        for (number, director) in directors.iter().enumerate() {
            director.ip(&format!("addr add 10.1.0.{}/24 dev eth0", number + 2))?;
        }
        let servers = servers
            .iter()
            .enumerate()
            .map(|(number, server)| Server::start(server, format!("s{}", number + 1)))
            .collect::<io::Result<_>>()?;
        let directory = std::env::temp_dir().join(format!("ek-{tag}-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let pin_directories = (1..=2)
            .map(|number| format!("/sys/fs/bpf/ek-{tag}-{}-d{number}", std::process::id()))
            .collect();
        Ok(Site {
            client,
            directors,
            running: Vec::new(),
            directory,
            pin_directories,
            _servers: servers,
            _net: net,
        })
    }

    /// Writes the two configuration files, the same for both directors.
    pub(crate) fn write(&self, keepalived: &str, haproxy: &str) -> io::Result<()> {
        fs::write(self.directory.join("keepalived.conf"), keepalived)?;
        fs::write(self.directory.join("haproxy.cfg"), haproxy)
    }

    fn runtime_directory(&self, number: usize) -> PathBuf {
        self.directory.join(format!("d{number}"))
    }

    /// Starts director 1 or 2; the second stands by.
    pub(crate) fn start(&mut self, number: usize, options: &[&str]) -> io::Result<()> {
        let log = fs::File::create(self.log(number))?;
        let mut command = self.directors[number - 1].command(env!("CARGO_BIN_EXE_evenkeel"));
        let files = ["keepalived.conf", "haproxy.cfg"].map(|name| self.directory.join(name));
        command
            .args(["run", "--foreground", "--file"])
            .args(files.iter().filter(|file| file.exists()))
            .arg("--runtime-dir")
            .arg(self.runtime_directory(number))
            .args(["--pin-dir", &self.pin_directories[number - 1]])
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if number == 2 {
            command.arg("--standby");
        }
        self.running.push(Running { number, child: command.spawn()? });
        Ok(())
    }

    /// Where a director's log lines are.
    pub(crate) fn log(&self, number: usize) -> PathBuf {
        self.directory.join(format!("d{number}.log"))
    }

    /// Process id of a director's supervisor.
    pub(crate) fn supervisor(&self, number: usize) -> u32 {
        let running = self.running.iter().find(|one| one.number == number);
        running.expect("the director was started").child.id()
    }

    /// Runs `evenkeel COMMAND` against a director.
    pub(crate) fn ask(&self, number: usize, arguments: &[&str]) -> io::Result<Output> {
        Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(arguments)
            .arg("--runtime-dir")
            .arg(self.runtime_directory(number))
            .output()
    }

    /// `evenkeel status --json` of a director; null while it does not answer.
    pub(crate) fn status(&self, number: usize) -> Value {
        self.ask(number, &["status", "--json"])
            .ok()
            .and_then(|output| serde_json::from_slice(&output.stdout).ok())
            .unwrap_or(Value::Null)
    }

    /// Process id of one of a director's roles.
    pub(crate) fn role(&self, number: usize, role: &str) -> Option<u32> {
        let status = self.status(number);
        let roles = status["roles"].as_array()?;
        let found = roles.iter().find(|one| one["role"] == role)?;
        found["pid"].as_u64().map(|pid| pid as u32)
    }

    /// A director holds the virtual address.
    pub(crate) fn holds(&self, number: usize) -> bool {
        holds(&self.directors[number - 1])
    }

    /// Waits until a director is master of everything, its servers are up and answer at both
    /// layers.
    pub(crate) fn wait_until_serving(&self, number: usize) {
        self.until(Duration::from_secs(30), "serving", || {
            let status = self.status(number);
            let instances = status["vrrp"]["instances"].as_array();
            let master = instances.is_some_and(|all| {
                !all.is_empty() && all.iter().all(|one| one["state"] == "Master")
            });
            let configured = status["director"]["services"].as_array().is_some();
            master && configured && self.get(80, "/").is_ok() && self.get(8080, "/").is_ok()
        });
    }

    /// Waits for something; panics with the directors' logs when it does not come.
    pub(crate) fn until(&self, at_most: Duration, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + at_most;
        while !done() {
            if Instant::now() > deadline {
                panic!("not within {at_most:?}: {what}\n{}", self.logs());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the directors said.
    pub(crate) fn logs(&self) -> String {
        (1..=2)
            .map(|number| {
                let text = fs::read_to_string(self.log(number)).unwrap_or_default();
                format!("--- director {number}\n{text}")
            })
            .collect()
    }

    /// One request of the client on a connection of its own.
    pub(crate) fn get(&self, port: u16, path: &str) -> io::Result<String> {
        self.client.enter(|| get(port, path))?
    }
}

/// A namespace has the virtual address where VRRP puts it; on `lo` it may always be.
pub(crate) fn holds(namespace: &Namespace) -> bool {
    let found = namespace.ip("-4 -o addr show dev eth0");
    found.is_ok_and(|text| text.contains(&format!("inet {VIRTUAL}/")))
}

/// Kills a process with SIGKILL.
pub(crate) fn kill(pid: u32) {
    let done = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    assert!(done.is_ok_and(|status| status.success()), "process {pid} was there to be killed");
}

impl Drop for Site {
    fn drop(&mut self) {
        for running in &mut self.running {
            let _ = Command::new("kill").args(["-TERM", &running.child.id().to_string()]).status();
        }
        let deadline = Instant::now() + Duration::from_secs(12);
        for running in &mut self.running {
            while matches!(running.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(20));
            }
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
        for directory in &self.pin_directories {
            let _ = fs::remove_dir_all(directory);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// One request on one connection; the body on success.
pub(crate) fn get(port: u16, path: &str) -> io::Result<String> {
    let mut stream = open(port, path)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other(format!("half an answer: {answer:?}")))?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(format!("answered {head:?}")));
    }
    Ok(body.to_owned())
}

/// Sends a request and leaves the answer to be read.
pub(crate) fn open(port: u16, path: &str) -> io::Result<TcpStream> {
    let address: SocketAddr = format!("{VIRTUAL}:{port}").parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n")?;
    Ok(stream)
}

/// Requests at both layers without a pause, until dropped or [`finish`](Self::finish)ed.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Traffic {
    /// One connection after the other at each layer.
    pub(crate) fn start(client: &Namespace) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(AtomicU64::new(0));
        let threads = [80, 8080]
            .into_iter()
            .map(|port| {
                let (stop, requests) = (Arc::clone(&stop), Arc::clone(&requests));
                let namespace = client.clone();
                thread::spawn(move || {
                    let work = || {
                        let mut failures = Vec::new();
                        while !stop.load(Ordering::Relaxed) {
                            match get(port, "/") {
                                Ok(_) => {
                                    requests.fetch_add(1, Ordering::Relaxed);
                                }
                                Err(error) => failures.push(format!("port {port}: {error}")),
                            }
                            thread::sleep(Duration::from_millis(2));
                        }
                        failures
                    };
                    namespace.enter(work).expect("the client's namespace")
                })
            })
            .collect();
        Traffic { stop, requests, threads }
    }

    /// Ends it: requests that succeeded, and what failed.
    pub(crate) fn finish(mut self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self
            .threads
            .drain(..)
            .flat_map(|thread| thread.join().expect("the client's thread"))
            .collect();
        (self.requests.load(Ordering::Relaxed), failures)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A long answer that must not break.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    thread: JoinHandle<Option<String>>,
}

impl Stream {
    /// Opens `/stream` at a port.
    pub(crate) fn open(client: &Namespace, port: u16) -> Stream {
        let stop = Arc::new(AtomicBool::new(false));
        let received = Arc::new(AtomicU64::new(0));
        let (stopped, count, namespace) =
            (Arc::clone(&stop), Arc::clone(&received), client.clone());
        let thread = thread::spawn(move || {
            let work = || {
                let mut stream = match open(port, "/stream") {
                    Ok(stream) => stream,
                    Err(error) => return Some(error.to_string()),
                };
                let mut buffer = [0; 4096];
                while !stopped.load(Ordering::Relaxed) {
                    match stream.read(&mut buffer) {
                        Ok(0) => return Some("it ended".to_owned()),
                        Ok(read) => {
                            count.fetch_add(read as u64, Ordering::Relaxed);
                        }
                        Err(error) => return Some(error.to_string()),
                    }
                }
                None
            };
            namespace.enter(work).expect("the client's namespace")
        });
        Stream { stop, received, thread }
    }

    /// Bytes so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Ends it; why it broke, if it did.
    pub(crate) fn finish(self) -> Option<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the client's thread")
    }
}
