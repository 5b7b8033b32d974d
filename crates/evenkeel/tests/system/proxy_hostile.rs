//! The proxy role: peers that cut, stall, overdo and break off.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use model::proxy::{Account, LogDestination, Mode};

use crate::proxy_role::{PATIENCE, Scene, echo, eventually, plan, serve, server};

const ONE: &str = "127.0.0.1:8101";

fn skipped() -> bool {
    let reason = lab::net::missing();
    if let Some(reason) = &reason {
        println!("skipped: {reason}");
    }
    reason.is_some()
}

/// Small numbers without pattern (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % bound
    }

    /// Writes bytes in pieces of any size, with pauses of any length.
    fn write(&mut self, stream: &mut TcpStream, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let most = [3, 60, 900, 20_000][self.below(4)];
            let (piece, rest) = bytes.split_at((1 + self.below(most)).min(bytes.len()));
            if stream.write_all(piece).is_err() {
                return false;
            }
            bytes = rest;
            if self.below(3) == 0 {
                std::thread::sleep(Duration::from_micros(self.below(700) as u64));
            }
        }
        true
    }

    fn chunks(&mut self, mut content: &[u8]) -> Vec<u8> {
        let mut coded = Vec::new();
        while !content.is_empty() {
            let (chunk, rest) = content.split_at((1 + self.below(400)).min(content.len()));
            let extension = ["", ";a=b", " "][self.below(3)];
            coded.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
            coded.extend_from_slice(chunk);
            coded.extend_from_slice(b"\r\n");
            content = rest;
        }
        coded.extend_from_slice(b"0\r\n\r\n");
        coded
    }
}

/// Answers in the way the path asks for; the content is the path and the request's body.
fn answer_as_asked(stream: &mut TcpStream, head: &str, body: &[u8]) -> bool {
    let path = head.split(' ').nth(1).unwrap();
    let mut parts = path.split('/').skip(1);
    let (kind, seed) = (parts.next().unwrap(), parts.next().unwrap());
    let mut dice = Dice(seed.parse::<u64>().unwrap() * 2 + 1);
    let content = [path.as_bytes(), body].concat();
    let length = content.len();
    let sized = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n");
    let mut bytes = match kind {
        "chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        "early" => format!("HTTP/1.1 103 Hint\r\nLink: x\r\n\r\n{}\r\n", sized("200 OK")).into(),
        "none" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "same" => format!("{}\r\n", sized("304 Not Modified")).into(),
        "last" => format!("{}Connection: close\r\n\r\n", sized("200 OK")).into(),
        _ => format!("{}\r\n", sized("200 OK")).into(),
    };
    match kind {
        "chunked" => bytes.extend(dice.chunks(&content)),
        "none" | "same" | "head" => {}
        _ => bytes.extend_from_slice(&content),
    }
    dice.write(stream, &bytes) && kind != "last"
}

/// One request of the session, and the content its answer must have.
fn request(dice: &mut Dice, number: usize, last: bool) -> (Vec<u8>, Vec<u8>) {
    let kinds = ["sized", "chunked", "early", "none", "same", "last", "head"];
    let kind = kinds[dice.below(kinds.len())];
    let path = format!("/{kind}/{}/{number}", dice.below(10_000));
    let content: Vec<u8> = (0..dice.below(3_000)).map(|_| b'a' + dice.below(26) as u8).collect();
    let end = if last { "Connection: close\r\n" } else { "" };
    let (method, framing, body) = match dice.below(3) {
        _ if kind == "head" => ("HEAD", String::new(), Vec::new()),
        0 => ("GET", String::new(), Vec::new()),
        1 => ("POST", format!("Content-Length: {}\r\n", content.len()), content),
        _ => ("PUT", "Transfer-Encoding: chunked\r\n".into(), dice.chunks(&content)),
    };
    let mut bytes =
        format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{end}{framing}\r\n").into_bytes();
    bytes.extend_from_slice(&body);
    let expected = match kind {
        "none" | "same" | "head" => Vec::new(),
        _ => [path.into_bytes(), body].concat(),
    };
    (bytes, expected)
}

