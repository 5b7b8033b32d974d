//! `track_process`: told by the kernel where it tells, by looking elsewhere; delays, changes of
//! name, lost events, and our own proxy under the name that other people track.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use lab::net::Net;
use model::control::TrackerState::{Down, Up};
use model::control::{Event, FromRole};
use model::vrrp::{HelperPlan, TrackProcess, Tracked, Trackers};
use rustix::process::Signal;

use crate::duties::{Director, Place, instance, pair, signal_to, within};
use crate::scripts::{Helper, plan};

/// Less than it takes to notice by looking once a second.
const TOLD: Duration = Duration::from_millis(400);

fn tracker(name: &str, process: &str) -> TrackProcess {
    TrackProcess {
        name: name.into(),
        process: process.into(),
        parameters: Vec::new(),
        parameter_match: None,
        full_command: false,
        quorum: 1,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    }
}

fn tracking(processes: Vec<TrackProcess>) -> HelperPlan {
    HelperPlan { trackers: Trackers { processes, ..Trackers::default() }, ..plan() }
}

fn known(name: &str) -> Tracked {
    Tracked::Process(name.into())
}

/// A program under a name that nobody else has, for a thousand seconds.
fn sleeping(place: &Place, name: &str) -> Child {
    let path = place.path(name);
    if !fs::exists(&path).unwrap() {
        fs::copy("/bin/sleep", &path).unwrap();
    }
    Command::new(path).arg("1000").spawn().unwrap()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The helper has said that it looks for itself.
fn looks(helper: &mut Helper) -> bool {
    while let Some(message) = helper.role.receive(Duration::from_millis(200)) {
        if matches!(&message, FromRole::Event(Event::Log { text, .. }) if text.contains("/proc is read"))
        {
            return true;
        }
    }
    false
}

fn connector_is_here() -> bool {
    let mut helper = Helper::here(tracking(vec![tracker("any", "ek-any")]));
    helper.wait_for(&known("any"), Down);
    let here = !looks(&mut helper);
    assert!(helper.role.stop().success());
    if !here {
        println!("skipped: the kernel does not tell of processes here");
    }
    here
}

#[test]
fn the_kernel_tells_of_starts_ends_and_new_names_and_delays_pass_first() {
    if !connector_is_here() {
        return;
    }
    let place = Place::new("events");
    let slow = TrackProcess {
        fork_delay: Duration::from_millis(600),
        terminate_delay: Duration::from_millis(900),
        ..tracker("slow", "ek-forked")
    };
    let named = tracker("named", "ek-renamed");
    let mut helper = Helper::here(tracking(vec![tracker("quick", "ek-forked"), slow, named]));
    helper.wait_for(&known("named"), Down);

    let child = sleeping(&place, "ek-forked");
    assert!(helper.wait_for(&known("quick"), Up) < TOLD);
    // A fork's delay is for forks: this one came up by executing another program.
    helper.wait_for(&known("slow"), Up);
    let begun = Instant::now();
    end(child);
    assert!(helper.wait_for(&known("quick"), Down) < TOLD);
    helper.wait_for(&known("slow"), Down);
    assert!(begun.elapsed() > Duration::from_millis(890), "{:?}", begun.elapsed());

    // A short life is none for those who wait.
    let begun = Instant::now();
    end(sleeping(&place, "ek-forked"));
    assert!(begun.elapsed() < Duration::from_millis(500));

    let script = place.script("change", "printf ek-renamed > /proc/$$/comm; sleep 1000 & wait");
    let mut child = Command::new(&script);
    let child = std::os::unix::process::CommandExt::process_group(&mut child, 0).spawn().unwrap();
    assert!(helper.wait_for(&known("named"), Up) < 2 * TOLD);
    let group = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
    end(child);
    assert!(helper.wait_for(&known("named"), Down) < TOLD);
    assert!(helper.role.stop().success());
}

#[test]
fn a_forks_delay_passes_before_a_child_counts() {
    if !connector_is_here() {
        return;
    }
    let place = Place::new("forks");
    let delayed = TrackProcess {
        quorum: 2,
        fork_delay: Duration::from_millis(700),
        ..tracker("pair", "ek-parent")
    };
    let mut helper = Helper::here(tracking(vec![tracker("one", "ek-parent"), delayed]));
    helper.wait_for(&known("pair"), Down);
    // It is its own child: a fork without another program.
    let script = place.script("ek-parent", "(read nothing; exit 0) < \"$1\" & wait");
    let pipe = place.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let holder = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let mut child = Command::new(script).arg(&pipe).spawn().unwrap();
    helper.wait_for(&known("one"), Up);
    let took = helper.wait_for(&known("pair"), Up);
    assert!(took > Duration::from_millis(600) && took < Duration::from_millis(1500), "{took:?}");
    std::io::Write::write_all(&mut (&holder), b"end\n").unwrap();
    child.wait().unwrap();
    helper.wait_for(&known("pair"), Down);
    helper.wait_for(&known("one"), Down);
    assert!(helper.role.stop().success());
}

#[test]
fn lost_events_are_made_good_by_looking() {
    if !connector_is_here() {
        return;
    }
    let place = Place::new("lost");
    let mut helper = Helper::here(tracking(vec![tracker("one", "ek-lost")]));
    helper.wait_for(&known("one"), Down);
    let child = sleeping(&place, "ek-lost");
    helper.wait_for(&known("one"), Up);
    // It sleeps through the end, and through more events than there is room for.
    helper.role.signal("STOP");
    let storm = "i=0; while [ $i -lt 6000 ]; do (:); i=$((i+1)); done";
    assert!(Command::new("sh").args(["-c", storm]).status().unwrap().success());
    end(child);
    helper.role.signal("CONT");
    assert!(helper.wait_for(&known("one"), Down) < Duration::from_secs(2));
    // It goes on hearing.
    let child = sleeping(&place, "ek-lost");
    assert!(helper.wait_for(&known("one"), Up) < TOLD);
    end(child);
    helper.wait_for(&known("one"), Down);
    assert!(helper.role.stop().success());
}

#[test]
fn in_another_network_namespace_it_looks_unless_it_knows_the_first() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let place = Place::new("elsewhere");
    let net = Net::new("elsewhere").unwrap();
    let a = net.namespace("a").unwrap();
    let evenkeel = || a.command(env!("CARGO_BIN_EXE_evenkeel"));
    let plan = tracking(vec![tracker("one", "ek-elsewhere")]);
    let mut helper = Helper::start_with(evenkeel(), plan.clone(), Vec::new());
    helper.wait_for(&known("one"), Down);
    let child = sleeping(&place, "ek-elsewhere");
    assert!(helper.wait_for(&known("one"), Up) < Duration::from_secs(3));
    end(child);
    assert!(helper.wait_for(&known("one"), Down) < Duration::from_secs(3));
    assert!(helper.role.stop().success());

    if !connector_is_here() {
        return;
    }
    let first = OwnedFd::from(fs::File::open("/proc/self/ns/net").unwrap());
    let mut helper = Helper::start_with(evenkeel(), plan, vec![first]);
    helper.wait_for(&known("one"), Down);
    assert!(!looks(&mut helper));
    let child = sleeping(&place, "ek-elsewhere");
    assert!(helper.wait_for(&known("one"), Up) < TOLD);
    end(child);
    assert!(helper.wait_for(&known("one"), Down) < TOLD);
    assert!(helper.role.stop().success());
}

