//! `evenkeel lab` with the examples it ships with.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A rehearsal that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(240);

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs").join(name)
}

fn lab(files: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.arg("lab").args(files.iter().map(|name| example(name)));
    command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Namespaces, directories and pins that the lab of this process id left.
fn left_behind(pid: u32) -> Vec<String> {
    let places = [
        ("/run/netns", format!("ek-lab-{pid}-")),
        ("/sys/fs/bpf", format!("evenkeel-lab-{pid}")),
        ("/tmp", format!("evenkeel-lab-{pid}")),
    ];
    let in_place = |(directory, prefix): &(&str, String)| -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with(prefix.as_str())).collect()
    };
    places.iter().flat_map(in_place).collect()
}

/// Runs it to its end, within bounds; returns what it printed and its process id.
fn run(files: &[&str]) -> (Output, u32) {
    let child = lab(files).spawn().unwrap();
    let pid = child.id();
    let watchdog = std::thread::spawn(move || child.wait_with_output().unwrap());
    let begin = Instant::now();
    while !watchdog.is_finished() {
        if begin.elapsed() > PATIENCE {
            let _ = Command::new("kill").args(["-TERM", &pid.to_string()]).status();
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    (watchdog.join().unwrap(), pid)
}

fn passes(files: &[&str]) {
    if let Some(reason) = lab::net::missing() {
        println!("skipped: {reason}");
        return;
    }
    let (output, pid) = run(files);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{errors}");
    for drill in ["spread", "server death", "server return", "failover", "director return"] {
        assert!(text.contains(&format!("── {drill} ")), "no {drill} in {text}");
    }
    assert_eq!(left_behind(pid), [""; 0]);
}

#[test]
fn the_nat_example_survives_a_server_and_a_director() {
    passes(&["nat.conf"]);
}

#[test]
fn the_direct_routing_example_survives_a_server_and_a_director() {
    passes(&["direct-routing.conf"]);
}

#[test]
fn an_interrupted_lab_leaves_nothing_behind() {
    if let Some(reason) = lab::net::missing() {
        println!("skipped: {reason}");
        return;
    }
    let mut child = lab(&["nat.conf"]).spawn().unwrap();
    let pid = child.id();
    let mut progress = BufReader::new(child.stdout.take().unwrap()).lines();
    let started = progress.any(|line| line.is_ok_and(|line| line.contains("starting director 2")));
    assert!(started, "it ended before it began");
    assert!(!left_behind(pid).is_empty(), "nothing was built");
    let sent = Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap();
    assert!(sent.success());
    // The rest is read so that it never waits for us.
    progress.for_each(drop);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(left_behind(pid), [""; 0]);
}
