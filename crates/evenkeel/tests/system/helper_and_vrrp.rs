//! The helper and vrrp roles together, the test in the place of the supervisor; and the names by
//! which other people's scripts find the roles.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use edge::ipc::Channel;
use lab::net::Net;
use model::Plan;
use model::control::{RolePlan, RoleReport, ToRole};
use model::status::VrrpState;
use model::units::{Centiseconds, VirtualRouterId};
use model::vrrp::{
    Command as Program, HelperPlan, Notify, SyncGroup, Track, TrackScript, Tracked, Trackers,
    VirtualAddress, VrrpInstance, VrrpPlan,
};
use serde_json::Value;

use crate::role::RoleProcess;

fn within(what: &str, mut true_now: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !true_now() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn directory(tag: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ek-{tag}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn connect(helper: &mut RoleProcess, vrrp: &mut RoleProcess) {
    let (one, other) = Channel::pair().unwrap();
    helper.send(&ToRole::Link, vec![one.into_socket()]);
    vrrp.send(&ToRole::Link, vec![other.into_socket()]);
}

fn state(role: &mut RoleProcess) -> VrrpState {
    match role.report() {
        RoleReport::Vrrp(report) => report.instances[0].state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_script_takes_an_instance_down_and_up_and_its_group_is_told_in_order() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let place = directory("hv");
    let (flag, log) = (place.join("flag"), place.join("log"));
    let recorder = place.join("recorder");
    fs::write(&recorder, format!("#!/bin/sh\necho \"$*\" >> {}\n", log.display())).unwrap();
    fs::set_permissions(&recorder, fs::Permissions::from_mode(0o755)).unwrap();
    let net = Net::new("helper").unwrap();
    let (a, b) = (net.namespace("a").unwrap(), net.namespace("b").unwrap());
    net.veth((&a, "eth0"), (&b, "eth0")).unwrap();
    a.ip("addr add 10.9.0.1/24 dev eth0").unwrap();

    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let any = Some(Program { words: words(&[recorder.to_str().unwrap()]), user: None });
    let check = TrackScript {
        name: "chk".into(),
        command: Program {
            words: words(&["/bin/sh", "-c", "test ! -e \"$0\"", flag.to_str().unwrap()]),
            user: None,
        },
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(100),
        rise: 1,
        fall: 1,
        init_fail: false,
    };
    let identity = VirtualRouterId::try_from(51).unwrap();
    let instance = VrrpInstance {
        advert_interval: Centiseconds(10),
        version: model::vrrp::Version::V3,
        addresses: vec![VirtualAddress::new([10, 9, 0, 100].into(), 32)],
        tracks: vec![Track { what: Tracked::Script("chk".into()), weight: 0, reverse: false }],
        notify: Notify { any: any.clone(), ..Notify::default() },
        ..VrrpInstance::new("VI", "eth0", identity)
    };
    let group = SyncGroup {
        name: "G".into(),
        members: vec!["VI".into()],
        notify: Notify { any, ..Notify::default() },
        ..SyncGroup::default()
    };
    let vrrp_plan = VrrpPlan {
        instances: vec![instance],
        sync_groups: vec![group],
        trackers: Trackers { scripts: vec![check], ..Trackers::default() },
        ..VrrpPlan::default()
    };
    let plan = Plan { vrrp: vrrp_plan, ..Plan::default() };

    let mut helper = RoleProcess::start(&a, "helper").unwrap();
    let mut vrrp = RoleProcess::start(&a, "vrrp").unwrap();
    for role in [&mut helper, &mut vrrp] {
        role.hello("/sys/fs/bpf/none", Vec::new());
    }
    connect(&mut helper, &mut vrrp);
    helper.configure(RolePlan::Helper(HelperPlan::of(&plan)));
    vrrp.configure(RolePlan::Vrrp(Box::new(plan.vrrp.clone())));
    within("it becomes master", || state(&mut vrrp) == VrrpState::Master);
    fs::write(&flag, "").unwrap();
    within("the script is a fault", || state(&mut vrrp) == VrrpState::Fault);

    // A dead helper changes nothing; the next one tells what has changed.
    helper.kill();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(state(&mut vrrp), VrrpState::Fault);
    fs::remove_file(&flag).unwrap();
    let mut helper = RoleProcess::start(&a, "helper").unwrap();
    helper.hello("/sys/fs/bpf/none", Vec::new());
    helper.configure(RolePlan::Helper(HelperPlan::of(&plan)));
    connect(&mut helper, &mut vrrp);
    within("it is master again", || state(&mut vrrp) == VrrpState::Master);
    assert!(vrrp.stop().success());
    assert!(helper.stop().success());

    let text = fs::read_to_string(&log).unwrap();
    let lines =
        |of: &str| -> Vec<&str> { text.lines().filter_map(|line| line.strip_prefix(of)).collect() };
    // Programs run beside each other, so only what a long time lies between is in order.
    let all: BTreeSet<&str> = lines("INSTANCE VI ").into_iter().collect();
    let expected = ["BACKUP 100", "FAULT 100", "MASTER 100", "STOP 100"];
    assert_eq!(all, BTreeSet::from(expected), "{text}");
    let all: BTreeSet<&str> = lines("GROUP G ").into_iter().collect();
    assert_eq!(all, BTreeSet::from(["BACKUP 0", "FAULT 0", "MASTER 0", "STOP 0"]), "{text}");
    let masters = |of: &str| lines(of).iter().filter(|line| line.starts_with("MASTER")).count();
    assert_eq!((masters("INSTANCE VI "), masters("GROUP G ")), (2, 2), "{text}");
    fs::remove_dir_all(&place).unwrap();
}

/// Process ids that a program finds by a name.
fn found(program: &str, arguments: &[&str]) -> BTreeSet<u64> {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let numbers = text.split(|one: char| !one.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn other_peoples_scripts_find_the_roles_by_the_names_they_know() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let place = directory("names");
    let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let net = Net::new("names").unwrap();
    let (a, b) = (net.namespace("a").unwrap(), net.namespace("b").unwrap());
    net.veth((&a, "eth0"), (&b, "eth0")).unwrap();
    a.ip("addr add 10.9.0.1/24 dev eth0").unwrap();
    let keepalived = "vrrp_instance VI {\n interface eth0\n virtual_router_id 51\n \
                      virtual_ipaddress {\n 10.9.0.100\n }\n}\n";
    let haproxy = "defaults\n mode http\n timeout connect 1s\n timeout client 5s\n \
                   timeout server 5s\nfrontend web\n bind 10.9.0.1:8080\n default_backend app\n\
                   backend app\n server one 10.9.0.2:80\n";
    fs::write(path("keepalived.conf"), keepalived).unwrap();
    fs::write(path("haproxy.cfg"), haproxy).unwrap();
    let pins = format!("/sys/fs/bpf/ek-names-{}", std::process::id());
    let mut running = a
        .command(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["run", "-f", &path("keepalived.conf"), &path("haproxy.cfg")])
        .args(["--runtime-dir", &path("run"), "--pin-dir", &pins])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut status = Value::Null;
    within("it runs", || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(["status", "--json", "--runtime-dir", &path("run")]);
        let output = command.output().unwrap();
        status = serde_json::from_slice(&output.stdout).unwrap_or_default();
        status["roles"].as_array().is_some_and(|roles| {
            roles.iter().any(|one| one["role"] == "proxy" && one["state"] == "running")
        })
    });
    let roles = status["roles"].as_array().unwrap();
    let of = |role: &str| roles.iter().find(|one| one["role"] == role).unwrap()["pid"].as_u64();
    let proxy = of("proxy").unwrap();
    for (name, pid) in [("haproxy", proxy), ("keepalived", u64::from(running.id()))] {
        assert!(found("killall", &["-0", "-v", name]).contains(&pid), "killall -0 {name}");
        assert!(found("pidof", &[name]).contains(&pid), "pidof {name}");
        assert!(found("pgrep", &["-x", name]).contains(&pid), "pgrep -x {name}");
        // What track_process compares.
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        assert_eq!(comm.trim_end(), name);
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(line.starts_with(format!("{name}\0").as_bytes()), "its command line");
    }
    let vrrp = of("vrrp").unwrap();
    assert_eq!(fs::read_to_string(format!("/proc/{vrrp}/comm")).unwrap(), "evenkeel-vrrp\n");
    let pid = rustix::process::Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(running.wait().unwrap().success());
    fs::remove_dir_all(&place).unwrap();
}

#[test]
fn the_programs_of_start_and_end_run_and_nothing_is_left_behind() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let place = directory("startend");
    let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let (recorder, log) = (path("recorder"), path("log"));
    fs::write(&recorder, format!("#!/bin/sh\necho \"$*\" >> {log}\nsleep \"$2\"\n")).unwrap();
    fs::set_permissions(&recorder, fs::Permissions::from_mode(0o755)).unwrap();
    let net = Net::new("startend").unwrap();
    let (a, b) = (net.namespace("a").unwrap(), net.namespace("b").unwrap());
    net.veth((&a, "eth0"), (&b, "eth0")).unwrap();
    a.ip("addr add 10.9.0.1/24 dev eth0").unwrap();
    let configuration = format!(
        "global_defs {{\n script_user root\n startup_script \"{recorder} startup 1000\"\n \
         startup_script_timeout 1\n shutdown_script \"{recorder} shutdown 0\"\n \
         vrrp_notify_fifo {fifo}\n fifo_write_vrrp_states_on_reload\n}}\n\
         vrrp_instance VI {{\n interface eth0\n virtual_router_id 51\n \
         virtual_ipaddress {{\n 10.9.0.100\n }}\n}}\n",
        fifo = path("fifo"),
    );
    fs::write(path("keepalived.conf"), configuration).unwrap();
    let pins = format!("/sys/fs/bpf/ek-startend-{}", std::process::id());
    let mut running = a
        .command(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["run", "-f", &path("keepalived.conf")])
        .args(["--runtime-dir", &path("run"), "--pin-dir", &pins])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let evenkeel = |command: &str| {
        let mut evenkeel = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        evenkeel.args(command.split(' ')).args(["--runtime-dir", &path("run")]).output().unwrap()
    };
    let helper = || -> Option<i32> {
        let status: Value = serde_json::from_slice(&evenkeel("status --json").stdout).ok()?;
        let roles = status["roles"].as_array()?;
        let pid = roles.iter().find(|one| one["role"] == "helper")?["pid"].as_i64()?;
        i32::try_from(pid).ok()
    };
    // The program of the start hangs: it is ended, and everything begins.
    within("the pipe is there", || fs::exists(path("fifo")).unwrap());
    let pipe = fs::OpenOptions::new().read(true).write(true).open(path("fifo")).unwrap();
    let mut lines = std::io::BufReader::new(pipe);
    let mut line = || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
        line
    };
    assert_eq!(line(), "INSTANCE \"VI\" BACKUP 100\n");
    assert!(evenkeel("reload").status.success());
    assert_eq!(line(), "INSTANCE \"VI\" BACKUP 100\n", "a reload says it again");
    assert_eq!(line(), "INSTANCE \"VI\" MASTER 100\n");

    let first = helper().unwrap();
    let kill = |pid: i32, signal| {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    kill(first, rustix::process::Signal::KILL);
    within("another helper runs", || helper().is_some_and(|pid| pid != first));
    assert!(evenkeel("reload").status.success());
    assert_eq!(line(), "INSTANCE \"VI\" MASTER 100\n", "the next helper knows it as well");
    kill(i32::try_from(running.id()).unwrap(), rustix::process::Signal::TERM);
    assert_eq!(line(), "INSTANCE \"VI\" STOP 100\n");
    assert!(running.wait().unwrap().success());
    assert!(!fs::exists(path("fifo")).unwrap());
    assert_eq!(fs::read_to_string(&log).unwrap(), "startup 1000\nshutdown 0\n");
    fs::remove_dir_all(&place).unwrap();
}
