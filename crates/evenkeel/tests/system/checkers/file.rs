//! FILE_CHECK: numbers in a file, through the director role.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use model::check::{CheckKind, FileCheck};
use model::layer4::{Endpoint, Layer4Plan, Outside, RealServer};
use model::vrrp::TrackFile;

use super::{Bench, checker, target};
use crate::director_role::{DirectorRole, PATIENCE};

/// A file of one test; removed when dropped.
struct Number(PathBuf);

impl Number {
    fn new(tag: &str) -> Number {
        let name = format!("ek-number-{tag}-{}", std::process::id());
        let number = Number(std::env::temp_dir().join(name));
        let _ = fs::remove_file(&number.0);
        number
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }

    /// Another file takes its place at once.
    fn replace(&self, text: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.0).unwrap();
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Servers with a weight, a FILE_CHECK's weight, and whether it is reversed.
fn plan(number: &Number, servers: &[(u32, i32, bool)]) -> Layer4Plan {
    let mut plan = super::plan(Vec::new());
    let server = |(place, &(weight, times, reverse)): (usize, &(u32, i32, bool))| {
        let file = FileCheck { name: "load".into(), weight: times, reverse, dynamic: times != 0 };
        let port = 1000 + place as u16;
        let endpoint = Endpoint { address: [10, 7, 0, 2].into(), port };
        let checkers = vec![checker(CheckKind::File(file), target(0))];
        RealServer { weight, checkers, ..RealServer::new(endpoint) }
    };
    plan.virtual_servers[0].real_servers = servers.iter().enumerate().map(server).collect();
    let file = TrackFile { name: "load".into(), path: number.path(), init: None };
    plan.outside = Outside { files: vec![file], ..Outside::default() };
    plan
}

/// Waits until the servers have these weights in the tables, or are not there.
fn shows(role: &mut DirectorRole, expected: &[Option<u32>]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let servers = role.report().services.remove(0).servers;
        let shown: Vec<Option<u32>> =
            servers.iter().map(|server| server.in_table.then_some(server.weight)).collect();
        if shown == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{shown:?} and not {expected:?}: {servers:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn file_check_follows_the_number_in_a_file() {
    let Some(bench) = Bench::new("file") else { return };
    let number = Number::new("follow");
    // The number, twice its negative, and any number but zero as a failure.
    let servers = [(100, 1, false), (100, 2, true), (7, 0, false)];
    let plan = plan(&number, &servers);
    let mut role = DirectorRole::start(&bench.director, &bench.pins, plan);
    let without = [Some(100), Some(100), Some(7)];
    shows(&mut role, &without);
    fs::write(&number.0, "20\n").unwrap();
    shows(&mut role, &[Some(120), Some(60), None]);
    // Nothing is left of the weight, but the server stays; what is too little takes it away.
    number.replace("-254\n");
    shows(&mut role, &[Some(0), Some(608), None]);
    number.replace("-2147483648\n");
    shows(&mut role, &[None, Some(65_535), None]);
    number.replace("no number\n");
    shows(&mut role, &without);
    number.replace("1");
    shows(&mut role, &[Some(101), Some(98), None]);
    fs::remove_file(&number.0).unwrap();
    shows(&mut role, &without);
    let status = role.report().services.remove(0).servers.remove(2);
    assert_eq!((status.up, status.flaps), (true, 4), "{status:?}");
    role.stop();
}
