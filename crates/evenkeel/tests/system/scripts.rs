//! The helper role with real programs, files, processes and pipes, the test in the place of the
//! supervisor and of the vrrp role; beside Debian's keepalived where that is the measure.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use edge::ipc::{Channel, Received};
use lab::net::Net;
use model::control::{FromHelper, Notice, NoticeKind, RolePlan, ToHelper, ToRole, TrackerState};
use model::vrrp::{
    Command as Program, Fifo, HelperPlan, Notify, NotifySubject, TrackFile, TrackProcess,
    TrackScript, Tracked, Trackers,
};

use crate::role::RoleProcess;

const KEEPALIVED: &str = "/usr/sbin/keepalived";
const SOON: Duration = Duration::from_secs(10);

/// A directory for one test.
struct Place(PathBuf);

impl Place {
    fn new(tag: &str) -> Place {
        let path = std::env::temp_dir().join(format!("ek-scr-{tag}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn script(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The helper, and the vrrp role's end of the link.
pub(crate) struct Helper {
    pub(crate) role: RoleProcess,
    link: Channel,
}

impl Helper {
    fn start(command: Command, plan: HelperPlan) -> Helper {
        Helper::start_with(command, plan, Vec::new())
    }

    /// With descriptors beside the first message.
    pub(crate) fn start_with(
        command: Command,
        plan: HelperPlan,
        descriptors: Vec<OwnedFd>,
    ) -> Helper {
        let mut role = RoleProcess::start_by(command, "helper").unwrap();
        role.hello("/sys/fs/bpf/none", descriptors);
        role.configure(RolePlan::Helper(plan));
        let (link, theirs) = Channel::pair().unwrap();
        role.send(&ToRole::Link, vec![theirs.into_socket()]);
        Helper { role, link }
    }

    pub(crate) fn here(plan: HelperPlan) -> Helper {
        Helper::start(Command::new(env!("CARGO_BIN_EXE_evenkeel")), plan)
    }

    fn notice(&mut self, group: bool, name: &str, kind: NoticeKind) {
        let notice = Notice { group, name: name.into(), kind, priority: 100 };
        self.link.queue(serde_json::to_vec(&ToHelper::Notice(notice)).unwrap(), Vec::new());
        self.link.flush().unwrap();
    }

    /// The next thing it tells of a tracker.
    pub(crate) fn tracker(&mut self, within: Duration) -> Option<(Tracked, TrackerState)> {
        match self.link.wait(within).unwrap() {
            Received::Frame(frame) => {
                let FromHelper::Tracker { what, state } =
                    serde_json::from_slice(&frame.bytes).unwrap();
                Some((what, state))
            }
            Received::Nothing | Received::Closed => None,
        }
    }

    /// Waits until it tells that a tracker is like this; what it told of others is skipped.
    pub(crate) fn wait_for(&mut self, what: &Tracked, state: TrackerState) -> Duration {
        let begun = Instant::now();
        loop {
            match self.tracker(SOON) {
                Some(told) if told == (what.clone(), state) => return begun.elapsed(),
                Some(_) => {}
                None => panic!("{what:?} does not become {state:?}"),
            }
        }
    }
}

fn program(words: &[&str]) -> Program {
    Program { words: words.iter().map(|&word| word.to_owned()).collect(), user: None }
}

pub(crate) fn plan() -> HelperPlan {
    HelperPlan {
        finish_within: Duration::from_secs(5),
        umask: model::vrrp::UMASK,
        ..HelperPlan::default()
    }
}

fn tracking(name: &str, words: &[&str]) -> TrackScript {
    TrackScript {
        name: name.into(),
        command: program(words),
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(100),
        rise: 1,
        fall: 1,
        init_fail: false,
    }
}

fn within(what: &str, mut true_now: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !true_now() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn scripts_come_up_go_down_and_a_run_that_takes_too_long_has_failed() {
    let place = Place::new("track");
    let flag = place.path("flag");
    let hanging = place.script("hanging", "trap 'exit 0' TERM; sleep 1000 & wait");
    let mut scripts = vec![
        TrackScript {
            rise: 3,
            fall: 3,
            ..tracking("flag", &["/bin/sh", "-c", "test ! -e \"$0\"", &flag])
        },
        tracking("hanging", &[&hanging]),
        TrackScript { init_fail: true, rise: 2, ..tracking("slow", &["/bin/true"]) },
        tracking("absent", &["/does/not/exist"]),
    ];
    // Many at once, none of which may hold up another.
    for number in 0..150 {
        let name = format!("many{number}");
        let second = Duration::from_secs(1);
        scripts.push(TrackScript {
            interval: second,
            timeout: second,
            ..tracking(&name, &["/bin/true"])
        });
    }
    let trackers = Trackers { scripts, ..Trackers::default() };
    let mut helper = Helper::here(HelperPlan { trackers, ..plan() });
    let script = |name: &str| Tracked::Script(name.into());
    let mut seen = Vec::new();
    within("every script is known", || {
        seen.extend(helper.tracker(Duration::from_millis(10)));
        let up = seen.iter().filter(|(_, state)| *state == TrackerState::Up).count();
        up == 152 && seen.contains(&(script("hanging"), TrackerState::Down))
    });
    assert!(seen.contains(&(script("absent"), TrackerState::Down)));
    let slow: Vec<_> = seen.iter().filter(|(what, _)| *what == script("slow")).collect();
    assert_eq!(slow.len(), 2, "init_fail is down first: {slow:?}");
    assert_eq!(slow[0].1, TrackerState::Down);

    fs::write(&flag, "").unwrap();
    let took = helper.wait_for(&script("flag"), TrackerState::Down);
    assert!(took > Duration::from_millis(190), "three failures took {took:?}");
    fs::remove_file(&flag).unwrap();
    helper.wait_for(&script("flag"), TrackerState::Up);
    assert!(helper.role.stop().success());
    let left = Command::new("pgrep").args(["-f", &hanging]).output().unwrap();
    assert!(left.stdout.is_empty(), "programs of trackers end with the helper");
}

#[test]
fn files_are_followed_from_their_first_line_to_their_deletion() {
    let place = Place::new("file");
    let path = place.path("sub/number");
    let file = TrackFile { name: "f".into(), path: path.clone(), init: None };
    let trackers = Trackers { files: vec![file], ..Trackers::default() };
    let mut helper = Helper::here(HelperPlan { trackers, ..plan() });
    let f = Tracked::File("f".into());
    let value = TrackerState::Value;
    helper.wait_for(&f, value(0));
    // Its directory appears later than the helper.
    fs::create_dir(place.path("sub")).unwrap();
    fs::write(&path, "-3 and more\n").unwrap();
    helper.wait_for(&f, value(-3));
    fs::write(place.path("new"), "0x10").unwrap();
    fs::rename(place.path("new"), &path).unwrap();
    assert!(helper.wait_for(&f, value(16)) < Duration::from_millis(500));
    fs::write(&path, "99999999999").unwrap();
    assert_eq!(helper.tracker(Duration::from_millis(300)), None, "out of range is ignored");
    fs::remove_file(&path).unwrap();
    helper.wait_for(&f, value(0));
    fs::write(&path, "5").unwrap();
    helper.wait_for(&f, value(5));
    fs::remove_dir_all(place.path("sub")).unwrap();
    helper.wait_for(&f, value(0));
    assert!(helper.role.stop().success());
}

fn sleeping(place: &Place, name: &str) -> Child {
    let path = place.path(name);
    if !Path::new(&path).exists() {
        fs::copy("/bin/sleep", &path).unwrap();
    }
    Command::new(path).arg("1000").spawn().unwrap()
}

#[test]
fn processes_are_counted_by_name_and_by_command_line() {
    let place = Place::new("proc");
    let process = |name: &str, quorum, quorum_max| TrackProcess {
        name: name.into(),
        process: "ek-counted".into(),
        parameters: Vec::new(),
        parameter_match: None,
        full_command: false,
        quorum,
        quorum_max,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    };
    let whole = TrackProcess {
        process: place.path("ek-counted"),
        parameters: vec!["1000".into()],
        parameter_match: Some(model::vrrp::ParameterMatch::Exact),
        full_command: true,
        ..process("whole", 1, None)
    };
    let late =
        TrackProcess { terminate_delay: Duration::from_millis(700), ..process("late", 1, None) };
    let processes = vec![process("one", 1, None), process("two", 2, Some(2)), whole, late];
    let trackers = Trackers { processes, ..Trackers::default() };
    let mut helper = Helper::here(HelperPlan { trackers, ..plan() });
    let known = |name: &str| Tracked::Process(name.into());
    helper.wait_for(&known("one"), TrackerState::Down);
    let mut first = sleeping(&place, "ek-counted");
    helper.wait_for(&known("one"), TrackerState::Up);
    helper.wait_for(&known("whole"), TrackerState::Up);
    let mut second = sleeping(&place, "ek-counted");
    helper.wait_for(&known("two"), TrackerState::Up);
    let mut third = sleeping(&place, "ek-counted");
    helper.wait_for(&known("two"), TrackerState::Down);
    let begun = Instant::now();
    for child in [&mut first, &mut second, &mut third] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    helper.wait_for(&known("late"), TrackerState::Down);
    assert!(begun.elapsed() > Duration::from_millis(690), "terminate_delay passes first");
    assert!(helper.role.stop().success());
}

/// Writes what a program sees of itself: arguments, environment, mask, user, descriptors.
const RECORDER: &str = r#"
out="$RECORD/$1.$$"
{
  echo "arguments: $*"
  echo "umask $(umask), user $(id -u) groups $(id -G), nice $(nice)"
  echo "standard: $(readlink /proc/$$/fd/0)"
  echo "own group: $(test "$(ps -o pgid= -p $$ | tr -d ' ')" = $$ && echo yes)"
  grep -E 'SigBlk|SigIgn' /proc/self/status
  env | grep -v -E '^(RECORD|PWD|OLDPWD|SHLVL|_)=' | sort
} > "$out.tmp" 2>&1
mv "$out.tmp" "$out"
"#;

/// Every record of a run by its first argument, sorted.
fn records(directory: &str) -> Vec<(String, String)> {
    let mut all: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (kind, pid) = name.split_once('.')?;
            pid.parse::<u32>().ok()?;
            Some((kind.to_owned(), fs::read_to_string(entry.path()).ok()?))
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn programs_see_what_keepalived_shows_them() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    if !Path::new(KEEPALIVED).exists() {
        return println!("skipped: keepalived is not installed");
    }
    let place = Place::new("notify");
    let recorder = place.script("recorder", RECORDER);
    for name in ["ours", "theirs"] {
        fs::create_dir(place.path(name)).unwrap();
    }
    let net = Net::new("scripts").unwrap();
    let (a, b) = (net.namespace("a").unwrap(), net.namespace("b").unwrap());
    net.veth((&a, "eth0"), (&b, "eth0")).unwrap();
    a.ip("addr add 10.9.0.1/24 dev eth0").unwrap();
    let lines = |lines: &[(&str, &str)]| -> String {
        let line = |&(keyword, words): &(&str, &str)| format!("{keyword} \"{recorder} {words}\"\n");
        lines.iter().map(line).collect()
    };
    let configuration = format!(
        "global_defs {{\n script_user root\n vrrp_notify_fifo {fifo}\n}}\n\
         vrrp_script chk {{\n script \"{recorder} track\"\n interval 1\n}}\n\
         vrrp_sync_group G {{\n group {{\n VI\n }}\n {group} }}\n\
         vrrp_instance VI {{\n interface eth0\n virtual_router_id 51\n priority 100\n \
         advert_int 1\n virtual_ipaddress {{\n 10.9.0.100\n }}\n track_script {{\n chk\n }}\n \
         {instance} }}\n",
        fifo = place.path("fifo"),
        group = lines(&[("notify", "group own"), ("notify_stop", "groupstop")]),
        instance = lines(&[
            ("notify_backup", "backup y"),
            ("notify_master", "master 'a b'"),
            ("notify_stop", "stop"),
            ("notify", "any"),
        ]),
    );
    fs::write(place.path("keepalived.conf"), configuration).unwrap();
    let environment = |command: &mut Command, record: &str| {
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("COLOUR", "blue");
        command.env("RECORD", place.path(record));
    };

    let mut command = a.command(KEEPALIVED);
    environment(&mut command, "theirs");
    command.args(["-n", "-P", "-f", &place.path("keepalived.conf"), "-p", &place.path("k.pid")]);
    command.args(["-r", &place.path("v.pid")]).stdin(Stdio::null());
    let mut keepalived = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    within("keepalived makes its pipe", || Path::new(&place.path("fifo")).exists());
    let theirs_fifo = fs::metadata(place.path("fifo")).unwrap().mode();
    let mut reader = open_pipe(&place.path("fifo"));
    within("keepalived is master", || {
        records(&place.path("theirs")).iter().any(|one| one.0 == "master")
    });
    let id = rustix::process::Pid::from_raw(i32::try_from(keepalived.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    keepalived.wait().unwrap();
    let theirs_lines = read_pipe(&mut reader);
    assert!(!Path::new(&place.path("fifo")).exists());

    let notify = |words: &[&str]| {
        let mut all = vec![recorder.as_str()];
        all.extend(words);
        Some(program(&all))
    };
    let instance = Notify {
        backup: notify(&["backup", "y"]),
        master: notify(&["master", "a b"]),
        stop: notify(&["stop"]),
        any: notify(&["any"]),
        ..Notify::default()
    };
    let group = Notify {
        stop: notify(&["groupstop"]),
        any: notify(&["group", "own"]),
        ..Notify::default()
    };
    let subject = |group, name: &str, notify| NotifySubject { group, name: name.into(), notify };
    let mut check = tracking("chk", &[&recorder, "track"]);
    (check.interval, check.timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    let plan = HelperPlan {
        trackers: Trackers { scripts: vec![check], ..Trackers::default() },
        subjects: vec![subject(false, "VI", instance), subject(true, "G", group)],
        fifos: vec![Fifo { path: place.path("fifo"), user: None, script: None, common: false }],
        ..plan()
    };
    let mut command = a.command(env!("CARGO_BIN_EXE_evenkeel"));
    environment(&mut command, "ours");
    let mut helper = Helper::start(command, plan);
    assert_eq!(fs::metadata(place.path("fifo")).unwrap().mode(), theirs_fifo);
    let mut reader = open_pipe(&place.path("fifo"));
    helper.wait_for(&Tracked::Script("chk".into()), TrackerState::Up);
    for kind in [NoticeKind::Backup, NoticeKind::Master, NoticeKind::Stop] {
        helper.notice(false, "VI", kind);
        helper.notice(true, "G", kind);
    }
    assert!(helper.role.stop().success());
    let ours_lines = read_pipe(&mut reader);
    assert!(!Path::new(&place.path("fifo")).exists());

    assert_eq!(ours_lines, theirs_lines);
    let (ours, theirs) = (records(&place.path("ours")), records(&place.path("theirs")));
    assert!(theirs.len() >= 9, "{theirs:#?}");
    assert_eq!(ours, theirs);
}

fn open_pipe(path: &str) -> fs::File {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    fs::OpenOptions::new().read(true).custom_flags(flags).open(path).unwrap()
}

/// What is in a pipe whose writer is gone.
fn read_pipe(pipe: &mut fs::File) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_pipe_outlives_its_reader_and_its_program_gets_its_path() {
    let place = Place::new("pipe");
    let fifo = place.path("pipe");
    let out = place.path("out");
    let reader = place.script(
        "reader",
        &format!("trap 'exec 3<&-; exit' TERM\nexec 3<\"$2\"\nwhile read -r line <&3; do echo \"$1 $line\" >> {out}; done"),
    );
    let script = Some(program(&[&reader, "own"]));
    let subject = NotifySubject { group: false, name: "VI".into(), notify: Notify::default() };
    let fifos = vec![Fifo { path: fifo.clone(), user: None, script, common: false }];
    let configured = HelperPlan {
        subjects: vec![subject],
        fifos: fifos.clone(),
        write_states_on_reload: true,
        ..plan()
    };
    let mut helper = Helper::here(configured.clone());
    helper.notice(false, "VI", NoticeKind::Master);
    let text = || fs::read_to_string(&out).unwrap_or_default();
    let first = "own INSTANCE \"VI\" MASTER 100\n";
    within("the program has read it", || text() == first);
    helper.role.configure(RolePlan::Helper(configured.clone()));
    within("a reload says it again", || text() == first.repeat(2));
    helper.notice(false, "VI", NoticeKind::MasterRxLowerPri);
    let third = "own INSTANCE \"VI\" MASTER_RX_LOWER_PRI 100\n";
    within("weaker masters are told of", || text().ends_with(third));

    // Without a reader lines stay in the pipe, and more than it holds holds nobody up.
    let alone = vec![Fifo { script: None, ..fifos[0].clone() }];
    helper.role.configure(RolePlan::Helper(HelperPlan { fifos: alone, ..configured }));
    for _ in 0..8000 {
        helper.notice(false, "VI", NoticeKind::MasterRxLowerPri);
    }
    helper.notice(false, "VI", NoticeKind::Backup);
    assert!(helper.role.stop().success());
    assert!(!Path::new(&fifo).exists());
}

#[test]
fn the_end_waits_for_programs_but_not_for_ever() {
    let place = Place::new("end");
    let done = place.path("done");
    let stop = place.script("stop", &format!("sleep 0.5; echo done > {done}"));
    let hanging = place.script("hanging", "sleep 1000");
    let with = |script: &str| {
        let notify = Notify { stop: Some(program(&[script])), ..Notify::default() };
        let subject = NotifySubject { group: false, name: "VI".into(), notify };
        HelperPlan { subjects: vec![subject], finish_within: Duration::from_secs(1), ..plan() }
    };
    let mut helper = Helper::here(with(&stop));
    helper.notice(false, "VI", NoticeKind::Stop);
    assert!(helper.role.stop().success());
    assert!(Path::new(&done).exists(), "notify_stop had its time");

    // A removed instance's programs are still known; the supervisor's death is an end too.
    fs::remove_file(&done).unwrap();
    let mut helper = Helper::here(with(&stop));
    helper.role.configure(RolePlan::Helper(plan()));
    helper.notice(false, "VI", NoticeKind::Stop);
    drop(helper.link);
    assert!(helper.role.abandon().success());
    assert!(Path::new(&done).exists());

    let mut helper = Helper::here(with(&hanging));
    helper.notice(false, "VI", NoticeKind::Stop);
    let begun = Instant::now();
    assert!(helper.role.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    within("its program ends with it", || {
        Command::new("pgrep").args(["-f", &hanging]).output().unwrap().stdout.is_empty()
    });
}
