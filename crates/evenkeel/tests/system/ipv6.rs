//! A pair of directors and nothing but IPv6: keepalived.conf, VRRP, NAT, checks and commands.

use std::io;
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use lab::net::{Namespace, Net};

use crate::site::Site;

const VIRTUAL: &str = "2001:db8::100";
const SERVICE: &str = "[2001:db8::100]:80";

/// One instance on each side, which move together.
const INSTANCES: &str = "
global_defs {
    vrrp_version 3
}
vrrp_sync_group VG {
    group {
        OUTSIDE
        INSIDE
    }
}
vrrp_instance OUTSIDE {
    interface eth0
    virtual_router_id 51
    priority 100
    advert_int 1
    virtual_ipaddress {
        fe80::100:51
        2001:db8::100/64
    }
}
vrrp_instance INSIDE {
    interface eth1
    virtual_router_id 52
    priority 100
    advert_int 1
    virtual_ipaddress {
        fe80::100:52
        2001:db8:1::1/64
    }
}
";

fn configuration(more: &str) -> String {
    let server = |last: u8, weight: u8| {
        format!(
            "    real_server 2001:db8:1::{last} 80 {{\n        weight {weight}\n        HTTP_GET \
             {{\n            url {{\n                path /\n                status_code 200\n            \
             }}\n            connect_timeout 2\n        }}\n    }}\n"
        )
    };
    format!(
        "{INSTANCES}virtual_server {VIRTUAL} 80 {{\n    delay_loop 1\n    lb_algo wrr\n    lb_kind \
         NAT\n    ip_family inet6\n    protocol TCP\n    sorry_server ::1 8081\n{more}{}{}}}\n",
        server(11, 3),
        server(12, 1)
    )
}

/// The networks of [`Site::new`] over IPv6.
struct Six {
    site: Site,
    servers: [Namespace; 2],
}

impl Six {
    fn new(tag: &str) -> Option<Six> {
        if let Some(reason) = lab::net::missing() {
            eprintln!("skipped: {reason}");
            return None;
        }
        Some(Six::build(tag).unwrap_or_else(|error| panic!("the site: {error}")))
    }

    fn build(tag: &str) -> io::Result<Six> {
        let net = Net::new(tag)?;
        let client = net.namespace("client")?;
        let directors = [net.namespace("d1")?, net.namespace("d2")?];
        let servers = [net.namespace("s1")?, net.namespace("s2")?];
        let [d1, d2] = &directors;
        net.segment("public", &[(&client, "eth0"), (d1, "eth0"), (d2, "eth0")])?;
        let [s1, s2] = &servers;
        net.segment("private", &[(d1, "eth1"), (d2, "eth1"), (s1, "eth0"), (s2, "eth0")])?;
        for last in ["10", "11:1"] {
            client.ip(&format!("addr add 2001:db8::{last}/64 dev eth0 nodad"))?;
        }
        for (number, director) in directors.iter().enumerate() {
            director.ip(&format!("addr add 2001:db8::{}/64 dev eth0 nodad", number + 2))?;
            director.ip(&format!("addr add 2001:db8:1::{}/64 dev eth1 nodad", number + 2))?;
            director.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        }
        for (number, server) in servers.iter().enumerate() {
            server.ip(&format!("addr add 2001:db8:1::{}/64 dev eth0 nodad", number + 11))?;
            server.ip("route add default via 2001:db8:1::1")?;
        }
        let site = Site::over(tag, net, client, directors, &servers)?;
        Ok(Six { site, servers })
    }

    fn curl(&self, options: &[&str]) -> io::Result<String> {
        curl(&self.site.client, options)
    }

    /// Which servers answered so many requests.
    fn answers(&self, times: usize, options: &[&str]) -> [usize; 2] {
        let mut counts = [0; 2];
        for _ in 0..times {
            match self.curl(options).as_deref() {
                Ok("s1") => counts[0] += 1,
                Ok("s2") => counts[1] += 1,
                other => panic!("{other:?}\n{}", self.site.logs()),
            }
        }
        counts
    }

    fn holds(&self, number: usize) -> bool {
        let found = self.site.directors[number - 1].ip("-6 -o addr show dev eth0");
        found.is_ok_and(|text| text.contains(&format!("inet6 {VIRTUAL}/")))
    }

    fn until_serving(&self, number: usize) {
        self.site.until(Duration::from_secs(30), "serving", || {
            let status = self.site.status(number);
            let servers = status["director"]["services"][0]["servers"].as_array();
            servers.is_some_and(|all| all.iter().all(|one| one["in_table"] == true))
                && self.holds(number)
                && self.curl(&[]).is_ok()
        });
    }

