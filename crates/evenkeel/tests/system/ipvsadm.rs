//! ipvsadm(8) by its own recordings: what Debian's ipvsadm 1.31 said and did over the kernel's IPVS
//! (Linux 6.1) for these command lines, byte for byte; and what becomes of changes by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use lab::net::{Namespace, Net};
use rustix::process::Signal;
use serde_json::Value;

use crate::alerts::machine;
use crate::duties::{Director, Place, Running, signal_to, within};
use crate::mails::global;

/// Exit code, standard output and standard error.
type Said = (i32, String, String);

/// ipvsadm by its name, for the director of a place.
struct Tool<'a> {
    place: &'a Place,
    path: String,
}

impl Tool<'_> {
    fn new(place: &Place) -> Tool<'_> {
        let path = place.path("ipvsadm");
        symlink(env!("CARGO_BIN_EXE_evenkeel"), &path).unwrap();
        Tool { place, path }
    }

    fn run(&self, line: &str, input: &str) -> Said {
        let mut command = Command::new(&self.path);
        command.args(line.split_whitespace()).env("EVENKEEL_RUNTIME_DIR", self.place.path("run"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that asks for nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let [out, error] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        (output.status.code().unwrap(), out, error)
    }

    fn done(&self, line: &str) -> String {
        let (code, out, error) = self.run(line, "");
        assert_eq!((code, error.as_str()), (0, ""), "{line}");
        out
    }

    fn refused(&self, line: &str) -> String {
        let (code, _, error) = self.run(line, "");
        assert_eq!(code, 255, "{line}: {error}");
        error
    }
}

/// One command line of a recording: `< ` lines are its input, `1 ` and `2 ` what it wrote where, `= `
/// its exit code.
struct Recorded {
    line: String,
    input: String,
    said: Said,
}

fn recording(text: &str) -> Vec<Recorded> {
    let (mut all, mut input, mut current) = (Vec::new(), String::new(), None);
    let (mut out, mut error) = (String::new(), String::new());
    for line in text.lines() {
        let (kind, rest) = line.split_at(2.min(line.len()));
        match (kind, rest.strip_prefix('<')) {
            ("$ ", Some(rest)) => {
                input.push_str(rest.strip_prefix(' ').unwrap_or(rest));
                input.push('\n');
            }
            ("$ ", None) => current = Some(rest.to_owned()),
            ("1 ", _) => out.extend([rest, "\n"]),
            ("2 ", _) => error.extend([rest, "\n"]),
            ("= ", _) => {
                let (out, error) = (std::mem::take(&mut out), std::mem::take(&mut error));
                let said = (rest.parse().unwrap(), out, error);
                let line = current.take().unwrap();
                all.push(Recorded { line, input: std::mem::take(&mut input), said });
            }
            _ => panic!("{line:?} is no line of a recording"),
        }
    }
    all
}

/// A director without a file, and ipvsadm for it.
fn by_hand(namespace: &Namespace, place: &Place) -> Running {
    let mut command = namespace.command(env!("CARGO_BIN_EXE_evenkeel"));
    let pins = format!("/sys/fs/bpf/{}", place.path("").rsplit('/').nth(1).unwrap());
    command.args(["run", "--by-hand", "--foreground", "--runtime-dir", &place.path("run")]);
    command.args(["--pin-dir", &pins]);
    let log = std::fs::File::create(place.path("director.log")).unwrap();
    Running(command.stdin(Stdio::null()).stderr(log).spawn().unwrap())
}

/// The first line of each recording says whether what it is about is there.
fn replay(tag: &str, texts: &[&str]) {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let (net, place) = (Net::new(tag).unwrap(), Place::new(tag));
    let namespace = machine(&net);
    let running = by_hand(&namespace, &place);
    let tool = Tool::new(&place);
    within("the director answers", || tool.run("-Ln", "").0 == 0);
    for text in texts {
        let recorded = recording(text);
        let first = &recorded[0].line;
        let (code, _, error) = tool.run(first, "");
        if code != 0 && error.contains("is not supported by this version") {
            println!("skipped: ipvsadm {first}: {error}");
            continue;
        }
        assert_eq!(code, 0, "ipvsadm {first}: {error}");
        for Recorded { line, input, said } in &recorded[1..] {
            assert_eq!(tool.run(line, input), *said, "ipvsadm {line}\n{input}");
        }
        println!("{} command lines", recorded.len());
    }
    assert!(running.stop().success());
}

#[test]
fn commands_listings_words_and_exit_codes_are_ipvsadms() {
    replay("ipvsadm", &[include_str!("ipvsadm/plain.txt")]);
}

#[test]
fn other_families_protocols_and_marks_are_listed_and_saved_as_ipvsadm_does() {
    let recordings = [
        include_str!("ipvsadm/ipv6.txt"),
        include_str!("ipvsadm/tunnels6.txt"),
        include_str!("ipvsadm/sctp.txt"),
        include_str!("ipvsadm/marks.txt"),
        include_str!("ipvsadm/marks6.txt"),
        include_str!("ipvsadm/ops.txt"),
    ];
    replay("ipvsadmmore", &recordings);
}

const SERVICE: &str = "-t 192.0.2.1:80";

fn configuration(algorithm: &str, more: &str) -> String {
    let server = |last: u8| format!(" real_server 127.0.0.{last} 80 {{\n weight 2\n }}\n");
    format!(
        "{}virtual_server 192.0.2.1 80 {{\n lb_algo {algorithm}\n lb_kind NAT\n protocol TCP\n{}{}}}\n",
        global(more),
        server(11),
        server(12)
    )
}

#[test]
fn changes_by_hand_outlive_a_reload_and_a_killed_director_until_they_are_taken_back() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let (net, place) = (Net::new("byhand").unwrap(), Place::new("byhand"));
    let namespace = machine(&net);
    let timeouts = "lvs_timeouts tcp 600 udp 30\n";
    place.write("keepalived.conf", &configuration("wrr", timeouts));
    let director = Director::start(&namespace, &place);
    let tool = Tool::new(&place);
    let configured = "-A -t 192.0.2.1:80 -s wrr\n-a -t 192.0.2.1:80 -r 127.0.0.11:80 -m -w 2\n\
                      -a -t 192.0.2.1:80 -r 127.0.0.12:80 -m -w 2\n";
    within("the tables are the file's", || tool.run("-Sn", "").1 == configured);
    assert_eq!(tool.done("-L --timeout"), "Timeout (tcp tcpfin udp): 600 120 30\n");

    tool.done(&format!("-e {SERVICE} -r 127.0.0.11:80 -m -w 5 -x 100 -y 50"));
    tool.done(&format!("-d {SERVICE} -r 127.0.0.12:80"));
    tool.done(&format!("-a {SERVICE} -r 127.0.0.13:8080 -m -w 7"));
    tool.done("-A -u 192.0.2.1:53 -s rr -p 60");
    tool.done("-a -u 192.0.2.1:53 -r 127.0.0.14 -m");
    tool.done("--set 0 0 45");
    let changed = "-A -t 192.0.2.1:80 -s wrr\n-a -t 192.0.2.1:80 -r 127.0.0.11:80 -m -w 5\n\
                   -a -t 192.0.2.1:80 -r 127.0.0.13:8080 -m -w 7\n-A -u 192.0.2.1:53 -s rr -p 60\n\
                   -a -u 192.0.2.1:53 -r 127.0.0.14:53 -m -w 1\n";
    assert_eq!(tool.done("-Sn"), changed);
    let thresholds = tool.done("-Ln --thresholds");
    let row = "127.0.0.11:80                100        50         0          0";
    assert!(thresholds.contains(row), "{thresholds}");
    assert!(tool.refused(&format!("-d {SERVICE} -r 127.0.0.12:80")).starts_with("No such dest"));

    place.write("keepalived.conf", &configuration("wlc", timeouts));
    director.running.signal(Signal::HUP);
    director.wait_for_log("reloaded: ");
    let reloaded = changed.replace("-s wrr", "-s wlc");
    assert_eq!(tool.done("-Sn"), reloaded);
    let former = director.pid("director").unwrap();
    signal_to(former, Signal::KILL);
    within("a new director", || director.pid("director").is_some_and(|pid| pid != former));
    within("the changes are there again", || tool.run("-Sn", "").1 == reloaded);
    assert_eq!(tool.done("-L --timeout"), "Timeout (tcp tcpfin udp): 600 120 45\n");

    let status = director.status();
    let services = status["director"]["services"].as_array().unwrap();
    let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(of(&services[1]["changed"]), "added");
    assert_eq!(of(&services[0]["servers"][0]["changed"]), "set by ipvsadm");
    assert_eq!(status["manual"].as_array().unwrap().len(), 5, "{}", status["manual"]);

    // `evenkeel server` and ipvsadm speak of the same servers: the later word counts.
    let evenkeel = |words: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(words.split(' ')).args(["--runtime-dir", &place.path("run")]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    evenkeel("server drain 192.0.2.1:80 127.0.0.13:8080");
    assert!(tool.done("-Sn").contains("127.0.0.13:8080 -m -w 0"));
    tool.done(&format!("-e {SERVICE} -r 127.0.0.13:8080 -m -w 9"));
    assert!(tool.done("-Sn").contains("127.0.0.13:8080 -m -w 9"));
    evenkeel("server add 192.0.2.1:80 127.0.0.15:80");
    assert!(tool.refused(&format!("-a {SERVICE} -r 127.0.0.15:80 -m")).starts_with("Destination"));
    tool.done(&format!("-d {SERVICE} -r 127.0.0.15:80"));
    assert!(!tool.done("-Sn").contains("127.0.0.15"));

    tool.done(&format!("-D {SERVICE}"));
    let left = "-A -u 192.0.2.1:53 -s rr -p 60\n-a -u 192.0.2.1:53 -r 127.0.0.14:53 -m -w 1\n";
    assert_eq!(tool.done("-Sn"), left);
    assert!(evenkeel("status").contains("TCP 192.0.2.1:80 is deleted"));
    let text = evenkeel("server reset TCP 192.0.2.1:80");
    assert_eq!(text, "TCP 192.0.2.1:80 is as the files say\n");
    let as_filed = configured.replace("-s wrr", "-s wlc");
    assert_eq!(tool.done("-Sn"), format!("{as_filed}{left}"));
    let (code, _, said) = tool.run("-C", "");
    assert_eq!(code, 0);
    assert!(said.starts_with("1 virtual server is configured in a file"), "{said}");
    assert_eq!(tool.done("-Sn"), as_filed);
    evenkeel("server reset");
    assert_eq!(tool.done("-L --timeout"), "Timeout (tcp tcpfin udp): 600 120 30\n");
    assert!(evenkeel("server list").contains("nothing is changed"));
    assert!(director.running.stop().success());
}

/// Two networks with a director between: a client in one, a server that says hello in the other.
fn between(net: &Net) -> [Namespace; 2] {
    let [client, director, server] = ["client", "dir", "srv"].map(|it| net.namespace(it).unwrap());
    net.veth((&client, "eth0"), (&director, "eth0")).unwrap();
    net.segment("private", &[(&director, "eth1"), (&server, "eth0")]).unwrap();
    client.ip("addr add 10.1.0.10/24 dev eth0").unwrap();
    director.ip("addr add 10.1.0.1/24 dev eth0").unwrap();
    director.ip("addr add 10.1.0.100/24 dev eth0").unwrap();
    director.ip("addr add 10.2.0.1/24 dev eth1").unwrap();
    director.sysctl("net/ipv4/ip_forward", "1").unwrap();
    server.ip("addr add 10.2.0.11/24 dev eth0").unwrap();
    server.ip("route add default via 10.2.0.1").unwrap();
    let listener = server.enter(|| TcpListener::bind(("10.2.0.11", 80)).unwrap()).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // It stays until the client has gone.
            thread::spawn(move || {
                let mut stream = stream;
                let _ = stream.write_all(b"hello").and_then(|()| stream.read(&mut [0]).map(drop));
            });
        }
    });
    [client, director]
}

