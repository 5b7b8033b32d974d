//! `evenkeel doctor` on a good lab, and on one with one thing set wrong at a time.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use model::layer4::{Endpoint, Layer4Plan, Protocol, RealServer, ServiceKey, VirtualServer};
use serde_json::Value;

use crate::director_role::{DirectorRole, PATIENCE, Pins};

const NAT: &str = "\
vrrp_instance WEB {
    state BACKUP
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {
        10.1.0.100/24
    }
}
virtual_server 10.1.0.100 80 {
    lb_algo wrr
    lb_kind NAT
    real_server 10.2.0.11 80 {
        weight 1
    }
    real_server 10.2.0.12 80 {
        weight 1
    }
}
";

/// The same by direct routing: the real servers beside the clients.
fn direct() -> String {
    NAT.replace("NAT", "DR").replace("10.2.0.1", "10.1.0.1")
}

/// A client, a director, two real servers; a cable to the client, a switch to the servers.
struct Ward {
    client: Namespace,
    director: Namespace,
    switch: Namespace,
    file: PathBuf,
    servers: [Namespace; 2],
    _net: Net,
}

impl Ward {
    fn new(tag: &str, configuration: &str) -> Option<Ward> {
        if let Some(reason) = lab::net::missing() {
            println!("skipped: {reason}");
            return None;
        }
        let net = Net::new(tag).unwrap();
        let (client, director) = (net.namespace("client").unwrap(), net.namespace("dir").unwrap());
        let servers = ["a", "b"].map(|name| net.namespace(name).unwrap());
        net.veth((&client, "eth0"), (&director, "eth0")).unwrap();
        let members = [(&director, "eth1"), (&servers[0], "eth0"), (&servers[1], "eth0")];
        let switch = net.segment("private", &members).unwrap();
        client.ip("addr add 10.1.0.10/24 dev eth0").unwrap();
        director.ip("addr add 10.1.0.1/24 dev eth0").unwrap();
        director.ip("addr add 10.2.0.1/24 dev eth1").unwrap();
        for (server, last) in servers.iter().zip([11, 12]) {
            server.ip(&format!("addr add 10.2.0.{last}/24 dev eth0")).unwrap();
            client.ip(&format!("addr add 10.1.0.{last}/24 dev eth0")).unwrap();
        }
        director.sysctl("net/ipv4/ip_forward", "1").unwrap();
        director.sysctl("net/ipv4/conf/all/rp_filter", "0").unwrap();
        for interface in ["eth0", "eth1"] {
            director.sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "0").unwrap();
        }
        let file = std::env::temp_dir().join(format!("ek-{tag}-{}.conf", std::process::id()));
        std::fs::write(&file, configuration).unwrap();
        Some(Ward { client, director, switch, file, servers, _net: net })
    }

    fn doctor(&self, options: &[&str]) -> Output {
        let mut command = self.director.command(env!("CARGO_BIN_EXE_evenkeel"));
        command.arg("doctor").arg(&self.file).args(options).output().unwrap()
    }

    fn report(&self, options: &[&str]) -> (Value, bool) {
        let output = self.doctor(&[&["--format", "json"], options].concat());
        let report = serde_json::from_slice(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        (report.unwrap_or_else(|error| panic!("{error}: {errors}")), output.status.success())
    }

    /// `CODE PLACE` of the errors and warnings that hang on the lab and not on the machine under it.
    fn found(&self) -> Vec<String> {
        self.found_with(&[])
    }

    fn found_with(&self, options: &[&str]) -> Vec<String> {
        let (report, good) = self.report(options);
        let bad: Vec<&Value> = findings(&report).filter(|one| one["severity"] != "note").collect();
        assert_eq!(good, bad.iter().all(|one| one["severity"] != "error"), "{bad:?}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let named = bad.iter().map(|one| (text(&one["code"]), text(&one["place"])));
        let of_machine = ["real-time", "clock", "descriptors", "capability", "neighbour-table"];
        let of_lab = named.filter(|(code, _)| !of_machine.contains(&code.as_str()));
        of_lab.map(|(code, place)| format!("{code} {place}")).collect()
    }

    /// Breaks something; the doctor names exactly this, mends it when told to, and is content.
    fn mends(&self, breach: impl FnOnce(), expected: &[&str]) {
        breach();
        assert_eq!(self.found(), expected);
        let (report, _) = self.report(&["--fix"]);
        let done = report["done"].as_array().unwrap();
        assert!(!done.is_empty() && report["failed"].as_array().unwrap().is_empty(), "{report}");
        assert_eq!(self.found(), [""; 0], "after {done:?}");
    }

    /// Breaks something that is not the doctor's to mend, and takes it back.
    fn names(&self, breach: impl FnOnce(), cure: impl FnOnce(), expected: &[&str]) {
        breach();
        assert_eq!(self.found(), expected);
        let (report, _) = self.report(&["--fix"]);
        assert!(report["done"].as_array().unwrap().is_empty(), "{report}");
        cure();
        assert_eq!(self.found(), [""; 0]);
    }

    /// Where [`Pins`] of its director are.
    fn pin_directory(&self) -> PathBuf {
        PathBuf::from("/sys/fs/bpf").join(self.director.name())
    }

    fn ip(&self, arguments: &str) {
        self.director.ip(arguments).unwrap();
    }

    fn sysctl(&self, key: &str, value: &str) {
        self.director.sysctl(key, value).unwrap();
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn findings(report: &Value) -> impl Iterator<Item = &Value> {
    report["findings"].as_array().unwrap().iter()
}

fn ethtool(namespace: &Namespace, words: &[&str]) {
    let done = namespace.command("ethtool").arg("-K").args(words).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_good_lab_is_found_good_and_is_left_as_it_is() {
    let Some(ward) = Ward::new("drgood", NAT) else { return };
    assert_eq!(ward.found(), [""; 0]);
    let (report, good) = ward.report(&["--fix"]);
    assert!(good);
    let fine: Vec<&str> =
        report["fine"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for line in
        ["eth0: native XDP (a veth)", "eth1: native XDP (a veth)", "net.ipv4.ip_forward is 1"]
    {
        assert!(fine.contains(&line), "{line} is not in {fine:?}");
    }
    assert!(findings(&report).any(|one| one["code"] == "real-servers-nat"));
}

#[test]
fn each_kernel_parameter_that_is_set_wrong_is_named_and_mended() {
    let Some(ward) = Ward::new("drsys", NAT) else { return };
    let strict = "net/ipv4/conf/eth1/rp_filter";
    ward.mends(|| ward.sysctl(strict, "1"), &["rp-filter net/ipv4/conf/eth1/rp_filter"]);
    ward.mends(|| ward.sysctl("net/ipv4/ip_forward", "0"), &["ip-forward net/ipv4/ip_forward"]);
    let one = "net/ipv4/conf/eth1/forwarding";
    ward.mends(|| ward.sysctl(one, "0"), &["forwarding net/ipv4/conf/eth1/forwarding"]);
    // Clients of other networks come in by eth0; the way back to them is now another.
    ward.ip("route add default via 10.2.0.11");
    ward.mends(
        || ward.sysctl("net/ipv4/conf/eth0/rp_filter", "1"),
        &["rp-filter net/ipv4/conf/eth0/rp_filter"],
    );
}

#[test]
fn each_offload_that_is_set_wrong_is_named_and_mended() {
    let Some(ward) = Ward::new("droff", NAT) else { return };
    let port = |words: [&str; 2]| ethtool(&ward.switch, &["port0", words[0], words[1]]);
    ward.mends(|| port(["tx", "on"]), &["peer-checksum eth1"]);
    // The port has a program of the lab, which does what GRO would: one without is needed.
    ward.mends(|| ethtool(&ward.client, &["eth0", "gro", "off"]), &["peer-gro eth0"]);
    let said = ward.doctor(&["--fix"]);
    assert!(said.status.success());
    port(["tx", "on"]);
    let text = String::from_utf8_lossy(&ward.doctor(&[]).stdout).into_owned();
    assert!(text.contains("ethtool -K port0 tx off"), "{text}");
}

#[test]
fn arp_of_a_virtual_address_on_the_loopback_is_named_and_mended() {
    let Some(ward) = Ward::new("drarp", &direct()) else { return };
    assert_eq!(ward.found(), [""; 0]);
    ward.mends(
        || ward.ip("addr add 10.1.0.100/32 dev lo"),
        &[
            "arp-ignore net/ipv4/conf/eth0/arp_ignore",
            "arp-announce net/ipv4/conf/eth0/arp_announce",
        ],
    );
}

#[test]
fn interfaces_and_ways_that_are_wrong_are_named() {
    let Some(ward) = Ward::new("drlink", NAT) else { return };
    let mtu = |bytes: u32| ward.ip(&format!("link set eth1 mtu {bytes}"));
    ward.names(|| mtu(1400), || mtu(1500), &["mtu eth1"]);
    ward.names(|| ward.ip("link set eth0 down"), || ward.ip("link set eth0 up"), &["down eth0"]);
    ward.names(|| ward.ip("link set eth1 down"), || ward.ip("link set eth1 up"), &["down eth1"]);
    ward.names(
        || ward.ip("addr del 10.2.0.1/24 dev eth1"),
        || ward.ip("addr add 10.2.0.1/24 dev eth1"),
        &["no-route 10.2.0.11"],
    );
    ward.names(
        || ward.ip("link set eth0 name lan0"),
        || ward.ip("link set lan0 name eth0"),
        &["no-interface eth0"],
    );
}

#[test]
fn a_server_by_direct_routing_behind_a_gateway_is_named() {
    let Some(ward) = Ward::new("drgate", &direct()) else { return };
    ward.names(
        || ward.ip("route add 10.1.0.11/32 via 10.1.0.10"),
        || ward.ip("route del 10.1.0.11/32"),
        &["not-on-link 10.1.0.10"],
    );
}

#[test]
fn another_xdp_program_is_named_and_never_taken_off() {
    let Some(ward) = Ward::new("drxdp", NAT) else { return };
    let foreign = ward.director.enter(|| edge::xdp_pass::attach("eth1")).unwrap().unwrap();
    assert_eq!(ward.found(), ["foreign-xdp eth1"]);
    let (report, good) = ward.report(&["--fix"]);
    assert!(!good && findings(&report).any(|one| one["code"] == "foreign-xdp"), "{report}");
    drop(foreign);
    assert_eq!(ward.found(), [""; 0]);
}

#[test]
fn the_largest_packets_of_native_programs_are_known() {
    let Some(ward) = Ward::new("drpage", NAT) else { return };
    // A veth takes in what its other end sends, so it is the other end's that counts.
    let attach = |bytes: u32| {
        ward.switch.ip(&format!("link set port0 mtu {bytes}")).unwrap();
        ward.director.enter(|| edge::xdp_pass::attach("eth1").map(drop)).unwrap()
    };
    if cfg!(not(target_arch = "x86_64")) {
        println!("skipped: pages of other machines may have more than 4096 bytes");
        return;
    }
    attach(3506).unwrap();
    assert_eq!(ward.found(), [""; 0]);
    let refused = attach(3507).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ERANGE));
    assert_eq!(ward.found(), ["mtu-native eth1"]);
}

#[test]
fn a_packet_filter_that_keeps_adverts_out_is_named() {
    let Some(ward) = Ward::new("drnft", NAT) else { return };
    let nft = |command: &str| {
        let done = ward.director.command("nft").arg(command).output();
        done.is_ok_and(|output| output.status.success())
    };
    if !nft("add table inet t") {
        println!("skipped: `nft` is not installed, or the kernel has no nf_tables");
        return;
    }
    let closed = "add chain inet t in { type filter hook input priority 0; policy drop; }";
    assert!(nft(closed));
    assert!(
        nft("add rule inet t in ct state established accept")
            || nft("add rule inet t in tcp dport 22 accept")
    );
    assert_eq!(ward.found(), ["firewall-vrrp nftables inet t in"]);
    assert!(nft("add rule inet t in ip protocol 112 accept"));
    assert_eq!(ward.found(), [""; 0]);
}

/// The service of [`NAT`] with one real server, as the director role gets it.
fn service() -> Layer4Plan {
    let (address, protocol) = ([10, 1, 0, 100].into(), Protocol::Tcp);
    let mut service = VirtualServer::new(ServiceKey::Address { address, port: 80, protocol });
    let endpoint = Endpoint { address: [10, 2, 0, 11].into(), port: 80 };
    service.real_servers = vec![RealServer::new(endpoint)].into();
    let interfaces = vec!["eth0".into()];
    Layer4Plan { virtual_servers: vec![service], interfaces, ..Default::default() }
}

/// Connects to the service and reads what its real server says.
fn fetch() -> std::io::Result<String> {
    let to = ([10, 1, 0, 100], 80).into();
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(1500))?;
    stream.set_read_timeout(Some(Duration::from_millis(1500)))?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

#[test]
fn what_it_calls_an_error_stops_clients_and_what_it_mends_lets_them_through() {
    let Some(ward) = Ward::new("dreffect", NAT) else { return };
    ward.ip("addr add 10.1.0.100/24 dev eth0");
    ward.servers[0].ip("route add default via 10.2.0.1").unwrap();
    let listen = || TcpListener::bind("10.2.0.11:80");
    let listener = ward.servers[0].enter(listen).unwrap().unwrap();
    // It ends with the process; its namespace does not wait for it.
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(b"served");
        }
    });
    let pins = Pins::new(&ward.director);
    let role = DirectorRole::start(&ward.director, &pins, service());
    let served = || ward.client.enter(fetch).unwrap().is_ok_and(|said| said == "served");
    let comes_through = || {
        let deadline = Instant::now() + PATIENCE;
        while !served() {
            assert!(Instant::now() < deadline, "no client is served");
        }
    };
    comes_through();
    let client = |words: [&str; 2]| ethtool(&ward.client, &["eth0", words[0], words[1]]);
    let breaches: [(&dyn Fn(), &str); 3] = [
        (&|| ward.sysctl("net/ipv4/ip_forward", "0"), "ip-forward net/ipv4/ip_forward"),
        (&|| client(["gro", "off"]), "peer-gro eth0"),
        (&|| client(["tx", "on"]), "peer-checksum eth0"),
    ];
    for (breach, expected) in breaches {
        breach();
        assert!(!served(), "{expected}: clients are served all the same");
        ward.mends(|| (), &[expected]);
        comes_through();
    }
    role.stop();
}

