//! Probe sets against sockets of this machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use edge::clock::now;
use model::check::{CheckKind, Checker, HttpCheck, Pace, UrlCheck};

use super::*;

const SHORT: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(20);

fn checker(kind: CheckKind, target: SocketAddr) -> Checker {
    let pace = Pace { fall: 2, ..Pace::every(SHORT) };
    Checker::new(kind, target, Duration::from_millis(300), pace)
}

/// Runs the set as an event loop would, until this many verdicts have come.
fn run_until<K: Clone + Eq + Hash>(set: &mut ProbeSet<K>, wanted: usize) -> Vec<(K, Verdict)> {
    let verdict = |(key, news)| match news {
        News::Verdict(verdict) => Some((key, verdict)),
        News::Weight(_) | News::Failure(_) => None,
    };
    let give_up = now() + PATIENCE;
    let mut poll = Poll::new().unwrap();
    poll.add(&*set, 0, edge::poll::Interest::Read).unwrap();
    let mut verdicts = Vec::new();
    while verdicts.len() < wanted {
        assert!(now() < give_up, "too few verdicts");
        poll.wait(&mut Vec::new(), set.next_deadline().min(give_up)).unwrap();
        verdicts.extend(set.run(now()).unwrap().into_iter().filter_map(verdict));
    }
    verdicts
}

fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_server_that_stops_listening_goes_down_and_comes_back() {
    let target = closed_port();
    let mut set = ProbeSet::new().unwrap();
    set.add("web", checker(CheckKind::Tcp, target), now(), 1);
    let verdicts = run_until(&mut set, 1);
    assert_eq!(verdicts, [("web", Verdict { up: false, reason: "connection refused".into() })]);
    assert_eq!(set.is_up(&"web"), Some(false));
    let _listener = TcpListener::bind(target).unwrap();
    let verdicts = run_until(&mut set, 1);
    assert_eq!(verdicts, [("web", Verdict { up: true, reason: "connection accepted".into() })]);
    assert_eq!(set.last_result(&"web"), Some("connection accepted"));
}

#[test]
fn the_same_checker_added_again_keeps_its_state_and_another_keeps_the_verdict() {
    let mut set = ProbeSet::new().unwrap();
    let plan = checker(CheckKind::Tcp, closed_port());
    set.add("web", plan.clone(), now(), 1);
    run_until(&mut set, 1);
    set.add("web", plan.clone(), now(), 2);
    assert_eq!(set.last_result(&"web"), Some("connection refused"));
    let other = Checker { timeout: Duration::from_secs(1), ..plan };
    set.add("web", other, now(), 3);
    assert_eq!(set.last_result(&"web"), None);
    assert_eq!(set.is_up(&"web"), Some(false));
}

#[test]
fn a_page_is_asked_for_and_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1000];
        let length = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhel").unwrap();
        std::thread::sleep(Duration::from_millis(10));
        stream.write_all(b"lo").unwrap();
        request[..length].to_vec()
    });
    let url = UrlCheck {
        path: "/health".into(),
        digest: Some(*b"\x5d\x41\x40\x2a\xbc\x4b\x2a\x76\xb9\x71\x9d\x91\x10\x17\xc5\x92"),
        ..UrlCheck::default()
    };
    let mut set = ProbeSet::new().unwrap();
    set.resume(
        (),
        checker(CheckKind::Http(HttpCheck::plain(vec![url])), target),
        Former::new(false),
        now(),
        1,
    );
    let verdicts = run_until(&mut set, 1);
    assert_eq!(verdicts[0].1.reason, "HTTP status 200, digest matches");
    assert!(server.join().unwrap().starts_with(b"GET /health HTTP/1.0\r\n"));
}

#[test]
fn probes_beyond_the_bound_wait_in_line_and_come_up_all_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let mut set = ProbeSet::with_most(2).unwrap();
    for key in 0..100 {
        set.resume(key, checker(CheckKind::Tcp, target), Former::new(false), now(), key);
    }
    while set.wheel.is_empty(Line::Sockets) {
        assert!(set.run(now()).unwrap().is_empty());
    }
    assert_eq!(set.under_way, 2);
    let drain = std::thread::spawn(move || {
        (0..100).for_each(|_| drop(listener.accept().unwrap()));
    });
    let up: std::collections::HashSet<u64> =
        run_until(&mut set, 100).into_iter().map(|(key, _)| key).collect();
    assert_eq!(up.len(), 100);
    drain.join().unwrap();
}

#[test]
fn a_removed_checker_gives_its_place_to_those_in_line() {
    // Nobody accepts: the first probe holds the only place until its time-out.
    let mut set = ProbeSet::with_most(1).unwrap();
    let silent = checker(CheckKind::Tcp, "192.0.2.1:9".parse().unwrap());
    let silent = Checker { timeout: Duration::from_secs(60), ..silent };
    set.add("silent", silent.clone(), now(), 1);
    set.run(now()).unwrap();
    set.add("refused", checker(CheckKind::Tcp, closed_port()), now(), 1);
    set.add("never", silent, now(), 1);
    set.run(now()).unwrap();
    set.remove(&"never");
    set.retain(|key| *key != "silent");
    assert_eq!(run_until(&mut set, 1)[0].0, "refused");
    assert_eq!(set.is_up(&"silent"), None);
}

#[test]
fn ten_thousand_checkers_come_and_go_and_leave_no_descriptor() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = listener.local_addr().unwrap();
    let silent = Checker {
        timeout: Duration::from_secs(60),
        ..checker(CheckKind::Tcp, "192.0.2.1:9".parse().unwrap())
    };
    let answered = checker(CheckKind::Tcp, target);
    let mut set = ProbeSet::with_most(100).unwrap();
    let mut most = 0;
    for key in 0..10_000u32 {
        // Some are taken out while they wait, some while they connect, some have ended.
        let plan = if key % 3 == 0 { &silent } else { &answered };
        set.add(key, plan.clone(), now(), 1);
        if key % 50 == 49 {
            set.run(now()).unwrap();
            most = most.max(set.under_way);
            set.retain(|it| key - it < 200);
            while listener.accept().is_ok() {}
        }
    }
    assert!((50..=100).contains(&most), "{most}");
    set.retain(|_| false);
    assert_eq!((set.under_way, set.places.len(), set.next_deadline()), (0, 0, Time::NEVER));
    assert!(set.entries.len() <= 400);
    // The programs' own is left. Programs that other tests start have copies for a moment.
    let patience = now() + Duration::from_secs(5);
    while registered(&set) > 1 && now() < patience {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(registered(&set), 1);
}

/// Open sockets among those the set has opened.
fn registered<K>(set: &ProbeSet<K>) -> usize {
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&set.as_fd());
    let path = format!("/proc/self/fdinfo/{descriptor}");
    std::fs::read_to_string(path).unwrap().lines().filter(|line| line.starts_with("tfd:")).count()
}
