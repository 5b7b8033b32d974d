//! What the supervisor and the helper do beside the roles: reloads at a given time, saved
//! configurations, pid files, programs of the end, mails, alarms. Whole directors in namespaces,
//! beside Debian's keepalived where that is the measure.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use edge::clock::{Civil, Zone};
use lab::net::{Namespace, Net};
use serde_json::Value;

pub(crate) fn within(what: &str, mut true_now: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !true_now() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A directory for one test.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(tag: &str) -> Place {
        let path = std::env::temp_dir().join(format!("ek-duty-{tag}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }

    /// What is in a file, or nothing.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    pub(crate) fn script(&self, name: &str, text: &str) -> String {
        let path = self.write(name, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that a test ends, if it does not end by itself.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        signal_to(self.0.id().into(), signal);
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // In order, so that its roles end too.
            self.signal(rustix::process::Signal::TERM);
            let patience = Instant::now() + Duration::from_secs(5);
            while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

pub(crate) fn signal_to(pid: u64, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// A director that runs `keepalived.conf`, and `haproxy.cfg` if it is there, of a place.
pub(crate) struct Director<'a> {
    pub(crate) running: Running,
    place: &'a Place,
}

impl<'a> Director<'a> {
    pub(crate) fn start(namespace: &Namespace, place: &'a Place) -> Director<'a> {
        Director::start_by(namespace.command(env!("CARGO_BIN_EXE_evenkeel")), place, &[])
    }

    /// By a command that names the program.
    pub(crate) fn start_by(mut command: Command, place: &'a Place, more: &[&str]) -> Director<'a> {
        command.args(["run", "--foreground", "-f", &place.path("keepalived.conf")]);
        let proxy = place.path("haproxy.cfg");
        if fs::exists(&proxy).unwrap() {
            command.args(["-f", &proxy]);
        }
        let pins = format!("/sys/fs/bpf/{}", place.0.file_name().unwrap().to_str().unwrap());
        command.args(["--runtime-dir", &place.path("run"), "--pin-dir", &pins]).args(more);
        let log = fs::File::create(place.0.join("director.log")).unwrap();
        let running = Running(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
        Director { running, place }
    }

    pub(crate) fn status(&self) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(["status", "--json", "--runtime-dir", &self.place.path("run")]);
        let output = command.stderr(Stdio::null()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// State of the only instance.
    pub(crate) fn state(&self) -> String {
        let status = self.status();
        status["vrrp"]["instances"][0]["state"].as_str().unwrap_or_default().to_lowercase()
    }

    /// Process id of a role.
    pub(crate) fn pid(&self, role: &str) -> Option<u64> {
        let status = self.status();
        let roles = status["roles"].as_array()?;
        roles.iter().find(|one| one["role"] == role)?["pid"].as_u64()
    }

    pub(crate) fn log(&self) -> String {
        self.place.read("director.log")
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        within(text, || self.log().contains(text));
    }
}

/// Two namespaces with a cable between: 10.9.0.1 and 10.9.0.2 on eth0.
pub(crate) fn pair(net: &Net) -> (Namespace, Namespace) {
    let (a, b) = (net.namespace("a").unwrap(), net.namespace("b").unwrap());
    net.veth((&a, "eth0"), (&b, "eth0")).unwrap();
    a.ip("addr add 10.9.0.1/24 dev eth0").unwrap();
    b.ip("addr add 10.9.0.2/24 dev eth0").unwrap();
    (a, b)
}

/// An instance of version 3 that is quick.
pub(crate) fn instance(more: &str) -> String {
    format!(
        "vrrp_instance VI {{\n interface eth0\n virtual_router_id 51\n version 3\n \
         advert_int 0.1\n virtual_ipaddress {{\n 10.9.0.100\n }}\n {more}\n}}\n"
    )
}

fn in_seconds(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let at = Civil::at(i64::try_from(now).unwrap() + seconds, Zone::Utc).unwrap();
    let Civil { year, month, day, hour, minute, second } = at;
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z\n")
}

#[test]
fn a_reload_happens_at_the_time_in_the_file_and_the_configurations_are_saved() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let place = Place::new("time");
    let net = Net::new("dutytime").unwrap();
    let (a, _b) = pair(&net);
    let global = format!(
        "global_defs {{\n reload_time_file {}\n config_save_dir {}\n}}\n",
        place.path("time"),
        place.path("saved")
    );
    place.write("keepalived.conf", &format!("{global}{}", instance("priority 100")));
    let director = Director::start(&a, &place);
    within("it is master", || director.state() == "master");
    place.write("keepalived.conf", &format!("{global}{}", instance("priority 150")));

    // Written, cancelled, and written again.
    place.write("time", &in_seconds(3600));
    director.wait_for_log("reload scheduled for");
    fs::remove_file(place.path("time")).unwrap();
    director.wait_for_log("is cancelled");
    let begun = Instant::now();
    place.write("time", &in_seconds(3));
    director.wait_for_log("reloaded: ");
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(2) && took < Duration::from_secs(8), "{took:?}");
    assert!(!fs::exists(place.path("time")).unwrap(), "it is done");
    let status = director.status();
    assert_eq!(status["vrrp"]["instances"][0]["priority"], 150, "{status}");

    let saved =
        |end: &str| place.read(&format!("saved/keepalived.{}.{end}", director.running.0.id()));
    let priority = |end: &str| {
        let plan: Value = serde_json::from_str(&saved(end)).unwrap();
        plan["vrrp"]["instances"][0]["priority"].clone()
    };
    assert_eq!((priority("1.pre"), priority("1.post")), (100.into(), 150.into()));
    assert!(saved("1.conf").contains("priority 150"));
    assert!(director.running.stop().success());
}

#[test]
fn a_second_director_in_a_namespace_has_its_own_pid_files_as_keepalived_names_them() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let place = Place::new("pids");
    let net = Net::new("dutypids").unwrap();
    let (a, _b) = pair(&net);
    symlink(env!("CARGO_BIN_EXE_evenkeel"), place.path("keepalived")).unwrap();
    let file = place.write("keepalived.conf", &format!("instance blue\n{}", instance("")));
    let directory = format!("/run/keepalived/{}", a.name());
    let programs = [place.path("keepalived"), "/usr/sbin/keepalived".into()];
    for program in programs.iter().filter(|path| fs::exists(path).unwrap()) {
        // From outside: it goes there by itself.
        let mut command = Command::new(program);
        command.args(["-n", "-l", "-P", "-f", &file, "-s", a.name()]);
        let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let number = |name: &str| -> u64 {
            let text = fs::read_to_string(format!("{directory}/{name}")).unwrap_or_default();
            text.trim().parse().unwrap_or_default()
        };
        within("pid files", || number("keepalived_blue.pid") > 0 && number("vrrp_blue.pid") > 0);
        assert_eq!(number("keepalived_blue.pid"), u64::from(running.0.id()), "{program}");
        let addresses = || a.ip("addr show dev eth0").unwrap();
        within("the address is there", || addresses().contains("10.9.0.100"));
        assert!(running.stop().success(), "{program}");
        assert!(!fs::exists(&directory).unwrap(), "{program} leaves {directory}");
        assert!(!addresses().contains("10.9.0.100"));
    }
}

#[test]
fn a_director_goes_to_the_namespace_of_its_configuration_and_still_hears_of_processes() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let place = Place::new("netns");
    let net = Net::new("dutynetns").unwrap();
    let (a, _b) = pair(&net);
    let track = "vrrp_track_process self {\n process evenkeel-vrrp\n}\n";
    let more = instance("track_process {\n self\n }");
    place.write("keepalived.conf", &format!("net_namespace {}\n{track}{more}", a.name()));
    let told = edge::process_events::ProcessEvents::subscribe().is_ok();
    let evenkeel = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    let director = Director::start_by(evenkeel, &place, &[]);
    within("it is master", || director.state() == "master");
    assert!(a.ip("addr show dev eth0").unwrap().contains("10.9.0.100"));
    assert!(!told || !director.log().contains("/proc is read"), "{}", director.log());
    assert!(director.running.stop().success());
}

#[test]
fn use_pid_dir_is_followed_by_evenkeel_run_too() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let place = Place::new("piddir");
    let net = Net::new("dutypiddir").unwrap();
    let (a, _b) = pair(&net);
    let name = format!("ek{}", std::process::id());
    place.write("keepalived.conf", &format!("instance {name}\nuse_pid_dir\n{}", instance("")));
    let director = Director::start(&a, &place);
    let file = format!("/run/keepalived/vrrp_{name}.pid");
    within("its pid file", || fs::exists(&file).unwrap());
    let pid: u64 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    assert_eq!(director.pid("vrrp"), Some(pid));
    assert!(director.running.stop().success());
    assert!(!fs::exists(&file).unwrap());
}
