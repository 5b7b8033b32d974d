//! A hundred reloads by SIGHUP under traffic: no address is touched, no advert is late.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use rustix::process::{Pid, Signal, kill_process};

const RELOADS: u32 = 100;
/// The adverts' interval, and how much of it they may be off: most of them, and on a machine that
/// other tests keep busy, each of them.
const INTERVAL: f64 = 1.0;
const OFF: f64 = 0.1;
const OFF_AT_MOST: f64 = 0.5;

fn configuration(weight: u32) -> String {
    format!(
        "
vrrp_instance VI_1 {{
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 1
    virtual_ipaddress {{
        10.9.0.100/24
        10.9.0.101/24 label eth0:1
    }}
    virtual_ipaddress_excluded {{
        10.9.0.102/32
    }}
}}
virtual_server 10.9.0.100 80 {{
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.9.0.50 80 {{
        weight {weight}
    }}
}}
"
    )
}

/// Ended with what it wrote when asked for that, killed when dropped.
struct Listener(Child);

impl Listener {
    fn start(namespace: &Namespace, program: &str, arguments: &[&str]) -> Listener {
        let mut command = namespace.command(program);
        let command = command.args(arguments).stdin(Stdio::null());
        Listener(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn finish(mut self, signal: Signal) -> String {
        let _ = kill_process(Pid::from_child(&self.0), signal);
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Director {
    process: Child,
    files: PathBuf,
}

impl Director {
    fn start(namespace: &Namespace) -> Director {
        let files = std::env::temp_dir().join(namespace.name());
        fs::create_dir_all(&files).unwrap();
        let director = |process| Director { process, files: files.clone() };
        fs::write(files.join("keepalived.conf"), configuration(1)).unwrap();
        let mut command = namespace.command(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(["run", "--foreground", "--keepalived"]).arg(files.join("keepalived.conf"));
        command.arg("--runtime-dir").arg(files.join("run"));
        command.arg("--pin-dir").arg(format!("/sys/fs/bpf/{}", namespace.name()));
        let log = fs::File::create(files.join("log")).unwrap();
        director(command.stdin(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// The number of the configuration in force.
    fn generation(&self) -> u64 {
        let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["status", "--json", "--runtime-dir"])
            .arg(self.files.join("run"))
            .output()
            .unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        status["generation"].as_u64().unwrap_or(0)
    }

    /// Reloads; when something changed, waits until it is in force.
    fn hang_up(&self, weight: u32, changed: bool) {
        fs::write(self.files.join("keepalived.conf"), configuration(weight)).unwrap();
        let before = self.generation();
        kill_process(Pid::from_child(&self.process), Signal::HUP).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while changed && self.generation() == before {
            assert!(Instant::now() < end, "the reload does not end");
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(60));
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.files);
    }
}

fn missing_tool() -> Option<String> {
    ["tcpdump", "ping"].iter().find_map(|tool| {
        let found = Command::new(tool).arg("-V").output().is_ok();
        (!found).then(|| format!("`{tool}` is not installed"))
    })
}

/// Seconds between one advert and the next, from tcpdump's lines.
fn gaps(text: &str) -> Vec<f64> {
    let times: Vec<f64> = text
        .lines()
        .filter(|line| line.contains("VRRPv2"))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn a_hundred_hang_ups_touch_no_address_and_delay_no_advert() {
    if let Some(reason) = lab::net::missing().or_else(missing_tool) {
        println!("skipped: {reason}");
        return;
    }
    let net = Net::new("quiet").unwrap();
    let (ours, peer) = (net.namespace("d").unwrap(), net.namespace("c").unwrap());
    net.veth((&ours, "eth0"), (&peer, "eth0")).unwrap();
    ours.ip("addr add 10.9.0.1/24 dev eth0").unwrap();
    peer.ip("addr add 10.9.0.2/24 dev eth0").unwrap();
    let director = Director::start(&ours);
    let end = Instant::now() + Duration::from_secs(20);
    while !ours.ip("addr show").unwrap().contains("10.9.0.102") || director.generation() == 0 {
        assert!(
            Instant::now() < end,
            "{}",
            fs::read_to_string(director.files.join("log")).unwrap()
        );
        thread::sleep(Duration::from_millis(50));
    }
    let monitor = Listener::start(&ours, "ip", &["monitor", "address"]);
    let adverts =
        Listener::start(&peer, "tcpdump", &["-i", "eth0", "-l", "-n", "-tt", "ip proto 112"]);
    let pings = Listener::start(&peer, "ping", &["-i", "0.01", "-q", "10.9.0.100"]);
    thread::sleep(Duration::from_millis(500));
    for _ in 0..RELOADS {
        director.hang_up(1, false);
    }
    for number in 0..RELOADS / 5 {
        director.hang_up(2 + number, true);
    }
    // Half a file, as an editor leaves it for a moment, gives nothing up.
    fs::write(director.files.join("keepalived.conf"), "# nothing yet\n").unwrap();
    let before = director.generation();
    kill_process(Pid::from_child(&director.process), Signal::HUP).unwrap();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(director.generation(), before);
    let gaps = gaps(&adverts.finish(Signal::TERM));
    let pings = pings.finish(Signal::INT);
    assert_eq!(monitor.finish(Signal::TERM), "");
    assert!(gaps.len() > 5, "{gaps:?}");
    let off = |by: f64| gaps.iter().filter(|gap| (**gap - INTERVAL).abs() > INTERVAL * by).count();
    println!("gaps between adverts: {gaps:?}");
    assert!(off(OFF) <= 1 && off(OFF_AT_MOST) == 0, "{gaps:?}");
    assert!(pings.contains(" 0% packet loss"), "{pings}");
}
