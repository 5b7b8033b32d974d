//! Two directors through the life of a pair: both up, the master stopped, the master back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::record::record;

/// Longest wait for the expected holder.
const PATIENCE: Duration = Duration::from_secs(25);

/// A configuration for both sides, and what is to be seen.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// `PRIORITY`, `OWN` and `PEER` are replaced: 150 or 100, and the sides' addresses.
    pub(crate) configuration: &'static str,
    /// An address that says who is master.
    pub(crate) address: &'static str,
    /// Who is master after each step.
    pub(crate) masters: [usize; 3],
    /// How long nothing may change after the master is back.
    pub(crate) calm: Duration,
}

/// Which program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Evenkeel,
    Keepalived,
}

/// Both sides' state after each step.
pub(crate) type Records = Vec<[Vec<String>; 2]>;

/// One director of a pair.
pub(crate) struct Side {
    pub(crate) namespace: Namespace,
    product: Product,
    number: usize,
    files: PathBuf,
    process: Option<Child>,
}

/// Runs a pair of these products through the steps.
pub(crate) fn play(scenario: &Scenario, products: [Product; 2]) -> Records {
    let net = Net::new(scenario.name).unwrap();
    let spaces = [net.namespace("a").unwrap(), net.namespace("b").unwrap()];
    for interface in ["eth0", "eth1"] {
        net.veth((&spaces[0], interface), (&spaces[1], interface)).unwrap();
    }
    let mut sides: Vec<Side> = spaces
        .iter()
        .zip(products)
        .enumerate()
        .map(|(number, (namespace, product))| Side::new(scenario, number, namespace, product))
        .collect();
    let mut records = Vec::new();
    sides[0].start();
    // So that the first one is master from the start, whatever the priorities.
    await_master(scenario, &sides, 0);
    sides[1].start();
    thread::sleep(scenario.calm);
    records.push(see(scenario, &sides, 0));
    sides[0].stop();
    records.push(see(scenario, &sides, 1));
    sides[0].start();
    thread::sleep(scenario.calm);
    records.push(see(scenario, &sides, 2));
    records
}

fn see(scenario: &Scenario, sides: &[Side], step: usize) -> [Vec<String>; 2] {
    await_master(scenario, sides, scenario.masters[step]);
    // Routes and rules follow the addresses.
    thread::sleep(Duration::from_millis(300));
    [0, 1].map(|side| record(&sides[side].namespace, scenario.configuration))
}

fn await_master(scenario: &Scenario, sides: &[Side], master: usize) {
    let end = Instant::now() + PATIENCE;
    loop {
        let holders: Vec<usize> =
            (0..sides.len()).filter(|&side| sides[side].holds(scenario.address)).collect();
        if holders == [master] {
            return;
        }
        if Instant::now() > end {
            let logs: Vec<String> = sides.iter().map(Side::log).collect();
            let products: Vec<Product> = sides.iter().map(|side| side.product).collect();
            panic!(
                "{} {products:?}: master is {holders:?} and not {master}\n{}",
                scenario.name,
                logs.join("\n--- the other side:\n")
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
}

impl Side {
    pub(crate) fn new(
        scenario: &Scenario,
        number: usize,
        namespace: &Namespace,
        product: Product,
    ) -> Side {
        Side::of(scenario.configuration, number, namespace, product)
    }

    /// With its own addresses on eth0 and eth1, and a configuration for it.
    pub(super) fn of(
        configuration: &str,
        number: usize,
        namespace: &Namespace,
        product: Product,
    ) -> Side {
        for (network, interface) in ["eth0", "eth1"].into_iter().enumerate() {
            let address = format!("10.{}.0.{}/24", 9 + network, number + 1);
            namespace.ip(&format!("addr add {address} dev {interface}")).unwrap();
            let address = format!("2001:db8:{network}::{}/64", number + 1);
            namespace.ip(&format!("addr add {address} dev {interface} nodad")).unwrap();
        }
        let files = std::env::temp_dir().join(namespace.name());
        fs::create_dir_all(&files).unwrap();
        let side = Side { namespace: namespace.clone(), product, number, files, process: None };
        side.configure(configuration);
        let script = format!("#!/bin/sh\necho \"$*\" >> {}\n", side.path("notices"));
        side.write("notify", &script);
        fs::set_permissions(side.path("notify"), fs::Permissions::from_mode(0o755)).unwrap();
        side
    }

    /// Writes its configuration: `PRIORITY`, `OWN`, `PEER` and `FILES` are replaced.
    fn configure(&self, configuration: &str) {
        let text = configuration
            .replace("PRIORITY", if self.number == 0 { "150" } else { "100" })
            .replace("OWN", &format!("10.9.0.{}", self.number + 1))
            .replace("PEER", &format!("10.9.0.{}", 2 - self.number))
            .replace("FILES", &self.files.display().to_string());
        self.write("keepalived.conf", &text);
    }

    /// Takes over another configuration.
    pub(super) fn reload(&self, configuration: &str) {
        self.configure(configuration);
        let process = self.process.as_ref().expect("it runs");
        kill_process(Pid::from_child(process), Signal::HUP).unwrap();
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.files.join(name).display().to_string()
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// What its `notify` script was told, a line each.
    pub(super) fn notices(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("notices")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn start(&mut self) {
        let file = |name: &str| self.files.join(name);
        let mut command = match self.product {
            Product::Evenkeel => {
                let mut command = self.namespace.command(env!("CARGO_BIN_EXE_evenkeel"));
                command.args(["run", "--foreground", "--keepalived"]);
                command.arg(file("keepalived.conf"));
                command.arg("--runtime-dir").arg(file("run"));
                command.arg("--pin-dir").arg(format!("/sys/fs/bpf/{}", self.namespace.name()));
                command
            }
            Product::Keepalived => {
                let mut command = self.namespace.command("keepalived");
                command.args(["-n", "-l", "-D", "-P", "-f"]).arg(file("keepalived.conf"));
                command.arg("-p").arg(file("pid")).arg("-r").arg(file("vrrp.pid"));
                command
            }
        };
        let log = fs::OpenOptions::new().create(true).append(true).open(file("log")).unwrap();
        let errors = log.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().unwrap();
        self.process = Some(child);
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
            let _ = child.wait();
        }
    }

    pub(crate) fn holds(&self, address: &str) -> bool {
        self.namespace.ip("-o addr show").unwrap_or_default().contains(address)
    }

    /// The process of one of our roles.
    pub(crate) fn role(&self, name: &str) -> Option<u32> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(["status", "--json", "--runtime-dir"]).arg(self.files.join("run"));
        let status: Value = serde_json::from_slice(&command.output().ok()?.stdout).ok()?;
        let role = status["roles"].as_array()?.iter().find(|one| one["role"] == name)?;
        role["pid"].as_u64().map(|pid| pid as u32)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.files.join("log")).unwrap_or_default()
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.files);
    }
}
