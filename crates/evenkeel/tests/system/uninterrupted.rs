//! Traffic with sequence numbers through a whole director whose processes are killed one after the
//! other, and which is reloaded meanwhile: the kernel's losses are all there are.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use model::layer4::Forwarding;
use rustix::process::{Pid, Signal, kill_process};

use crate::site::kill;
use crate::stream::{Traffic, is_whole, losses, serve};
use crate::world::{PORT, VIRTUAL, World, server_address};

const PATIENCE: Duration = Duration::from_secs(30);

/// `evenkeel run` in the director of a world.
struct Running<'a> {
    world: &'a World,
    child: Option<Child>,
}

impl Running<'_> {
    fn path(&self, name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(self.world.director.name()).join(name)
    }

    fn write(&self, weight: u32) {
        let mut text = String::new();
        for protocol in ["TCP", "UDP"] {
            text += &format!(
                "virtual_server {VIRTUAL} {PORT} {{\n lb_algo rr\n lb_kind NAT\n \
                 protocol {protocol}\n"
            );
            for last in [1, 2] {
                let address = server_address(last, Forwarding::Nat);
                text += &format!(" real_server {address} 8080 {{\n weight {weight}\n }}\n");
            }
            text += "}\n";
        }
        fs::create_dir_all(self.path("")).unwrap();
        fs::write(self.path("keepalived.conf"), text).unwrap();
    }

    fn start(&mut self) {
        let mut command = self.world.director.command(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(["run", "--foreground", "--keepalived"]).arg(self.path("keepalived.conf"));
        command.arg("--runtime-dir").arg(self.path("run")).arg("--pin-dir").arg(&self.world.pins);
        let log = fs::File::options().append(true).create(true).open(self.path("log")).unwrap();
        self.child = Some(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
        self.wait(|status| servers(status) == 4);
    }

    fn status(&self) -> serde_json::Value {
        let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["status", "--json", "--runtime-dir"])
            .arg(self.path("run"))
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn wait(&self, mut done: impl FnMut(&serde_json::Value) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(&self.status()) {
            let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(Instant::now() < end, "{}\n{}", self.status(), log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn role(&self, name: &str) -> Option<u32> {
        let status = self.status();
        let role = status["roles"].as_array()?.iter().find(|role| role["role"] == name)?.clone();
        u32::try_from(role["pid"].as_u64()?).ok()
    }

    fn kill_role(&self, name: &str) {
        let former = self.role(name).unwrap();
        kill(former);
        self.wait(|_| self.role(name).is_some_and(|pid| pid != former));
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(self.path(""));
    }
}

/// Real servers in the tables.
fn servers(status: &serde_json::Value) -> usize {
    let all = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let services = all(&status["director"]["services"]);
    let servers = services.iter().flat_map(|service| all(&service["servers"]));
    servers.filter(|server| server["in_table"] == true).count()
}

#[test]
fn killed_and_reloaded_under_traffic_it_loses_no_packet_and_moves_no_connection() {
    let Some(world) = World::new("l4killed", Forwarding::Nat) else { return };
    serve(&world);
    let mut running = Running { world: &world, child: None };
    running.write(1);
    running.start();
    let traffic = Traffic::start(&world);
    thread::sleep(Duration::from_secs(1));
    let before = losses(&world);
    for weight in 2..4 {
        running.kill_role("director");
        thread::sleep(Duration::from_millis(700));
        running.write(weight);
        let supervisor = running.child.as_ref().map(Pid::from_child).unwrap();
        kill_process(supervisor, Signal::HUP).unwrap();
        thread::sleep(Duration::from_millis(700));
        kill_process(supervisor, Signal::KILL).unwrap();
        running.child.take().unwrap().wait().unwrap();
        thread::sleep(Duration::from_millis(700));
        running.start();
        thread::sleep(Duration::from_millis(700));
    }
    let accounts = traffic.end();
    println!("{accounts:?}");
    accounts.iter().for_each(is_whole);
    assert_eq!(losses(&world) - before, 0, "sent again, reset, full buffers");
}