    fn said(&self, number: usize, words: &[&str]) -> String {
        let output = self.site.ask(number, words).unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{words:?}: {text}");
        text
    }
}

fn curl(client: &Namespace, options: &[&str]) -> io::Result<String> {
    let mut command: Command = client.command("curl");
    command.args(["-s", "-S", "-g", "--max-time", "5"]).args(options);
    let output = command.arg(format!("http://{SERVICE}/")).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_pair_serves_ipv6_and_the_second_director_takes_over() {
    let Some(mut six) = Six::new("pair6") else { return };
    std::fs::write(six.site.directory.join("keepalived.conf"), configuration("")).unwrap();
    six.site.start(1, &[]).unwrap();
    six.until_serving(1);
    assert_eq!(six.answers(40, &[]), [30, 10], "weights 3 and 1");

    let table = six.said(1, &["ipvsadm", "-Ln"]);
    assert!(table.contains("\nTCP  [2001:db8::100]:80 wrr\n"), "{table}");
    assert!(table.contains("\n  -> [2001:db8:1::11]:80          Masq    3 "), "{table}");
    let connections = six.said(1, &["ipvsadm", "-Lnc"]);
    let line = connections.lines().find(|line| line.contains("[2001:db8:1::11]:80"));
    let line = line.unwrap_or_else(|| panic!("{connections}"));
    assert!(line.contains("[2001:db8::100]:80") && line.contains("[2001:db8::"), "{line}");
    assert!(six.said(1, &["status"]).contains("TCP [2001:db8::100]:80"));

    // Drained: nobody new.
    six.said(1, &["server", "drain", SERVICE, "[2001:db8:1::11]:80"]);
    assert_eq!(six.answers(8, &[]), [0, 8]);
    six.said(1, &["server", "ready", SERVICE, "[2001:db8:1::11]:80"]);

    // A reload: clients of one network are one client.
    let persistent = "    persistence_timeout 60\n    persistence_granularity 96\n";
    let file = six.site.directory.join("keepalived.conf");
    std::fs::write(&file, configuration(persistent)).unwrap();
    six.said(1, &["reload"]);
    let [first, second] = six.answers(1, &["--interface", "2001:db8::10"]);
    let together = six.answers(10, &["--interface", "2001:db8::11:1"]);
    assert_eq!(together, [10 * first, 10 * second]);
    let table = six.said(1, &["ipvsadm", "-Ln"]);
    assert!(table.contains("[2001:db8::100]:80 wrr persistent 60 mask 96\n"), "{table}");
    std::fs::write(&file, configuration("")).unwrap();
    six.said(1, &["reload"]);

    six.site.start(2, &[]).unwrap();
    six.site.until(Duration::from_secs(20), "director 2 stands by", || {
        six.site.status(2)["vrrp"]["instances"][0]["state"] == "Backup"
    });
    crate::site::kill(six.site.supervisor(1));
    six.site.until(Duration::from_secs(10), "director 2 takes over", || {
        six.holds(2) && !six.holds(1) && six.curl(&[]).is_ok()
    });
}

#[test]
fn a_sorry_server_at_the_loopback_answers_over_ipv6_while_nobody_else_does() {
    let Some(mut six) = Six::new("sorry6") else { return };
    std::fs::write(six.site.directory.join("keepalived.conf"), configuration("")).unwrap();
    let director = &six.site.directors[0];
    let listener = director.enter(|| TcpListener::bind("[::1]:8081")).unwrap().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = io::Read::read(&mut stream, &mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsorry");
        }
    });
    six.site.start(1, &[]).unwrap();
    six.until_serving(1);
    for server in &six.servers {
        server.ip("link set eth0 down").unwrap();
    }
    six.site.until(Duration::from_secs(20), "the sorry server answers", || {
        six.curl(&[]).is_ok_and(|text| text == "sorry")
    });
    for server in &six.servers {
        server.ip("link set eth0 up").unwrap();
        // What was taken with it.
        let last = if server.name().ends_with("s1") { 11 } else { 12 };
        let _ = server.ip(&format!("addr add 2001:db8:1::{last}/64 dev eth0 nodad"));
        let _ = server.ip("route add default via 2001:db8:1::1");
    }
    six.until_serving(1);
    assert_eq!(six.answers(4, &[]), [3, 1]);
}
