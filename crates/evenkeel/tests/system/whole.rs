//! The whole director: its roles killed one by one, and a hundred reloads, under traffic.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::net::Namespace;

use crate::site::{Site, Stream, Traffic, VIRTUAL, get, holds, kill};

const KEEPALIVED: &str = "
vrrp_sync_group VG {
    group {
        OUTSIDE
        INSIDE
    }
}
vrrp_instance OUTSIDE {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 100
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass secret
    }
    virtual_ipaddress {
        10.1.0.100/24
    }
}
vrrp_instance INSIDE {
    state MASTER
    interface eth1
    virtual_router_id 52
    priority 100
    advert_int 1
    virtual_ipaddress {
        10.2.0.1/24
    }
}
virtual_server 10.1.0.100 80 {
    delay_loop 1
    lb_algo wrr
    lb_kind NAT
    protocol TCP
    real_server 10.2.0.11 80 {
        weight 3
        TCP_CHECK {
            connect_timeout 2
        }
    }
    real_server 10.2.0.12 80 {
        weight 1
        TCP_CHECK {
            connect_timeout 2
        }
    }
";

const HAPROXY: &str = "
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
frontend web
    bind 10.1.0.100:8080
    default_backend app
backend app
    balance roundrobin
    server app1 10.2.0.11:80 check inter 500ms
    server app2 10.2.0.12:80 check inter 500ms
";

fn keepalived() -> String {
    format!("{KEEPALIVED}}}\n")
}

/// Watches both directors; remembers the longest time that both held the address.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Duration>,
}

impl Watch {
    fn start(directors: [Namespace; 2]) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            let mut both_since = None;
            while !stopped.load(Ordering::Relaxed) {
                if directors.iter().all(holds) {
                    let since = *both_since.get_or_insert_with(Instant::now);
                    longest = longest.max(since.elapsed());
                } else {
                    both_since = None;
                }
                thread::sleep(Duration::from_millis(20));
            }
            longest
        });
        Watch { stop, thread }
    }

    fn finish(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watch")
    }
}