/// A connection over which the server has said hello.
fn connect(client: &Namespace) -> std::io::Result<TcpStream> {
    let service = SocketAddr::from(([10, 1, 0, 100], 80));
    let open = || TcpStream::connect_timeout(&service, Duration::from_secs(2));
    let mut stream = client.enter(open).unwrap()?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.read_exact(&mut [0; 5])?;
    Ok(stream)
}

/// The words after the real server's address in a listing.
fn figures(listing: &str) -> Vec<String> {
    let row = listing.lines().find(|line| line.trim().starts_with("-> 10.2.0.11:80"));
    let words = row.unwrap_or_default().split_whitespace().skip(2);
    words.map(str::to_owned).collect()
}

#[test]
fn counters_rates_and_time_outs_are_those_of_real_traffic() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let (net, place) = (Net::new("ipvscount").unwrap(), Place::new("ipvscount"));
    let [client, director] = between(&net);
    let running = by_hand(&director, &place);
    let tool = Tool::new(&place);
    within("the director answers", || tool.run("-Ln", "").0 == 0);
    tool.done("-A -t 10.1.0.100:80 -s rr");
    tool.done("-a -t 10.1.0.100:80 -r 10.2.0.11:80 -m");
    let mut held = connect(&client);
    within("a connection", || {
        if held.is_err() {
            held = connect(&client);
        }
        held.is_ok()
    });
    let counted = |line: &str, place: usize| -> u64 {
        figures(&tool.done(line)).get(place).and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    for _ in 0..20 {
        drop(connect(&client).unwrap());
    }
    within("21 connections are counted", || counted("-Ln --stats", 0) >= 21);
    assert!(counted("-Ln --stats", 3) > 0 && counted("-Ln --stats", 4) > 0, "bytes both ways");
    within("one is active", || counted("-Ln", 2) == 1);
    within("a rate", || {
        drop(connect(&client).unwrap());
        counted("-Ln --rate", 0) > 0 && counted("-Ln --rate", 3) > 0
    });

    tool.done("-Z -t 10.1.0.100:80");
    assert_eq!(counted("-Ln --stats", 0), 0, "{}", tool.done("-Ln --stats"));
    assert_eq!(counted("-Ln", 2), 1, "active connections are no counter");
    drop(connect(&client).unwrap());
    within("it counts on", || counted("-Ln --stats", 0) == 1);
    within("what nobody uses has no rate", || counted("-Ln --rate", 0) == 0);
    tool.done("-Z");
    assert_eq!(counted("-Ln --stats", 0), 0);

    let expires = || {
        let listing = tool.done("-Lnc");
        let row = listing.lines().find(|line| line.contains("ESTABLISHED")).unwrap().to_owned();
        let (minutes, seconds) = row.split_whitespace().nth(1).unwrap().split_once(':').unwrap();
        minutes.parse::<u64>().unwrap() * 60 + seconds.parse::<u64>().unwrap()
    };
    assert!(expires() > 120);
    tool.done("--set 60 0 0");
    assert!(expires() <= 60, "connections that are there too");
    tool.done("--set 2 0 0");
    within("it is forgotten", || !tool.done("-Lnc").contains("ESTABLISHED"));
    within("and no more active", || counted("-Ln", 2) == 0);
    drop(held);
    assert!(running.stop().success());
}
