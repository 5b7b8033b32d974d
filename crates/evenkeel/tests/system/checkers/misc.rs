//! MISC_CHECK: programs, their exit statuses, and the end of those that take too long.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use model::check::{CheckKind, Checker, MiscCheck};
use model::vrrp::{Command, User};

use super::{Bench, checker, one_each, target};
use crate::director_role::PATIENCE;

fn run(words: &[&str], dynamic: bool) -> CheckKind {
    let words = words.iter().map(|word| word.to_string()).collect();
    let command = Command { words, user: None };
    CheckKind::Misc(MiscCheck { command, dynamic, configured_weight: u32::from(dynamic) })
}

fn shell(script: &str) -> CheckKind {
    run(&["/bin/sh", "-c", script], false)
}

#[test]
fn misc_check_goes_by_exit_status_and_user() {
    let Some(bench) = Bench::new("misc") else { return };
    let dynamic = |script: &str| run(&["/bin/sh", "-c", script], true);
    let mut as_nobody = shell("test \"$(id -u):$(id -G)\" = 65534:65534");
    if let CheckKind::Misc(misc) = &mut as_nobody {
        misc.command.user = Some(User { name: "nobody".into(), uid: 65534, gid: 65534 });
    }
    let kinds = vec![
        shell("exit 0"),
        shell("exit 1"),
        shell("exit 7"),
        dynamic("exit 7"),
        dynamic("exit 1"),
        dynamic("exit 255"),
        shell("kill -KILL $$"),
        as_nobody,
        run(&["/bin/sh", "-c", "test \"$1\" = \"a b\"", "sh", "a b"], false),
        run(&["/does/not/exist"], false),
    ];
    let results = bench.results(kinds.into_iter().map(|kind| (kind, target(0))).collect());
    assert_eq!(
        results[..9],
        [
            "true: exit status 0",
            "false: exit status 1",
            "false: exit status 7",
            "true: exit status 7, weight 5",
            "false: exit status 1",
            "true: exit status 255, weight 253",
            "false: ended by signal 9",
            "true: exit status 0",
            "true: exit status 0",
        ]
    );
    assert!(results[9].starts_with("false: not started: "), "{}", results[9]);
}

#[test]
fn a_program_that_takes_too_long_is_ended_with_all_of_its_children() {
    let Some(bench) = Bench::new("misclong") else { return };
    let path = PathBuf::from(format!("/tmp/{}-pids", bench.director.name()));
    let _ = fs::remove_file(&path);
    // The child ignores SIGTERM.
    let script = format!(
        "trap '' TERM; sh -c 'echo $$ >> {0}; sleep 1000; sleep 1000' & echo $$ >> {0}; wait; wait",
        path.display()
    );
    let slow =
        Checker { timeout: Duration::from_millis(500), ..checker(shell(&script), target(0)) };
    let results = bench.results_of(one_each(vec![slow]));
    assert_eq!(results, ["false: still running after 500 ms"]);
    let pids = || fs::read_to_string(&path).unwrap_or_default();
    let alive = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    let deadline = Instant::now() + PATIENCE;
    while pids().lines().any(alive) {
        assert!(Instant::now() < deadline, "{} still run", pids());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(pids().lines().count() >= 2);
    fs::remove_file(&path).unwrap();
}
