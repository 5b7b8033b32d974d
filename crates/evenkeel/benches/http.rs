//! CPU per request of the proxy role, as a ratio to Debian's haproxy.
//!
//! Both proxies have one thread on CPU 0, one after the other; nginx and wrk share CPU 1. All
//! live in one network namespace, each on ports of its own. Contestants alternate in short
//! rounds; what is printed are medians of the ratios of paired rounds, below 1 is cheaper than
//! haproxy. CPU time is that of all threads of the process, from its schedstat; beside it stands
//! the part spent outside the kernel, which is all that a proxy can save: the kernel's part is the
//! same for everybody, and grows with whatever else the machine does.

#[path = "../tests/system/role.rs"]
#[allow(dead_code)]
mod role;

use std::error::Error;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use model::control::{FromRole, RolePlan, RoleReport, ToRole};
use model::proxy::{
    Backend, Balance, Bind, ClientTimeouts, ConnectionMode, Frontend, LogSettings, Mode,
    ProcessSettings, ProxyPlan, Server, ServerTimeouts,
};
use role::RoleProcess;
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ORIGIN: &str = "127.0.0.1:8081";
const HAPROXY: &str = "127.0.0.1:8082";
const OURS: &str = "127.0.0.1:8083";
/// Seconds of one round.
const ROUND: &str = "1";
const STARTUP: Duration = Duration::from_secs(10);

/// One kind of traffic.
struct Load {
    name: &'static str,
    connections: &'static str,
    path: &'static str,
    close: bool,
    rounds: usize,
}

const LOADS: [Load; 4] = [
    Load {
        name: "keep-alive, 64 connections",
        connections: "64",
        path: "/small",
        close: false,
        rounds: 9,
    },
    Load {
        name: "keep-alive, 512 connections",
        connections: "512",
        path: "/small",
        close: false,
        rounds: 9,
    },
    Load {
        name: "connection per request, 64",
        connections: "64",
        path: "/small",
        close: true,
        rounds: 9,
    },
    Load {
        name: "1 MiB bodies, 16 connections",
        connections: "16",
        path: "/large",
        close: false,
        rounds: 5,
    },
];

fn main() {
    if let Some(reason) = lab::net::missing().or_else(missing_tool) {
        println!("skipped: {reason}");
        return;
    }
    if let Err(error) = run() {
        eprintln!("http bench: {error}");
        std::process::exit(1);
    }
}

fn missing_tool() -> Option<String> {
    ["nginx", "haproxy", "wrk", "taskset"].iter().find_map(|tool| {
        let found =
            Command::new(tool).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_err().then(|| format!("`{tool}` is not installed"))
    })
}

/// Killed when dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run() -> Result<()> {
    let net = Net::new("bench")?;
    let space = net.namespace("http")?;
    space.ip("link set lo up")?;
    // Connections per request leave many ports in TIME_WAIT.
    space.sysctl("net/ipv4/ip_local_port_range", "10000 65000")?;
    space.sysctl("net/ipv4/tcp_tw_reuse", "1")?;
    let directory = std::env::temp_dir().join(format!("evenkeel-bench-{}", std::process::id()));
    fs::create_dir_all(directory.join("html"))?;
    let measured = contest(&space, &directory);
    fs::remove_dir_all(&directory)?;
    let results = measured?;
    let out = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../out/bench");
    fs::create_dir_all(&out)?;
    fs::write(out.join("http.json"), serde_json::to_vec_pretty(&json!({ "http": results }))?)?;
    Ok(())
}