/// The content of the next final answer, as a strict client reads it, and what is behind it.
fn next_answer(mut bytes: &[u8], to_head: bool) -> (Vec<u8>, &[u8]) {
    let find = |bytes: &[u8], what: &[u8]| {
        bytes.windows(what.len()).position(|window| window == what).expect("all of it") + what.len()
    };
    loop {
        let (head, rest) = bytes.split_at(find(bytes, b"\r\n\r\n"));
        let head = String::from_utf8(head.to_vec()).unwrap();
        assert!(head.starts_with("HTTP/1.1 "), "{head}");
        let status = &head[9..12];
        bytes = rest;
        if status == "103" {
            continue;
        }
        if to_head || status == "204" || status == "304" {
            return (Vec::new(), bytes);
        }
        assert_eq!(status, "200", "{head}");
        if let Some((_, length)) = head.split_once("Content-Length: ") {
            let length = length.split("\r\n").next().unwrap().parse().unwrap();
            let (content, rest) = bytes.split_at(length);
            return (content.to_vec(), rest);
        }
        let mut content = Vec::new();
        loop {
            let (line, rest) = bytes.split_at(find(bytes, b"\r\n"));
            let line = String::from_utf8(line.to_vec()).unwrap();
            let digits = line.trim_end().split(';').next().unwrap().trim();
            let length = usize::from_str_radix(digits, 16).unwrap();
            content.extend_from_slice(&rest[..length]);
            assert_eq!(&rest[length..length + 2], b"\r\n");
            bytes = &rest[length + 2..];
            if length == 0 {
                return (content, bytes);
            }
        }
    }
}

#[test]
fn sessions_cut_anywhere_keep_their_order_and_their_bodies() {
    if skipped() {
        return;
    }
    let mut plan = plan(Mode::Http, vec![server("s1", ONE)]);
    plan.frontends[0].timeouts.http_request = plan.frontends[0].timeouts.client;
    plan.frontends[0].forward_for = None;
    let scene = Scene::new("l7cuts", &plan);
    serve(&scene.space, ONE, Arc::new(answer_as_asked));
    let sessions: Vec<_> = (0..12)
        .map(|seed| {
            let mut client = scene.connect();
            std::thread::spawn(move || {
                let mut dice = Dice(seed * 77 + 1);
                let requests: Vec<_> =
                    (0..30).map(|number| request(&mut dice, number, number == 29)).collect();
                let mut writer = client.try_clone().unwrap();
                let bytes: Vec<u8> = requests.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
                let writing = std::thread::spawn(move || dice.write(&mut writer, &bytes));
                let mut answers = Vec::new();
                client.read_to_end(&mut answers).unwrap();
                assert!(writing.join().unwrap());
                let mut rest = &answers[..];
                for (number, (bytes, expected)) in requests.iter().enumerate() {
                    let (content, behind) = next_answer(rest, bytes.starts_with(b"HEAD"));
                    assert_eq!(content, *expected, "session {seed}, request {number}");
                    rest = behind;
                }
                assert_eq!(rest, b"");
            })
        })
        .collect();
    for session in sessions {
        session.join().unwrap();
    }
    scene.role.stop();
}

#[test]
fn odd_answers_confuse_nobody() {
    if skipped() {
        return;
    }
    let scene = Scene::new("l7odd", &plan(Mode::Http, vec![server("s1", ONE)]));
    serve(
        &scene.space,
        ONE,
        Arc::new(|stream, head, body| {
            let answer = match head.split(' ').nth(1).unwrap() {
                "/chunked" => {
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
                }
                "/both" => {
                    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
                }
                "/late" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/more" => {
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 FALSE\r\nContent-Length: 0\r\n\r\n"
                }
                _ => return echo(stream, head, body),
            };
            stream.write_all(answer.as_bytes()).unwrap();
            if head.contains("/late") {
                stream.set_nodelay(true).unwrap();
                std::thread::sleep(Duration::from_millis(5));
                let _ = stream.write_all(b"HTTP/1.1 200 FALSE\r\nContent-Length: 0\r\n\r\n");
            }
            true
        }),
    );
    // HTTP/1.0 knows no chunks: the connection's end is the body's.
    let answer = scene.ask("GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    let answer = scene.ask("GET /both HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(answer.contains("chunked") && !answer.contains("Content-Length"), "{answer}");
    for odd in ["/late", "/more"] {
        for _ in 0..10 {
            scene.ask(&format!("GET {odd} HTTP/1.1\r\nConnection: close\r\n\r\n"));
            std::thread::sleep(Duration::from_millis(if odd == "/late" { 100 } else { 0 }));
            let answer = scene.ask("GET /next HTTP/1.1\r\nConnection: close\r\n\r\n");
            assert!(answer.contains("GET /next"), "behind {odd}: {answer}");
        }
    }
    let mut client = scene.connect();
    client.write_all(b"GET / HT").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    scene.role.stop();
}

