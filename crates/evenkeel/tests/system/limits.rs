//! What programs of the administrator inherit of the program that starts them.

use std::fs;

use lab::net::Net;

use crate::duties::{Director, Place, instance, pair, within};

/// Descriptors that the director is started with.
const FOUND: &str = "512";

#[test]
fn programs_may_open_as_many_descriptors_as_evenkeel_was_started_with() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let (net, place) = (Net::new("limits").unwrap(), Place::new("limits"));
    let (namespace, _other) = pair(&net);
    namespace.ip("link set lo up").unwrap();
    namespace.ip("addr add 192.0.2.1/32 dev lo").unwrap();
    let names = ["start", "track", "master", "quorum", "check"];
    let [start, track, master, quorum, check] = names.map(|name| {
        let limit = place.path(&format!("{name}.limit"));
        place.script(name, &format!("ulimit -S -n > {limit}"))
    });
    let server = format!(
        "virtual_server 192.0.2.1 80 {{\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n \
         quorum_up {quorum}\n real_server 127.0.0.1 8081 {{\n MISC_CHECK {{\n misc_path {check}\n \
         misc_timeout 2\n }}\n }}\n}}\n"
    );
    let vrrp = instance(&format!("track_script {{\n t\n }}\n notify_master {master}"));
    place.write(
        "keepalived.conf",
        &format!(
            "global_defs {{\n script_user root\n startup_script {start}\n}}\n\
             vrrp_script t {{\n script {track}\n interval 1\n}}\n{vrrp}{server}"
        ),
    );
    let mut command = namespace.command("sh");
    let limited = format!("ulimit -S -n {FOUND} && exec \"$0\" \"$@\"");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_evenkeel")]);
    let director = Director::start_by(command, &place, &[]);
    for name in names {
        let limit = || place.read(&format!("{name}.limit"));
        within(name, || !limit().is_empty());
        assert_eq!(limit().trim(), FOUND, "{name}");
    }
    for role in ["director", "helper"] {
        let pid = director.pid(role).unwrap();
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_ne!(files.split_whitespace().nth(3), Some(FOUND), "{role}: {files}");
    }
    assert!(director.running.stop().success());
}

/// More programs and silent servers than there are descriptors, most of which the engine has.
fn many(slow: &str) -> String {
    let server = |number: usize| {
        let checker = match number % 2 {
            0 => format!("MISC_CHECK {{\n misc_path {slow}\n }}"),
            _ => "TCP_CHECK {\n connect_ip 10.9.0.77\n }".into(),
        };
        format!(" real_server 127.0.0.1 {} {{\n {checker}\n }}\n", 8000 + number)
    };
    let servers: String = (0..240).map(server).collect();
    format!(
        "virtual_server 192.0.2.1 80 {{\n delay_loop 1\n warmup 0\n connect_timeout 3\n retry 0\n \
         lb_algo rr\n lb_kind NAT\n protocol TCP\n{servers}}}\n"
    )
}

#[test]
fn short_of_descriptors_checks_are_late_programs_do_not_fail_and_the_end_is_orderly() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let (net, place) = (Net::new("short").unwrap(), Place::new("short"));
    let (namespace, _other) = pair(&net);
    namespace.ip("link set lo up").unwrap();
    namespace.ip("addr add 192.0.2.1/32 dev lo").unwrap();
    let slow = place.script("slow", "sleep 0.5");
    let text = many(&slow) + &instance("");
    place.write("keepalived.conf", &format!("global_defs {{\n script_user root\n}}\n{text}"));
    let mut command = namespace.command("sh");
    command.args(["-c", "ulimit -n 120 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_evenkeel")]);
    let director = Director::start_by(command, &place, &[]);
    std::thread::sleep(std::time::Duration::from_secs(8));
    let log = place.read("director.log");
    let status = director.status();
    let servers = status["director"]["services"][0]["servers"].as_array().unwrap();
    let down = servers.iter().step_by(2).filter(|server| server["up"] != true).count();
    assert_eq!(down, 0, "programs that could not be started: {log}");
    assert!(log.contains("a shortage on this machine"), "{log}");
    assert!(director.running.stop().success());
    let log = place.read("director.log");
    assert!(!log.contains("could not be taken down"), "{log}");
}
