//! The proxy role: what reaches the servers, what comes back, and what happens when they fail.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::check::CheckKind;
use model::proxy::Mode;

use crate::checkers::checker;
use crate::proxy_role::{
    FRONT, LOG, Scene, connect, echo, eventually, log_line, plan, serve, server,
};

const ONE: &str = "127.0.0.1:8101";
const TWO: &str = "127.0.0.1:8102";
/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:8109";

fn skipped() -> bool {
    let reason = lab::net::missing();
    if let Some(reason) = &reason {
        println!("skipped: {reason}");
    }
    reason.is_some()
}

fn read_some(stream: &mut impl Read, until: &str) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&text).contains(until) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "ended before {until:?}: {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn requests_of_every_shape_reach_the_server_and_answers_come_back() {
    if skipped() {
        return;
    }
    let scene = Scene::new("l7shape", &plan(Mode::Http, vec![server("s1", ONE)]));
    serve(
        &scene.space,
        ONE,
        Arc::new(|stream, head, body| {
            let answer: &[u8] = if head.starts_with("HEAD") {
                b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
            } else if head.contains("/304") {
                b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"
            } else if head.contains("/chunked") {
                b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 200 OK\r\nKeep-Alive: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            } else if head.contains("/until-close") {
                b"HTTP/1.1 200 OK\r\n\r\nall of it"
            } else {
                return echo(stream, head, body);
            };
            let answer = String::from_utf8_lossy(answer)
                .replace("HTTP/1.0 200 OK\r\nKeep", "HTTP/1.1 200 OK\r\nKeep");
            stream.write_all(answer.as_bytes()).unwrap();
            if head.contains("/chunked") {
                stream.write_all(b"3\r\nabc\r\n").unwrap();
                stream.write_all(b"0\r\n\r\n").unwrap();
            }
            !head.contains("/until-close")
        }),
    );
    let mut client = scene.connect();
    client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n").unwrap();
    let answer = read_some(&mut client, "127.0.0.1\r\n\r\n");
    assert!(
        answer.ends_with("GET /a HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"),
        "{answer}"
    );
    // Two at once; the answers come in order.
    client
        .write_all(b"GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nend")
        .unwrap();
    let answer = read_some(&mut client, "\r\n\r\nend");
    assert!(answer.find("GET /1").unwrap() < answer.find("POST /2").unwrap());
    client
        .write_all(
            b"HEAD /h HTTP/1.1\r\n\r\nGET /304 HTTP/1.1\r\n\r\nGET /chunked HTTP/1.1\r\n\r\n",
        )
        .unwrap();
    let answer = read_some(&mut client, "abc\r\n0\r\n\r\n");
    for part in
        ["Content-Length: 1000\r\n\r\nHTTP/1.1 304", "HTTP/1.1 103 Early", "3\r\nabc\r\n0\r\n\r\n"]
    {
        assert!(answer.contains(part), "{part:?} in {answer}");
    }
    assert!(!answer.contains("Keep-Alive"));
    // A chunked request in pieces, after 100-continue.
    client
        .write_all(b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    assert!(read_some(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 100"));
    for piece in ["2", "\r\nhi\r", "\n0\r\n", "\r\n"] {
        client.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    read_some(&mut client, "2\r\nhi\r\n0\r\n\r\n");
    let answer = scene.ask("GET /until-close HTTP/1.1\r\n\r\n");
    assert!(answer.ends_with("connection: close\r\n\r\nall of it"), "{answer}");
    let answer = scene.ask("GET /old HTTP/1.0\r\n\r\n");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    scene.role.stop();
}

#[test]
fn failures_are_answered_with_their_own_status() {
    if skipped() {
        return;
    }
    let mut plan = plan(Mode::Http, vec![server("s1", ONE)]);
    plan.backends[0].retries = 1;
    let mut scene = Scene::new("l7fail", &plan);
    serve(
        &scene.space,
        ONE,
        Arc::new(|stream, head, body| {
            if head.contains("/dies") {
                return false;
            }
            if head.contains("/sleeps") {
                std::thread::sleep(Duration::from_secs(4));
            }
            if head.contains("/garbage") {
                return stream.write_all(b"garbage\r\n\r\n").is_ok();
            }
            echo(stream, head, body)
        }),
    );
    assert_eq!(scene.status("/dies"), 502);
    assert_eq!(scene.status("/garbage"), 502);
    assert_eq!(scene.status("/sleeps"), 504);
    for bad in [
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        assert!(scene.ask(bad).starts_with("HTTP/1.1 400 "), "{bad:?}");
    }
    let began = Instant::now();
    assert!(scene.ask("GET / HTTP/1.1\r\nHo").starts_with("HTTP/1.1 408 "));
    assert!(began.elapsed() >= Duration::from_millis(900));
    plan.backends[0].servers = vec![server("gone", NOBODY)];
    scene.reload(&plan);
    assert_eq!(scene.status("/"), 503);
    let report = scene.report();
    assert_eq!(report.backends[0].servers[0].connect_errors, 2);
    assert_eq!(report.backends[0].servers[0].retries, 1);
    scene.role.stop();
}

#[test]
fn a_dead_server_is_gone_around_and_a_backup_steps_in() {
    if skipped() {
        return;
    }
    let mut servers = vec![server("dead", NOBODY), server("alive", ONE)];
    let mut plan_now = plan(Mode::Http, servers.clone());
    let mut scene = Scene::new("l7backup", &plan_now);
    serve(&scene.space, ONE, Arc::new(echo));
    for _ in 0..10 {
        assert_eq!(scene.status("/"), 200);
    }
    // Now with checks: the dead one leaves, and the backup is used only then.
    servers[0].check = Some(checker(CheckKind::Tcp, NOBODY.parse().unwrap()));
    servers[1].backup = true;
    plan_now.backends[0].servers = servers;
    scene.reload(&plan_now);
    eventually("the dead server is down", || !scene.report().backends[0].servers[0].up);
    let errors = scene.report().backends[0].servers[0].connect_errors;
    assert_eq!(scene.status("/"), 200);
    assert_eq!(scene.report().backends[0].servers[0].connect_errors, errors);
    serve(
        &scene.space,
        NOBODY,
        Arc::new(|stream, _, _| {
            stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").is_ok()
        }),
    );
    eventually("the server is back", || scene.report().backends[0].servers[0].up);
    assert_eq!(scene.status("/"), 201);
    scene.role.stop();
}

#[test]
fn connections_that_died_in_the_pool_cost_no_request() {
    if skipped() {
        return;
    }
    let scene = Scene::new("l7stale", &plan(Mode::Http, vec![server("s1", ONE)]));
    // It says that it stays, and leaves.
    serve(
        &scene.space,
        ONE,
        Arc::new(|stream, head, body| {
            echo(stream, head, body);
            false
        }),
    );
    let mut client = scene.connect();
    for _ in 0..300 {
        client.write_all(b"GET /x HTTP/1.1\r\n\r\n").unwrap();
        assert!(read_some(&mut client, "127.0.0.1\r\n\r\n").starts_with("HTTP/1.1 200"));
    }
    scene.role.stop();
}

#[test]
fn a_tunnel_stays_open_and_no_request_fails_while_the_proxy_reloads() {
    if skipped() {
        return;
    }
    let one = plan(Mode::Http, vec![server("s1", ONE)]);
    let two = plan(Mode::Http, vec![server("s1", ONE), server("s2", TWO)]);
    let mut scene = Scene::new("l7reload", &one);
    for address in [ONE, TWO] {
        serve(
            &scene.space,
            address,
            Arc::new(|stream, head, body| {
                if !head.contains("Upgrade: echo") {
                    return echo(stream, head, body);
                }
                stream
                    .write_all(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
                    .unwrap();
                let mut byte = [0];
                while stream.read(&mut byte).is_ok_and(|count| count > 0) {
                    stream.write_all(&byte).unwrap();
                }
                false
            }),
        );
    }
    let mut tunnel = scene.connect();
    tunnel.write_all(b"GET /t HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").unwrap();
    read_some(&mut tunnel, "echo\r\n\r\n");
    let pid = scene.report().pid;
    let done = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (mut client, done, served) =
                (scene.connect(), Arc::clone(&done), Arc::clone(&served));
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    client.write_all(b"GET /r HTTP/1.1\r\n\r\n").unwrap();
                    assert!(
                        read_some(&mut client, "127.0.0.1\r\n\r\n").starts_with("HTTP/1.1 200")
                    );
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for turn in 0..50 {
        scene.reload(if turn % 2 == 0 { &two } else { &one });
        tunnel.write_all(&[b'a' + turn % 26]).unwrap();
        let mut byte = [0];
        tunnel.read_exact(&mut byte).unwrap();
        assert_eq!(byte[0], b'a' + turn % 26);
    }
    done.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    // Few on a busy machine; none may fail.
    assert!(served.load(Ordering::Relaxed) > 10);
    assert_eq!(scene.report().pid, pid);
    drop(tunnel);
    scene.role.stop();
}

#[test]
fn a_large_body_arrives_whole_and_a_slow_reader_takes_no_memory() {
    if skipped() {
        return;
    }
    const LENGTH: usize = 100 << 20;
    let byte_at = |at: usize| (at % 251) as u8;
    let mut scene = Scene::new("l7large", &plan(Mode::Http, vec![server("s1", ONE)]));
    serve(
        &scene.space,
        ONE,
        Arc::new(move |stream, _, _| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
            let piece: Vec<u8> = (0..251 << 12).map(byte_at).collect();
            stream.write_all(head.as_bytes()).unwrap();
            let mut left = LENGTH;
            while left > 0 {
                let count = left.min(piece.len());
                if stream.write_all(&piece[..count]).is_err() {
                    return false;
                }
                left -= count;
            }
            true
        }),
    );
    let pid = scene.report().pid;
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let before = resident();
    let mut slow: Vec<_> = (0..20).map(|_| scene.connect()).collect();
    for client in &mut slow {
        client.write_all(b"GET /slow HTTP/1.1\r\n\r\n").unwrap();
    }
    let mut client = scene.connect();
    client.write_all(b"GET /all HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    let start = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(answer.len() - start, LENGTH);
    assert!(answer[start..].iter().enumerate().all(|(at, &byte)| byte == byte_at(at)));
    assert!(resident() < before + (8 << 10), "{} KiB grew to {} KiB", before, resident());
    drop(slow);
    scene.role.stop();
}

#[test]
fn tcp_mode_passes_bytes_and_ends_both_ways() {
    if skipped() {
        return;
    }
    let scene = Scene::new("l7tcp", &plan(Mode::Tcp, vec![server("s1", ONE)]));
    let log = scene.log_receiver();
    let listener = scene.space.enter(|| std::net::TcpListener::bind(ONE)).unwrap().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello ").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let mut client = scene.connect();
    client.write_all(b"world").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello world");
    server.join().unwrap();
    let line = log_line(&log);
    assert!(line.contains(" web app/s1 0/"), "{line}");
    assert!(line.ends_with(" 11 -- 1/1/0/0/0 0/0"), "{line}");
    scene.role.stop();
}

/// A log line without what differs from run to run or by wording: ports, dates, milliseconds, and
/// byte counts (haproxy counts its inner form of a head, and words its own answers).
fn normal(line: &str) -> Vec<String> {
    let quoted = line.find('"').unwrap_or(line.len());
    let mut fields: Vec<String> = line[..quoted].split(' ').map(str::to_string).collect();
    fields.drain(..2);
    let timers = &mut fields[2];
    *timers = timers
        .split('/')
        .map(|t| if t.starts_with('-') { "-1" } else { "n" })
        .collect::<Vec<_>>()
        .join("/");
    fields[4] = "bytes".to_string();
    fields.push(line[quoted..].to_string());
    fields
}

#[test]
fn log_lines_are_those_of_haproxy() {
    if skipped() {
        return;
    }
    if std::process::Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_err() {
        println!("skipped: haproxy is not installed");
        return;
    }
    const PEER: &str = "127.0.0.1:8001";
    let mut plan = plan(Mode::Http, vec![server("s1", ONE)]);
    plan.frontends[0].forward_for = None;
    plan.backends[0].retries = 0;
    let scene = Scene::new("l7log", &plan);
    let log = scene.log_receiver();
    serve(
        &scene.space,
        ONE,
        Arc::new(|stream, head, body| {
            if head.contains("/dies") {
                return false;
            }
            if head.contains("/sleeps") {
                std::thread::sleep(Duration::from_secs(3));
            }
            echo(stream, head, body)
        }),
    );
    let file = std::env::temp_dir().join(format!("evenkeel-l7log-{}.cfg", std::process::id()));
    std::fs::write(&file, format!(
        "global\n log {LOG} local0\n nbthread 1\ndefaults\n mode http\n log global\n option httplog\n option dontlognull\n retries 0\n timeout connect 1s\n timeout client 10s\n timeout server 2s\n timeout http-request 1s\nfrontend web\n bind {PEER}\n default_backend app\nbackend app\n server s1 {ONE}\n"
    )).unwrap();
    let mut peer = scene.space.command("haproxy");
    let mut peer = peer.args(["-db", "-f"]).arg(&file).stderr(Stdio::null()).spawn().unwrap();
    eventually("haproxy listens", || {
        scene.space.enter(|| std::net::TcpStream::connect(PEER)).unwrap().is_ok()
    });
    let scenes = [
        "GET /x?q=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        "GET /dies HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /sleeps HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\"x HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
        "GET / HTT",
    ];
    let lines = |address: &str| -> Vec<Vec<String>> {
        scenes
            .iter()
            .map(|request| {
                let mut client = connect(&scene.space, address);
                client.write_all(request.as_bytes()).unwrap();
                let _ = client.read_to_end(&mut Vec::new());
                normal(&log_line(&log))
            })
            .collect()
    };
    let theirs = lines(PEER);
    let ours = lines(FRONT);
    peer.kill().unwrap();
    peer.wait().unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ours, theirs);
    scene.role.stop();
}