#[test]
fn what_a_running_director_has_attached_is_told() {
    let Some(ward) = Ward::new("drrun", NAT) else { return };
    let pins = Pins::new(&ward.director);
    let role = DirectorRole::start(&ward.director, &pins, service());
    // Not another program, but ours, and in the driver.
    assert_eq!(ward.found(), [""; 0]);
    let (report, _) = ward.report(&[]);
    let native = |one: &Value| one == "eth0: native XDP (a veth)";
    assert!(report["fine"].as_array().unwrap().iter().any(native), "{report}");

    let links = ward.pin_directory().join("links");
    for link in std::fs::read_dir(links).unwrap() {
        edge::bpf::detach_link(&link.unwrap().path()).unwrap();
    }
    assert_eq!(ward.found(), ["not-attached eth0", "not-attached eth1"]);
    role.kill();
    assert_eq!(ward.found(), [""; 0], "what does not run need not have attached");
}

const FRONTEND: &str = "
defaults
    mode tcp
    timeout connect 2s
    timeout client 30s
    timeout server 30s
frontend web
    bind 10.1.0.1:8080
    default_backend app
backend app
    server app1 10.2.0.11:80
";

/// `evenkeel run`; ended in order when dropped.
struct Run {
    child: Child,
    directory: PathBuf,
}