#[test]
fn an_upload_that_is_refused_early_gets_its_answer() {
    if skipped() {
        return;
    }
    let scene = Scene::new("l7early", &plan(Mode::Http, vec![server("s1", ONE)]));
    let listener = scene.space.enter(|| std::net::TcpListener::bind(ONE)).unwrap().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
            // Closing with bytes unread resets the connection.
        }
    });
    for _ in 0..10 {
        let mut client = scene.connect();
        client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n").unwrap();
        let piece = [b'x'; 30_000];
        for _ in 0..100 {
            client.write_all(&piece).expect("nobody resets while the client sends");
            std::thread::sleep(Duration::from_micros(300));
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        // The server's reset may overtake its answer, ours must not.
        let known = ["HTTP/1.1 413 ", "HTTP/1.1 502 "];
        assert!(known.iter().any(|known| answer.starts_with(known)), "{answer:?}");
    }
    scene.role.stop();
}

#[test]
fn without_descriptors_clients_wait_and_are_served_later() {
    if skipped() {
        return;
    }
    let mut plan = plan(Mode::Http, vec![server("s1", ONE)]);
    plan.frontends[0].log.targets.clear();
    let mut scene = Scene::new("l7files", &plan);
    serve(&scene.space, ONE, Arc::new(echo));
    let pid = scene.report().pid.to_string();
    let limited = Command::new("prlimit").args(["--nofile=80:80", "--pid", &pid]).status();
    if !limited.is_ok_and(|status| status.success()) {
        println!("skipped: `prlimit` is not installed");
        return;
    }
    let mut clients: Vec<_> = (0..200).map(|_| scene.connect()).collect();
    for client in &mut clients {
        client.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    }
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let known = ["HTTP/1.1 200 ", "HTTP/1.1 503 "];
        assert!(known.iter().any(|known| answer.starts_with(known)), "{answer:?}");
    }
    assert_eq!(scene.status("/"), 200);
    scene.role.stop();
}

#[test]
fn interim_answers_wait_for_a_client_that_does_not_read() {
    if skipped() {
        return;
    }
    let mut scene = Scene::new("l7storm", &plan(Mode::Http, vec![server("s1", ONE)]));
    serve(
        &scene.space,
        ONE,
        Arc::new(|stream, _, _| {
            let hint = format!("HTTP/1.1 103 Hint\r\nLink: {}\r\n\r\n", "x".repeat(8_000));
            (0..8_000).all(|_| stream.write_all(hint.as_bytes()).is_ok())
                && stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
        }),
    );
    let pid = scene.report().pid;
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let before = resident();
    let mut client = scene.connect();
    client.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB for answers nobody reads");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer.len() > 64_000_000 && answer.ends_with(b"\r\n\r\nok"));
    scene.role.stop();
}

#[test]
fn a_confined_proxy_finds_a_syslogd_that_was_restarted() {
    if skipped() {
        return;
    }
    let place = std::env::temp_dir().join(format!("evenkeel-confined-{}", std::process::id()));
    std::fs::create_dir_all(place.join("empty")).unwrap();
    let path = place.join("log");
    let receive = || {
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        // The proxy is nobody, who may write there as anybody may to /dev/log.
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&path, everybody).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let mut plan = plan(Mode::Http, vec![server("s1", ONE)]);
    plan.process.chroot = Some(place.join("empty").to_str().unwrap().to_string());
    plan.process.user = Some(Account { name: "nobody".into(), id: Some(65_534) });
    plan.process.group = Some(Account { name: "nogroup".into(), id: Some(65_534) });
    plan.frontends[0].log.targets[0].to = LogDestination::Unix(path.to_str().unwrap().into());
    let syslogd = receive();
    let mut scene = Scene::new("l7jail", &plan);
    serve(&scene.space, ONE, Arc::new(echo));
    let pid = scene.report().pid;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in ["Uid:\t65534\t65534\t65534\t65534", "Gid:\t65534\t65534\t65534\t65534"] {
        assert!(status.contains(line), "{line} in {status}");
    }
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/root")).unwrap(), place.join("empty"));
    assert_eq!(scene.status("/one"), 200);
    let mut line = [0; 2000];
    let count = syslogd.recv(&mut line).unwrap();
    assert!(String::from_utf8_lossy(&line[..count]).contains("\"GET /one HTTP/1.1\""));
    drop(syslogd);
    assert_eq!(scene.status("/lost"), 200);
    eventually("the lost line is counted", || scene.report().logs_dropped > 0);
    let syslogd = receive();
    syslogd.set_nonblocking(true).unwrap();
    eventually("syslogd is found again", || {
        assert_eq!(scene.status("/two"), 200);
        syslogd
            .recv(&mut line)
            .is_ok_and(|count| String::from_utf8_lossy(&line[..count]).contains("/two"))
    });
    scene.role.stop();
    std::fs::remove_dir_all(&place).unwrap();
}
