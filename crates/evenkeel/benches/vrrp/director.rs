//! Pairs of directors on a cable: ours, and Debian's keepalived.

use std::error::Error;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use rustix::process::{Pid, Signal, kill_process};

use crate::wire::{Addresses, Capture, Change};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Priority of the one that is master.
const MASTER: u8 = 250;
/// Priority of the one that is measured: theory 3 A + 16/256 A = 30.6 ms at A = 10 ms.
const BACKUP: u8 = 240;
/// Longest wait for a state that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which program, and how it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    /// As installed: real-time where it may.
    Evenkeel,
    /// Without real-time priority.
    EvenkeelOrdinary,
    /// As installed.
    Keepalived,
    /// With `vrrp_rt_priority` and `vrrp_no_swap`.
    KeepalivedRealtime,
}

impl Product {
    /// For tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Product::Evenkeel => "evenkeel",
            Product::EvenkeelOrdinary => "evenkeel, no SCHED_FIFO",
            Product::Keepalived => "keepalived",
            Product::KeepalivedRealtime => "keepalived, real-time",
        }
    }
}

impl Product {
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Product::Evenkeel | Product::EvenkeelOrdinary)
    }

    /// A command that runs it in the foreground.
    pub(crate) fn command(self, space: &Namespace, file: &Path) -> Command {
        match self {
            Product::Evenkeel | Product::EvenkeelOrdinary => {
                let mut command = space.command(env!("CARGO_BIN_EXE_evenkeel"));
                command.args(["run", "--foreground", "--keepalived"]).arg(file);
                command.arg("--runtime-dir").arg(file.with_extension("run"));
                command.arg("--pin-dir").arg(format!("/sys/fs/bpf/{}", space.name()));
                if self == Product::EvenkeelOrdinary {
                    command.env("EVENKEEL_NO_REALTIME", "1");
                }
                command
            }
            Product::Keepalived | Product::KeepalivedRealtime => {
                let mut command = space.command("keepalived");
                command.args(["-n", "-l", "-P", "-f"]).arg(file);
                command.arg("-p").arg(file.with_extension("pid"));
                command.arg("-r").arg(file.with_extension("vrrp.pid"));
                command.arg("-b").arg(file.with_extension("bfd.pid"));
                command
            }
        }
    }
}

/// Two directors and the eyes on the second one's side.
pub(crate) struct Pair {
    pub(crate) product: Product,
    directory: PathBuf,
    sides: [Namespace; 2],
    processes: [Option<Child>; 2],
    pub(crate) capture: Capture,
    pub(crate) addresses: Addresses,
    instances: u8,
    _net: Net,
}

impl Pair {
    /// Starts both and waits until the first one is master of everything.
    pub(crate) fn start(product: Product, instances: u8) -> Result<Pair> {
        let net = Net::new("duel")?;
        let sides = [net.namespace("a")?, net.namespace("b")?];
        net.veth((&sides[0], "eth0"), (&sides[1], "eth0"))?;
        for (number, side) in sides.iter().enumerate() {
            side.ip(&format!("addr add 10.9.0.{}/16 dev eth0", number + 1))?;
        }
        let directory = std::env::temp_dir().join(sides[0].name());
        fs::create_dir_all(&directory)?;
        let capture = Capture::start(&sides[1], "eth0", "ip proto 112")?;
        let addresses = Addresses::watch(&sides[1], Change::Added)?;
        let mut pair = Pair {
            product,
            directory,
            sides,
            processes: [None, None],
            capture,
            addresses,
            instances,
            _net: net,
        };
        for side in 0..2 {
            pair.run(side)?;
        }
        pair.settle()?;
        Ok(pair)
    }

    /// Address of a side's adverts.
    pub(crate) fn source(side: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 9, 0, side as u8 + 1)
    }

    /// Starts a side.
    pub(crate) fn run(&mut self, side: usize) -> Result<()> {
        let priority = if side == 0 { MASTER } else { BACKUP };
        let file = self.path(side, "conf");
        fs::write(&file, self.configuration(priority))?;
        let log = fs::File::create(self.path(side, "log"))?;
        let mut command = self.product.command(&self.sides[side], &file);
        let errors = log.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn()?;
        self.processes[side] = Some(child);
        Ok(())
    }

    fn path(&self, side: usize, what: &str) -> PathBuf {
        self.directory.join(format!("{side}.{what}"))
    }

    fn configuration(&self, priority: u8) -> String {
        let mut text = match self.product {
            Product::KeepalivedRealtime => {
                "global_defs {\n vrrp_rt_priority 49\n vrrp_no_swap\n}\n".to_owned()
            }
            Product::Evenkeel | Product::EvenkeelOrdinary | Product::Keepalived => String::new(),
        };
        for id in 1..=self.instances {
            text += &format!(
                "vrrp_instance VI_{id} {{\n state BACKUP\n interface eth0\n version 3\n \
                 virtual_router_id {id}\n priority {priority}\n advert_int 0.01\n \
                 virtual_ipaddress {{\n 10.9.1.{id}/32\n }}\n}}\n"
            );
        }
        text
    }

    /// Waits until the first side holds everything and the second nothing, and a little longer.
    pub(crate) fn settle(&self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let held = [0, 1].map(|side| self.held(side));
            if held == [usize::from(self.instances), 0] {
                break;
            }
            if Instant::now() > end {
                return Err(format!("{}: {held:?} addresses held", self.product.name()).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(200));
        self.capture.take();
        self.addresses.take();
        // The master's last advert is among those that come now.
        thread::sleep(Duration::from_millis(100));
        Ok(())
    }

    /// How many virtual addresses a side holds.
    pub(crate) fn held(&self, side: usize) -> usize {
        let shown = self.sides[side].ip("-4 -o addr show dev eth0").unwrap_or_default();
        shown.lines().filter(|line| line.contains("10.9.1.")).count()
    }

    /// Sends a signal to every process of a side, the supervising one first.
    pub(crate) fn signal(&self, side: usize, signal: Signal) -> Result<()> {
        for pid in self.pids(side)? {
            let _ = kill_process(pid, signal);
        }
        Ok(())
    }

    /// Asks a side to stop in order, and waits.
    pub(crate) fn stop(&mut self, side: usize) -> Result<()> {
        if let Some(mut child) = self.processes[side].take() {
            let pid = Pid::from_child(&child);
            kill_process(pid, Signal::TERM)?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks a side to stop, and does not wait.
    pub(crate) fn ask_to_stop(&self, side: usize) -> Result<()> {
        if let Some(child) = &self.processes[side] {
            kill_process(Pid::from_child(child), Signal::TERM)?;
        }
        Ok(())
    }

    fn pids(&self, side: usize) -> Result<Vec<Pid>> {
        let Some(parent) = &self.processes[side] else { return Ok(Vec::new()) };
        let parent = parent.id();
        let mut all = vec![parent];
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if parent_of(pid) == Some(parent) {
                all.push(pid);
            }
        }
        Ok(all.into_iter().filter_map(|pid| Pid::from_raw(pid as i32)).collect())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for side in 0..2 {
            let _ = self.signal(side, Signal::CONT);
            let _ = self.stop(side);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(1)?.parse().ok()
}
