//! What an administrator types without a running director: check, plan, help.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn evenkeel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("evenkeel starts")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("ek-{}-{name}", std::process::id()));
        std::fs::write(&path, content).expect("a file");
        Scratch(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const THREE_MISTAKES: &str = "\
vrrp_instance A {
    interface eth0
    virtual_router_id 300
    virtual_ipaddress {
        192.0.2.1/24
    }
}
virtual_server 192.0.2.1 80 {
    lb_algo wrx
    1b_kind NAT
    real_server 10.0.0.1 80 {
        weight 1
    }
    protocol TCP
}
";

#[test]
fn three_mistakes_are_three_diagnostics_with_their_places_and_exit_code_1() {
    let file = Scratch::new("mistakes.conf", THREE_MISTAKES);
    let output = evenkeel(&["check", file.path()]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert_eq!(said.matches("error: ").count(), 3, "{said}");
    for (line, column, words) in
        [(3, 23, "255"), (9, 13, "did you mean \"wrr\"?"), (10, 5, "did you mean \"lb_kind\"?")]
    {
        assert!(said.contains(&format!("{}:{line}:{column}", file.path())), "{said}");
        assert!(said.contains(words), "{said}");
    }

    let output = evenkeel(&["check", "--format", "json", file.path()]);
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let lines: Vec<_> = found.as_array().expect("a list").iter().map(|one| &one["line"]).collect();
    assert_eq!(lines, [3, 9, 10]);
}

#[test]
fn our_examples_give_a_summary_and_nothing_else() {
    let examples: &[&[&str]] = &[
        &["configs/nat.conf"],
        &["configs/direct-routing.conf"],
        &["configs/video-cluster.conf"],
        &["configs/nat-smtp.conf"],
        &["configs/haproxy.cfg", "configs/haproxy-vrrp.conf"],
    ];
    for files in examples {
        let output = evenkeel(&[&["check"], *files].concat());
        assert_eq!(output.status.code(), Some(0), "{files:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{files:?}");
        assert_eq!(text(&output.stdout).lines().count(), 1);
    }
}

#[test]
fn the_books_configurations_load_and_say_what_does_not_fit() {
    let documents = "crates/conf/tests/documents";
    let book = evenkeel(&["check", &format!("{documents}/book-nat.conf")]);
    assert_eq!(book.status.code(), Some(0));
    let said = text(&book.stderr);
    assert!(said.contains("warning") && said.contains("192.168.1.11"), "{said}");

    let scanned = evenkeel(&["check", &format!("{documents}/scanned.conf")]);
    assert_eq!(scanned.status.code(), Some(1));
    let said = text(&scanned.stderr);
    for cause in [
        "did you mean \"lb_kind\"?",
        "connect_port needs a port",
        "TCP_CHECK is never closed",
        "real_server is never closed",
        "virtual_server has no opening brace",
    ] {
        assert!(said.contains(cause), "{cause}\n{said}");
    }
}

#[test]
fn a_plan_without_a_running_director_is_all_additions() {
    let nowhere = std::env::temp_dir().join(format!("ek-nowhere-{}", std::process::id()));
    let nowhere = nowhere.to_str().expect("a path in UTF-8");
    let output = evenkeel(&["plan", "configs/nat.conf", "--runtime-dir", nowhere]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    assert!(said.contains("layer 4  + virtual server TCP 10.0.0.1:80"), "{said}");
    let output = evenkeel(&["status", "--runtime-dir", nowhere]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no Evenkeel is running here"));
}

#[test]
fn help_knows_commands_and_keywords_of_both_languages() {
    for (topic, words) in [
        ("run", "--standby"),
        ("lb_kind", "keepalived.conf"),
        ("redispatch", "haproxy.cfg"),
        ("nb_get_retry", "retry"),
    ] {
        let output = evenkeel(&["help", topic]);
        assert_eq!(output.status.code(), Some(0), "{topic}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(words), "{topic}: {}", text(&output.stdout));
    }
    let output = evenkeel(&["help", "lb_alg"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("did you mean \"lb_algo\"?"));
}

#[test]
fn the_committed_reference_is_what_the_tables_say() {
    let directory = std::env::temp_dir().join(format!("ek-reference-{}", std::process::id()));
    let output = evenkeel(&["reference", "--output", directory.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let now = std::fs::read_to_string(directory.join("keywords.md")).expect("the reference");
    let _ = std::fs::remove_dir_all(&directory);
    let committed = std::fs::read_to_string(root().join("docs/reference/keywords.md"));
    assert!(committed.is_ok_and(|committed| committed == now), "run `make docs`");
}

/// A director that went to the background, as an administrator would start and stop it.
struct Daemon {
    folder: PathBuf,
}

impl Daemon {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    fn run(&self) -> Output {
        let pins = format!("/sys/fs/bpf/ek-daemon-{}", std::process::id());
        let (config, runtime) = (self.path("haproxy.cfg"), self.path("run"));
        evenkeel(&["run", "-f", &config, "--runtime-dir", &runtime, "--pin-dir", &pins])
    }

    fn pid(&self) -> Option<i32> {
        std::fs::read_to_string(self.path("pid")).ok()?.trim().parse().ok()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = self.pid().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(15);
        while self.pid().is_some() && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let left = self.pid();
        let _ = std::fs::remove_dir_all(&self.folder);
        assert!(left.is_none() || std::thread::panicking(), "the pidfile goes with the process");
    }
}

#[test]
fn daemon_returns_when_ready_keeps_its_pidfile_and_answers_ten_reloads_at_once() {
    let folder = std::env::temp_dir().join(format!("ek-daemon-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let daemon = Daemon { folder };
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("its number").port();
    drop(free);
    let config = format!(
        "global\n daemon\n pidfile {}\n nbthread 1\ndefaults\n mode http\n timeout client 5s\n \
         timeout server 5s\n timeout connect 1s\nfrontend web\n bind 127.0.0.1:{port}\n \
         default_backend app\nbackend app\n server one 127.0.0.1:9\n",
        daemon.path("pid")
    );
    std::fs::write(daemon.path("haproxy.cfg"), &config).expect("a file");
    // Its output is read to the end: it returns only if nothing holds the terminal open.
    let started = daemon.run();
    assert_eq!(started.status.code(), Some(0), "{}", text(&started.stderr));
    let pid = daemon.pid().expect("a pidfile");

    let second = daemon.run();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another Evenkeel runs here already"));
    assert_eq!(daemon.pid(), Some(pid), "the pidfile is still that of the first");

    let changed = config.replace("nbthread 1", "nbthread 2");
    std::fs::write(daemon.path("haproxy.cfg"), changed).expect("a file");
    let runtime = daemon.path("run");
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let reload = evenkeel(&["reload", "--runtime-dir", &runtime]);
                assert_eq!(reload.status.code(), Some(0), "{}", text(&reload.stderr));
            });
        }
    });
}

#[test]
fn files_that_cannot_be_read_or_say_nothing_are_named_once() {
    let empty = Scratch::new("empty.conf", "");
    let said = text(&evenkeel(&["check", empty.path()]).stderr);
    assert!(said.contains(" is empty"), "{said}");
    let said = text(&evenkeel(&["check", "/does/not/exist.cfg"]).stderr);
    assert_eq!(said.matches("cannot read").count(), 1, "{said}");
    let marked = Scratch::new("bom.cfg", "\u{feff}defaults\r\n\tmode http\r\n");
    let output = evenkeel(&["check", "--haproxy", marked.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn options_of_server_stand_before_or_after_its_command() {
    let directory = ["--runtime-dir", "/does/not/exist"];
    let order = ["drain", "192.0.2.1:80", "10.0.0.1:80"];
    for arguments in [[&directory[..], &order, &["--json"]], [&["--json"], &order, &directory]] {
        let output = evenkeel(&[&["server"], &arguments.concat()[..]].concat());
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        assert!(error.contains("nobody answers at /does/not/exist/control.sock"), "{error}");
    }
}