fn contest(space: &Namespace, directory: &Path) -> Result<Vec<serde_json::Value>> {
    let _nginx = start_nginx(space, directory)?;
    let haproxy = start_haproxy(space, directory)?;
    let (_role, ours) = start_ours(space)?;
    for address in [ORIGIN, HAPROXY, OURS] {
        wait_for(space, address)?;
    }
    pin(ours)?;
    let contestants = [(HAPROXY, haproxy.0.id()), (OURS, ours)];
    println!(
        "{:<30} {:>9} {:>20} {:>20} {:>12}",
        "", "ratio", "haproxy (user)", "evenkeel (user)", "requests/s"
    );
    let mut results = Vec::new();
    for load in &LOADS {
        let mut rounds: Vec<[Round; 2]> = Vec::new();
        // The first round warms up.
        for at in 0..=load.rounds {
            let mut pair = [Round::default(); 2];
            for turn in 0..2 {
                // Who goes first alternates too.
                let who = (turn + at) % 2;
                let (address, pid) = contestants[who];
                pair[who] = round(space, load, address, pid)?;
            }
            if at > 0 {
                rounds.push(pair);
            }
        }
        let ratio = median(rounds.iter().map(|[peer, ours]| ours.cost() / peer.cost()).collect());
        let peer = median(rounds.iter().map(|pair| pair[0].cost()).collect());
        let ours = median(rounds.iter().map(|pair| pair[1].cost()).collect());
        let rate = median(rounds.iter().map(|pair| pair[1].rate).collect());
        // The kernel counts it in ticks, too coarse for one round.
        let user = [0, 1].map(|who| {
            let sum = |field: fn(&Round) -> f64| rounds.iter().map(|pair| field(&pair[who])).sum();
            let (user, requests): (f64, f64) = (sum(|r| r.user_us), sum(|r| r.requests));
            user / requests
        });
        println!(
            "{:<30} {ratio:>9.2} {peer:>8.2} ({:>5.2}) us {ours:>8.2} ({:>5.2}) us {rate:>12.0}",
            load.name, user[0], user[1]
        );
        results.push(json!({
            "load": load.name, "ratio": ratio, "rounds": load.rounds,
            "haproxy_cpu_us_per_request": peer, "evenkeel_cpu_us_per_request": ours,
            "haproxy_user_us_per_request": user[0], "evenkeel_user_us_per_request": user[1],
            "evenkeel_requests_per_second": rate,
        }));
    }
    Ok(results)
}

#[derive(Clone, Copy, Default)]
struct Round {
    requests: f64,
    cpu_us: f64,
    user_us: f64,
    rate: f64,
}

impl Round {
    fn cost(&self) -> f64 {
        self.cpu_us / self.requests
    }
}

fn round(space: &Namespace, load: &Load, address: &str, pid: u32) -> Result<Round> {
    let before = cpu_us(pid)?;
    let user_before = user_us(pid)?;
    let mut wrk = space.command("taskset");
    wrk.args(["-c", "1", "wrk", "-t1", "-c", load.connections, "-d", ROUND]);
    if load.close {
        wrk.args(["-H", "Connection: close"]);
    }
    wrk.arg(format!("http://{address}{}", load.path));
    let output = wrk.output()?;
    let text = String::from_utf8(output.stdout)?;
    let cpu_us = cpu_us(pid)? - before;
    let user_us = user_us(pid)? - user_before;
    if text.contains("Non-2xx") || text.contains("Socket errors: connect") {
        return Err(format!("requests failed at {address}: {text}").into());
    }
    let find = |word: &str, at: usize| {
        let line = text.lines().find(|line| line.contains(word));
        line.and_then(|line| line.split_whitespace().nth(at)?.parse::<f64>().ok())
    };
    let requests = find("requests in", 0).ok_or_else(|| format!("wrk says: {text}"))?;
    let rate = find("Requests/sec:", 1).unwrap_or_default();
    Ok(Round { requests, cpu_us, user_us, rate })
}

/// Microseconds on a CPU, all threads of the process together.
fn cpu_us(pid: u32) -> Result<f64> {
    let mut nanos = 0u64;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split_whitespace().next().unwrap_or("0").parse::<u64>()?;
    }
    Ok(nanos as f64 / 1000.0)
}

