//! DNS_CHECK against dnsmasq.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use lab::net::Namespace;
use model::check::{CheckKind, DnsCheck};

use super::{Bench, target};
use crate::director_role::PATIENCE;

/// A running name server; killed when dropped.
struct NameServer(Child);

impl NameServer {
    /// Knows `www.test`, refuses nothing, asks nobody, and listens at this address.
    fn start(namespace: &Namespace, address: SocketAddr) -> NameServer {
        let mut command = namespace.command("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
        ]);
        command.args(["--pid-file", "--user=root", "--bind-interfaces", "--local=/test/"]);
        command.arg(format!("--listen-address={}", address.ip()));
        command.arg(format!("--port={}", address.port()));
        command.arg("--host-record=www.test,192.0.2.80");
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = NameServer(child);
        let deadline = Instant::now() + PATIENCE;
        // It hears TCP as well.
        while namespace.enter(|| std::net::TcpStream::connect(address)).unwrap().is_err() {
            assert!(Instant::now() < deadline, "dnsmasq does not listen");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        server
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn dns_check_asks_a_name_server() {
    if Command::new("dnsmasq").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: `dnsmasq` is not installed");
        return;
    }
    let Some(bench) = Bench::new("dns") else { return };
    let _server = NameServer::start(&bench.server, target(53));
    let ask = |record_type: u16, name: &str| {
        CheckKind::Dns(DnsCheck { record_type, name: name.to_string() })
    };
    let results = bench.results(vec![
        (ask(1, "www.test"), target(53)),
        (ask(28, "www.test"), target(53)),
        (ask(1, "missing.test"), target(53)),
        // Nobody to ask further.
        (ask(6, "."), target(53)),
        (ask(1, "www.test"), target(54)),
    ]);
    assert_eq!(
        results,
        [
            "true: answered",
            "true: answered",
            "false: answered NXDOMAIN",
            "false: answered REFUSED",
            "false: port unreachable",
        ]
    );
}
