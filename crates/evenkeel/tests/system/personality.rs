//! The program linked as `keepalived`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use serde_json::Value;

const CONFIGURATION: &str = "
vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 255
    advert_int 1
    virtual_ipaddress {
        10.9.0.100/24 label eth0:1
    }
}
";

/// A directory with the link, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(tag: &str) -> Place {
        let path = std::env::temp_dir().join(format!("ek-{tag}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        symlink(env!("CARGO_BIN_EXE_evenkeel"), path.join("keepalived")).unwrap();
        Place(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn keepalived(&self, arguments: &[&str]) -> Output {
        Command::new(self.path("keepalived")).args(arguments).output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn wait_for(what: &str, mut true_now: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !true_now() {
        assert!(Instant::now() < end, "{what} did not happen");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn signal_numbers_and_exit_codes_are_keepaliveds() {
    let place = Place::new("names");
    for (name, number) in [("STOP", "15"), ("RELOAD", "1"), ("DATA", "10"), ("STATS", "12")] {
        let output = place.keepalived(&[&format!("--signum={name}")]);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), number);
        assert_eq!(output.status.code(), Some(0));
    }
    assert_eq!(place.keepalived(&["--signum=DANCE"]).status.code(), Some(1));
    assert_eq!(place.keepalived(&["--dance"]).status.code(), Some(1));
    assert_eq!(place.keepalived(&["--help"]).status.code(), Some(0));
    assert_eq!(place.keepalived(&["-v"]).status.code(), Some(0));

    let good = place.write("good.conf", CONFIGURATION);
    let bad = place.write("bad.conf", &CONFIGURATION.replace("priority", "priorty"));
    let test = |file: &Path| place.keepalived(&["-t", "-f", file.to_str().unwrap()]);
    assert_eq!(test(&good).status.code(), Some(0));
    let output = test(&bad);
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad.conf:6"), "{output:?}");
    assert_eq!(test(&place.path("absent.conf")).status.code(), Some(4));
    // It loads, and Keepalived's test fails all the same.
    let server = "virtual_server 192.0.2.1 80 {\n real_server 10.0.0.1 80 {\n }\n}\n";
    let unsaid = place.write("unsaid.conf", server);
    assert_eq!(test(&unsaid).status.code(), Some(5));
    let said = place.write("said.conf", &server.replace(" real", " protocol TCP\n real"));
    assert_eq!(test(&said).status.code(), Some(0));

    let log = place.path("log");
    let glued = format!("-t{}", log.display());
    let output = place.keepalived(&[&glued, "-f", bad.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(5));
    assert!(fs::read_to_string(&log).unwrap().contains("priorty"));
}

/// Starts it as a daemon of the namespace and returns its process id.
fn start(place: &Place, namespace: &Namespace, more: &[&str]) -> String {
    let mut command = namespace.command(place.path("keepalived").to_str().unwrap());
    let file = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let status = command
        .args(["-D", "-f", &file("keepalived.conf"), "-p", &file("k.pid")])
        .args(["--vrrp_pid", &file("v.pid"), "-c", &file("c.pid")])
        .args(more)
        .env("TMPDIR", &place.0)
        .env("EVENKEEL_RUNTIME_DIR", file("run"))
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let pid = fs::read_to_string(place.path("k.pid")).unwrap();
    pid.trim().to_owned()
}

fn signal(number: &str, pid: &str) {
    assert!(Command::new("kill").args([&format!("-{number}"), pid]).status().unwrap().success());
}

fn holds(namespace: &Namespace) -> bool {
    namespace
        .ip("addr show dev eth0")
        .unwrap()
        .contains("10.9.0.100/24 scope global secondary eth0:1")
}

fn alone(tag: &str) -> Option<(Net, Namespace, Place)> {
    if let Some(reason) = lab::net::missing() {
        println!("skipped: {reason}");
        return None;
    }
    let net = Net::new(tag).unwrap();
    let (ours, other) = (net.namespace("a").unwrap(), net.namespace("b").unwrap());
    net.veth((&ours, "eth0"), (&other, "eth0")).unwrap();
    ours.ip("addr add 10.9.0.1/24 dev eth0").unwrap();
    let place = Place::new(tag);
    place.write("keepalived.conf", CONFIGURATION);
    Some((net, ours, place))
}

/// The session that a process belongs to: the fourth field after its name.
fn session(pid: &str) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    after_name.split(' ').nth(3).unwrap().to_owned()
}

#[test]
fn the_daemon_writes_its_pid_files_and_its_dumps_and_obeys_keepaliveds_signals() {
    let Some((_net, ours, place)) = alone("kdaemon") else { return };
    let pid = start(&place, &ours, &[]);
    wait_for("the address", || holds(&ours));
    let vrrp = fs::read_to_string(place.path("v.pid")).unwrap();
    let name = fs::read_to_string(format!("/proc/{}/comm", vrrp.trim())).unwrap();
    assert_eq!(name.trim(), "evenkeel-vrrp");
    assert_eq!(session(vrrp.trim()), pid, "a role does not stay in the terminal's session");
    assert!(!place.path("c.pid").exists(), "there is no director role");

    signal("USR1", &pid);
    wait_for("keepalived.data", || place.path("keepalived.data").exists());
    let data = fs::read_to_string(place.path("keepalived.data")).unwrap();
    assert!(data.contains(" VRRP Instance = VI_1\n") && data.contains("   State = MASTER\n"));
    assert!(data.contains("     10.9.0.100/24 dev eth0 scope global label eth0:1 set\n"), "{data}");

    signal("36", &pid);
    wait_for("keepalived.json", || place.path("keepalived.json").exists());
    let json = fs::read_to_string(place.path("keepalived.json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["data"]["iname"], "VI_1");
    assert_eq!(json[0]["stats"]["become_master"], 1);

    let became_master = |text: &str| text.contains("  Became master: 1\n");
    signal("63", &pid);
    wait_for("keepalived.stats", || place.path("keepalived.stats").exists());
    assert!(became_master(&fs::read_to_string(place.path("keepalived.stats")).unwrap()));
    fs::remove_file(place.path("keepalived.stats")).unwrap();
    signal("USR2", &pid);
    wait_for("keepalived.stats again", || place.path("keepalived.stats").exists());
    assert!(!became_master(&fs::read_to_string(place.path("keepalived.stats")).unwrap()));

    place
        .write("keepalived.conf", &CONFIGURATION.replace("10.9.0.100/24 label eth0:1", "10.9.0.7"));
    signal("HUP", &pid);
    wait_for("the other address", || ours.ip("addr show").unwrap().contains("10.9.0.7/32"));
    signal("TERM", &pid);
    wait_for("the end", || !Path::new(&format!("/proc/{pid}")).exists());
    assert!(!ours.ip("addr show").unwrap().contains("10.9.0.7"));
    assert!(!place.path("k.pid").exists() && !place.path("v.pid").exists());
}

#[test]
fn told_not_to_release_it_leaves_the_addresses_behind() {
    let Some((_net, ours, place)) = alone("kleave") else { return };
    let pid = start(&place, &ours, &["--dont-release-vrrp"]);
    wait_for("the address", || holds(&ours));
    signal("TERM", &pid);
    wait_for("the end", || !Path::new(&format!("/proc/{pid}")).exists());
    assert!(holds(&ours));
}

#[test]
fn told_not_to_respawn_it_ends_with_its_role() {
    let Some((_net, ours, place)) = alone("krole") else { return };
    let pid = start(&place, &ours, &["-R"]);
    wait_for("the address", || holds(&ours));
    let vrrp = fs::read_to_string(place.path("v.pid")).unwrap();
    signal("KILL", vrrp.trim());
    wait_for("the end", || !Path::new(&format!("/proc/{pid}")).exists());
}