#[test]
fn roles_die_one_by_one_and_traffic_goes_on() {
    if let Some(reason) = lab::net::missing() {
        eprintln!("skipped: {reason}");
        return;
    }
    let mut site = Site::new("roles").expect("the site");
    site.write(&keepalived(), HAPROXY).expect("the files");
    site.start(1, &["--restart-delay", "director=15"]).expect("director 1");
    site.wait_until_serving(1);
    site.start(2, &[]).expect("director 2");
    site.until(Duration::from_secs(10), "director 2 stands by", || {
        site.status(2)["vrrp"]["instances"][0]["state"] == "Backup"
    });
    let watch = Watch::start(site.directors.clone());

    // The director role: forwarding goes on without it.
    let download = Stream::open(&site.client, 80);
    site.until(Duration::from_secs(5), "the download runs", || download.received() > 10);
    kill(site.role(1, "director").expect("the director role runs"));
    let killed = Instant::now();
    let answers = site.client.enter(|| (0..100).map(|_| get(80, "/")).collect::<Vec<_>>());
    let answers = answers.expect("the client's namespace");
    let failures: Vec<_> = answers.iter().filter_map(|one| one.as_ref().err()).collect();
    assert!(failures.is_empty(), "{failures:?}\n{}", site.logs());
    let first = answers.iter().filter(|one| one.as_ref().is_ok_and(|name| name == "s1")).count();
    assert_eq!(first, 75, "weights 3 and 1 over 100 connections");
    assert!(killed.elapsed() < Duration::from_secs(14), "all of it without a director");
    assert_eq!(site.role(1, "director"), None);
    let before = download.received();
    site.until(Duration::from_secs(30), "the director role is back", || {
        site.role(1, "director").is_some() && site.status(1)["director"]["adopted"] == true
    });
    assert!(download.received() > before);
    site.until(Duration::from_secs(10), "the connection is in its list", || {
        let listing = site.ask(1, &["ipvsadm", "-Lnc"]).expect("ipvsadm").stdout;
        String::from_utf8_lossy(&listing)
            .lines()
            .any(|line| line.contains("ESTABLISHED") && line.contains(&format!("{VIRTUAL}:80")))
    });
    assert_eq!(download.finish(), None);

    // The vrrp role: back before anyone notices, without an address event.
    let mut monitor = site.directors[0]
        .command("ip")
        .args(["monitor", "address"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("ip monitor");
    let vrrp = site.role(1, "vrrp").expect("the vrrp role runs");
    kill(vrrp);
    site.until(Duration::from_secs(5), "the vrrp role is back and master", || {
        site.role(1, "vrrp").is_some_and(|pid| pid != vrrp)
            && site.status(1)["vrrp"]["instances"][0]["state"] == "Master"
    });
    thread::sleep(Duration::from_secs(4));
    assert!(site.holds(1) && !site.holds(2), "{}", site.logs());
    monitor.kill().expect("ip monitor ends");
    let mut events = String::new();
    monitor.stdout.take().expect("its output").read_to_string(&mut events).expect("text");
    monitor.wait().expect("ip monitor ended");
    assert_eq!(events, "");

    // The proxy role: no address moves, and it serves again.
    kill(site.role(1, "proxy").expect("the proxy role runs"));
    site.until(Duration::from_secs(10), "the proxy serves again", || site.get(8080, "/").is_ok());
    assert!(site.holds(1) && !site.holds(2));

    // The supervisor: its roles finish in order, and the other director takes over.
    kill(site.supervisor(1));
    site.until(Duration::from_secs(8), "director 2 takes over", || site.holds(2) && !site.holds(1));
    site.until(Duration::from_secs(10), "both layers serve again", || {
        site.get(80, "/").is_ok() && site.get(8080, "/").is_ok()
    });
    let both = watch.finish();
    assert!(both < Duration::from_secs(1), "both held the address for {both:?}");
}

#[test]
fn a_hundred_reloads_are_not_noticed() {
    if let Some(reason) = lab::net::missing() {
        eprintln!("skipped: {reason}");
        return;
    }
    let mut site = Site::new("reload").expect("the site");
    let plain = keepalived();
    let more =
        format!("{KEEPALIVED}    real_server 10.2.0.11 8000 {{\n        weight 0\n    }}\n}}\n");
    let more_servers = format!("{HAPROXY}    server app3 10.2.0.12:80\n");
    site.write(&plain, HAPROXY).expect("the files");
    site.start(1, &[]).expect("director 1");
    site.wait_until_serving(1);
    let proxy = site.role(1, "proxy").expect("the proxy role runs");
    let generation = |site: &Site| site.status(1)["generation"].as_u64().expect("a number");
    let first = generation(&site);

    let mut monitor = site.directors[0]
        .command("ip")
        .args(["monitor", "address"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("ip monitor");
    let streams = [Stream::open(&site.client, 80), Stream::open(&site.client, 8080)];
    let traffic = Traffic::start(&site.client);
    for round in 0..100 {
        let wrong = round % 4 == 3;
        // Traffic between the reloads too.
        thread::sleep(Duration::from_millis(30));
        match round % 4 {
            0 | 2 => {}
            1 if round % 8 == 1 => site.write(&more, &more_servers).expect("the files"),
            1 => site.write(&plain, HAPROXY).expect("the files"),
            _ => {
                let broken = plain.replace("lb_algo wrr", "lb_algo wrx");
                fs::write(site.directory.join("keepalived.conf"), broken).expect("the file");
            }
        }
        let output = site.ask(1, &["reload"]).expect("evenkeel reload");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), !wrong, "round {round}: {said}");
        if wrong {
            assert!(said.contains("did you mean \"wrr\"?"), "{said}");
            let good = if round % 8 == 3 { &more } else { &plain };
            fs::write(site.directory.join("keepalived.conf"), good).expect("the file");
        }
    }
    let (requests, failures) = traffic.finish();
    assert!(failures.is_empty(), "{} of {requests}: {failures:?}\n{}", failures.len(), site.logs());
    assert!(requests > 200, "{requests} requests");
    for stream in streams {
        assert!(stream.received() > 0);
        assert_eq!(stream.finish(), None);
    }
    monitor.kill().expect("ip monitor ends");
    let mut events = String::new();
    monitor.stdout.take().expect("its output").read_to_string(&mut events).expect("text");
    monitor.wait().expect("ip monitor ended");
    assert_eq!(events, "");
    assert_eq!(site.role(1, "proxy"), Some(proxy), "one proxy process all along");
    assert_eq!(generation(&site), first + 75);
    eprintln!("100 reloads, {requests} requests, 0 failed");
}