impl Run {
    fn start(ward: &Ward, second: &str) -> Run {
        let directory = std::env::temp_dir().join(ward.director.name());
        let mut command = ward.director.command(env!("CARGO_BIN_EXE_evenkeel"));
        command.arg("run").arg("-f").arg(&ward.file).arg(second);
        command.arg("--runtime-dir").arg(&directory).arg("--pin-dir").arg(ward.pin_directory());
        command.args(["--foreground"]).stdout(Stdio::null()).stderr(Stdio::null());
        Run { child: command.spawn().unwrap(), directory }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn a_port_of_another_program_is_named_and_our_own_is_not() {
    let Some(ward) = Ward::new("drport", NAT) else { return };
    let second = ward.file.with_extension("cfg");
    std::fs::write(&second, FRONTEND).unwrap();
    let second = second.to_str().unwrap();
    let bind = || TcpListener::bind("10.1.0.1:8080");
    let taken = ward.director.enter(bind).unwrap().unwrap();
    assert_eq!(ward.found_with(&[second]), ["port-taken 10.1.0.1:8080"]);
    drop(taken);
    assert_eq!(ward.found_with(&[second]), [""; 0]);

    let _pins = Pins::new(&ward.director);
    let running = Run::start(&ward, second);
    let connect = || TcpStream::connect("10.1.0.1:8080").is_ok();
    let deadline = Instant::now() + PATIENCE;
    let attached = || ward.found_with(&[second]) == [""; 0];
    while !(ward.director.enter(connect).unwrap() && attached()) {
        assert!(Instant::now() < deadline, "{:?}", ward.found_with(&[second]));
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(running);
    let _ = std::fs::remove_file(second);
}