/// Microseconds outside the kernel: field 14 of the process's stat, in ticks of 10 ms.
fn user_us(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(')').ok_or("an odd stat file")?;
    let ticks = fields.split_whitespace().nth(11).ok_or("a short stat file")?;
    Ok(ticks.parse::<f64>()? * 10_000.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn start_nginx(space: &Namespace, directory: &Path) -> Result<Peer> {
    fs::write(directory.join("html/small"), "Hello from the origin server.\n")?;
    fs::write(directory.join("html/large"), vec![b'x'; 1 << 20])?;
    let place = directory.display();
    let text = format!(
        "daemon off; master_process off; worker_processes 1; pid {place}/pid; error_log /dev/null;
         events {{ worker_connections 8192; }}
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
           client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place};
           uwsgi_temp_path {place}; scgi_temp_path {place};
           server {{ listen {ORIGIN}; root {place}/html; }} }}"
    );
    fs::write(directory.join("nginx.conf"), text)?;
    let mut command = space.command("taskset");
    command
        .args(["-c", "1", "nginx", "-p"])
        .arg(directory)
        .arg("-c")
        .arg(directory.join("nginx.conf"));
    Ok(Peer(command.stderr(Stdio::null()).spawn()?))
}

fn start_haproxy(space: &Namespace, directory: &Path) -> Result<Peer> {
    let text = format!(
        "global\n  nbthread 1\n  maxconn 4000\ndefaults\n  mode http\n  timeout connect 5s\n  \
         timeout client 30s\n  timeout server 30s\nfrontend f\n  bind {HAPROXY}\n  \
         default_backend b\nbackend b\n  server s1 {ORIGIN}\n"
    );
    let file = directory.join("haproxy.cfg");
    fs::write(&file, text)?;
    let mut command = space.command("taskset");
    command.args(["-c", "0", "haproxy", "-db", "-f"]).arg(file);
    Ok(Peer(command.stderr(Stdio::null()).spawn()?))
}

fn start_ours(space: &Namespace) -> Result<(RoleProcess, u32)> {
    let address: SocketAddr = OURS.parse()?;
    let mut role = RoleProcess::start(space, "proxy")?;
    role.hello("/nowhere", Vec::new());
    let sockets = space.enter(|| edge::listen::tcp(address, 1, false))??;
    let message = ToRole::Configure {
        generation: 1,
        plan: RolePlan::Proxy(plan(address)?),
        listeners: vec![address],
    };
    role.send(&message, sockets);
    match role.receive(STARTUP) {
        Some(FromRole::Configured { error: None, .. }) => {}
        other => return Err(format!("the proxy role answers {other:?}").into()),
    }
    let RoleReport::Proxy(report) = role.report() else { return Err("not a proxy".into()) };
    Ok((role, report.pid))
}

fn plan(address: SocketAddr) -> Result<ProxyPlan> {
    let server = Server {
        name: "s1".into(),
        address: ORIGIN.parse()?,
        weight: 1,
        backup: false,
        check: None,
    };
    let timeouts = ServerTimeouts {
        connect: Some(Duration::from_secs(5)),
        server: Some(Duration::from_secs(30)),
        queue: None,
        tunnel: None,
    };
    let backend = Backend {
        name: "b".into(),
        mode: Mode::Http,
        balance: Balance::RoundRobin,
        servers: vec![server],
        timeouts,
        retries: 3,
        redispatch: false,
        forward_for: None,
        connection_mode: ConnectionMode::KeepAlive,
        log: LogSettings::default(),
    };
    let client = Some(Duration::from_secs(30));
    let frontend = Frontend {
        name: "f".into(),
        mode: Mode::Http,
        binds: vec![Bind { address, freebind: false }],
        max_connections: None,
        log: LogSettings::default(),
        timeouts: ClientTimeouts { client, http_request: None, http_keep_alive: None },
        forward_for: None,
        connection_mode: ConnectionMode::KeepAlive,
        use_backends: Vec::new(),
        default_backend: Some("b".into()),
    };
    let process = ProcessSettings { max_connections: Some(4000), ..ProcessSettings::default() };
    Ok(ProxyPlan { process, frontends: vec![frontend], backends: vec![backend] })
}

fn pin(pid: u32) -> Result<()> {
    let pid = pid.to_string();
    let done = Command::new("taskset")
        .args(["-a", "-p", "-c", "0", &pid])
        .stdout(Stdio::null())
        .status()?;
    if done.success() { Ok(()) } else { Err("taskset failed".into()) }
}

fn wait_for(space: &Namespace, address: &str) -> Result<()> {
    let deadline = Instant::now() + STARTUP;
    while space.enter(|| TcpStream::connect(address))?.is_err() {
        if Instant::now() > deadline {
            return Err(format!("nobody listens on {address}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