/// The only child of a process.
fn child_of(pid: u32) -> Option<u64> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    list.split_whitespace().next()?.parse().ok()
}

/// The process with this name, as we see it, among those of a process's own PID namespace.
fn inside(of: u64, name: &str) -> Option<u64> {
    let arguments = ["-x", name, "--ns", &of.to_string(), "--nslist", "pid"];
    let output = Command::new("pgrep").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().next()?.parse().ok()
}

#[test]
fn an_instance_follows_our_own_proxy_under_the_name_haproxy() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let place = Place::new("follow");
    let net = Net::new("follow").unwrap();
    let (a, _b) = pair(&net);
    let track = "vrrp_track_process proxy {\n process haproxy\n terminate_delay 1\n}\n";
    let text = format!("{track}{}", instance("track_process {\n proxy\n }"));
    place.write("keepalived.conf", &text);
    place.write(
        "haproxy.cfg",
        "defaults\n mode http\n timeout connect 1s\n timeout client 5s\n timeout server 5s\n\
         frontend web\n bind 10.9.0.1:8080\n default_backend app\n\
         backend app\n server one 10.9.0.2:80\n",
    );
    // Among processes of its own: others may run a haproxy on this machine.
    let mut command = a.command("unshare");
    command.args(["--pid", "--fork", "--mount-proc", env!("CARGO_BIN_EXE_evenkeel")]);
    let director = Director::start_by(command, &place, &["--restart-delay", "proxy=4"]);
    within("it is master", || director.state() == "master");
    let supervisor = child_of(director.running.0.id()).unwrap();
    let helper = inside(supervisor, "evenkeel-helper").expect("the helper has its name");
    assert_ne!(helper, supervisor);

    let first = inside(supervisor, "haproxy").expect("the proxy has its name");
    let begun = Instant::now();
    signal_to(first, Signal::KILL);
    within("the proxy's end is a fault", || director.state() == "fault");
    assert!(begun.elapsed() > Duration::from_millis(990), "terminate_delay passes first");
    within("it is started again", || inside(supervisor, "haproxy").is_some());
    within("it is master again", || director.state() == "master");
    assert!(director.log().contains("track_process proxy: quorum lost"), "{}", director.log());
    signal_to(supervisor, Signal::TERM);
    let mut director = director;
    assert!(director.running.0.wait().unwrap().success());
}
