//! The proxy role in a namespace, small scripted servers behind it, and raw clients before it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use model::control::{FromRole, RolePlan, RoleReport, ToRole};
use model::proxy::{
    Backend, Balance, Bind, ClientTimeouts, ConnectionMode, ForwardFor, Frontend, LogDestination,
    LogFormat, LogSettings, LogTarget, Mode, ProcessSettings, ProxyPlan, Server, ServerTimeouts,
};
use model::status::ProxyReport;

use crate::role::RoleProcess;

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Where the proxy listens.
pub(crate) const FRONT: &str = "127.0.0.1:8000";
/// Where log lines go.
pub(crate) const LOG: &str = "127.0.0.1:5514";

/// A namespace with a proxy role in it.
pub(crate) struct Scene {
    pub(crate) role: RoleProcess,
    pub(crate) space: Namespace,
    generation: u64,
    _net: Net,
}

impl Scene {
    pub(crate) fn new(tag: &str, plan: &ProxyPlan) -> Scene {
        let net = Net::new(tag).unwrap();
        let space = net.namespace("proxy").unwrap();
        let mut role = RoleProcess::start(&space, "proxy").unwrap();
        role.hello("/nowhere", Vec::new());
        let mut scene = Scene { role, space, generation: 0, _net: net };
        let address = FRONT.parse().unwrap();
        let threads = plan.process.threads.into();
        let sockets =
            scene.space.enter(|| edge::listen::tcp(address, threads, false)).unwrap().unwrap();
        scene.configure(plan, vec![address], sockets);
        scene
    }

    pub(crate) fn reload(&mut self, plan: &ProxyPlan) {
        self.configure(plan, Vec::new(), Vec::new());
    }

    fn configure(&mut self, plan: &ProxyPlan, listeners: Vec<SocketAddr>, sockets: Vec<OwnedFd>) {
        self.generation += 1;
        let generation = self.generation;
        let plan = RolePlan::Proxy(plan.clone());
        self.role.send(&ToRole::Configure { generation, plan, listeners }, sockets);
        let answer = self.role.receive(PATIENCE);
        assert_eq!(answer, Some(FromRole::Configured { generation, error: None }));
    }

    pub(crate) fn report(&mut self) -> ProxyReport {
        match self.role.report() {
            RoleReport::Proxy(report) => report,
            other => panic!("{other:?}"),
        }
    }

    /// A client connection.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(&self.space, FRONT)
    }

    /// Everything the proxy answers to these bytes until it closes.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut client = self.connect();
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Status of a GET on a connection of its own.
    pub(crate) fn status(&self, path: &str) -> u16 {
        let answer =
            self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// A receiver of log lines.
    pub(crate) fn log_receiver(&self) -> UdpSocket {
        let socket = self.space.enter(|| UdpSocket::bind(LOG)).unwrap().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }
}

pub(crate) fn connect(space: &Namespace, address: &str) -> TcpStream {
    let stream = space.enter(|| TcpStream::connect(address)).unwrap().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One line of a log socket, without its syslog header.
pub(crate) fn log_line(socket: &UdpSocket) -> String {
    let mut buffer = [0; 2048];
    let count = socket.recv(&mut buffer).expect("a log line");
    let line = String::from_utf8_lossy(&buffer[..count]).into_owned();
    line.trim_end().split_once("]: ").expect("a syslog header").1.to_string()
}

/// What a scripted server does with one request (head and body, as sent). False closes.
pub(crate) type Script = dyn Fn(&mut TcpStream, &str, &[u8]) -> bool + Send + Sync;

/// Serves on this address with one thread per connection, as long as the test runs.
pub(crate) fn serve(space: &Namespace, address: &str, script: Arc<Script>) {
    let listener = space.enter(|| TcpListener::bind(address)).unwrap().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), script) = (stream, Arc::clone(&script)) else { return };
            std::thread::spawn(move || converse(stream, &*script));
        }
    });
}

fn converse(mut stream: TcpStream, script: &Script) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let lower = head.to_ascii_lowercase();
        if lower.contains("expect: 100-continue") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        let mut body = Vec::new();
        if let Some(at) = lower.find("content-length: ") {
            let digits = lower[at + 16..].split("\r\n").next().unwrap();
            body.resize(digits.parse().unwrap(), 0);
            if reader.read_exact(&mut body).is_err() {
                return;
            }
        } else if lower.contains("transfer-encoding: chunked") {
            while !body.ends_with(b"0\r\n\r\n") {
                if reader.read_until(b'\n', &mut body).unwrap_or(0) == 0 {
                    return;
                }
            }
        }
        if !script(&mut stream, &head, &body) {
            return;
        }
    }
}

/// Answers with the request itself: its head and its body.
pub(crate) fn echo(stream: &mut TcpStream, head: &str, body: &[u8]) -> bool {
    let length = head.len() + body.len();
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{head}").into_bytes();
    answer.extend_from_slice(body);
    stream.write_all(&answer).is_ok()
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn server(name: &str, address: &str) -> Server {
    let address = address.parse().unwrap();
    Server { name: name.into(), address, weight: 1, backup: false, check: None }
}

/// One frontend, one backend, short timeouts, log lines by UDP.
pub(crate) fn plan(mode: Mode, servers: Vec<Server>) -> ProxyPlan {
    let target = LogTarget {
        to: LogDestination::Udp(LOG.parse().unwrap()),
        facility: 16,
        max_level: 7,
        min_level: 0,
    };
    let format = if mode == Mode::Http { LogFormat::Http } else { LogFormat::Tcp };
    let log =
        LogSettings { targets: vec![target], format, dont_log_null: true, tag: "haproxy".into() };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let backend = Backend {
        name: "app".into(),
        mode,
        balance: Balance::RoundRobin,
        servers,
        timeouts: ServerTimeouts {
            connect: seconds(1),
            server: seconds(2),
            queue: None,
            tunnel: None,
        },
        retries: 3,
        redispatch: true,
        forward_for: None,
        connection_mode: ConnectionMode::KeepAlive,
        log: LogSettings::default(),
    };
    let frontend = Frontend {
        name: "web".into(),
        mode,
        binds: vec![Bind { address: FRONT.parse().unwrap(), freebind: false }],
        max_connections: None,
        log,
        timeouts: ClientTimeouts {
            client: seconds(10),
            http_request: seconds(1),
            http_keep_alive: seconds(10),
        },
        forward_for: Some(ForwardFor {
            header: "X-Forwarded-For".into(),
            except: None,
            if_none: false,
        }),
        connection_mode: ConnectionMode::KeepAlive,
        use_backends: Vec::new(),
        default_backend: Some("app".into()),
    };
    let process = ProcessSettings { threads: 2, ..ProcessSettings::default() };
    ProxyPlan { process, frontends: vec![frontend], backends: vec![backend] }
}
