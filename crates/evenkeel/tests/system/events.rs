//! `evenkeel events`, through `evenkeel run`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use lab::net::Net;
use serde_json::Value;

use crate::alerts::{listen, machine, service};
use crate::duties::{Director, Place, within};

fn events(place: &Place, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(["events", "--runtime-dir", &place.path("run")]).args(more);
    command
}

/// The lines of a follower, as they come.
fn lines(child: &mut std::process::Child) -> Receiver<String> {
    let (send, lines) = channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        out.lines().map_while(Result::ok).try_for_each(|line| send.send(line))
    });
    lines
}

#[test]
fn what_happens_is_shown_and_followed_as_it_happens() {
    if let Some(reason) = lab::net::missing() {
        println!("skipped: {reason}");
        return;
    }
    let (net, place) = (Net::new("events").unwrap(), Place::new("events"));
    let namespace = machine(&net);
    place.write("keepalived.conf", &service(8081, ""));
    let director = Director::start(&namespace, &place);
    let shown = || String::from_utf8(events(&place, &[]).output().unwrap().stdout).unwrap();
    within("the death", || shown().contains("server 127.0.0.1:8081 is down: connection refused"));
    let mut child = events(&place, &["--follow", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let told = lines(&mut child);
    let _server = listen(&namespace, 8081);
    let mut all: Vec<Value> = Vec::new();
    within("the return", || {
        all.extend(told.try_iter().map(|line| serde_json::from_str(&line).unwrap()));
        all.iter().any(|record| record["event"]["Health"]["up"] == true)
    });
    director.running.signal(rustix::process::Signal::HUP);
    within("the reload", || {
        all.extend(told.try_iter().map(|line| serde_json::from_str(&line).unwrap()));
        all.iter().any(|record| record["event"]["Reload"]["applied"] == true)
    });
    let numbers: Vec<u64> = all.iter().map(|one| one["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    child.kill().unwrap();
    child.wait().unwrap();
}
