//! One director of the lab: `evenkeel run` inside a namespace.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use model::layer4::{Endpoint, ServiceKey};
use model::status::{DirectorReport, ProxyReport, VrrpReport, VrrpState};
use serde::Deserialize;

use crate::net::{Namespace, kill_inside, run};
use crate::topology::Held;

/// One configuration file as `evenkeel run` is told about it.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// `-f`, `--keepalived` or `--haproxy`.
    pub option: &'static str,
    /// Where it is.
    pub path: PathBuf,
}

/// One director; killed when dropped.
pub(crate) struct Director {
    /// 1 or 2.
    pub number: usize,
    /// Where it runs.
    pub namespace: Namespace,
    pub(crate) executable: PathBuf,
    pub(crate) files: Vec<ConfigFile>,
    pub(crate) options: Vec<String>,
    pub(crate) runtime_directory: PathBuf,
    pub(crate) pin_directory: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) child: Option<Child>,
}

/// As much of `evenkeel status --json` as drills look at.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    /// The vrrp role's report.
    pub vrrp: Option<VrrpReport>,
    /// The director role's report.
    pub director: Option<DirectorReport>,
    /// The proxy role's report.
    pub proxy: Option<ProxyReport>,
}

impl Director {
    /// Starts it. What it prints goes to its log.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        fs::create_dir_all(&self.runtime_directory)?;
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = self.namespace.command(&self.executable);
        command.args(["run", "--foreground"]);
        for file in &self.files {
            command.arg(file.option).arg(&file.path);
        }
        command.arg("--runtime-dir").arg(&self.runtime_directory);
        command.arg("--pin-dir").arg(&self.pin_directory).args(&self.options);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Ctrl-C in the terminal is for the lab, which ends its directors itself.
        command.process_group(0);
        command.env_remove("NOTIFY_SOCKET");
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// It was started and has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills every process of it at once, without a chance to say goodbye.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        let inode = fs::metadata(Path::new("/run/netns").join(self.namespace.name()))?.ino();
        kill_inside(&HashSet::from([inode]));
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait()?;
        }
        Ok(())
    }

    /// What a power cycle clears: addresses, programs in the kernel, files in /run.
    pub(crate) fn forget(&self, held: &[Held], interfaces: &[String]) {
        for held in held {
            // Most are not there.
            let device = &held.interface;
            let prefix_len = held.prefix_len;
            let _ =
                self.namespace.ip(&format!("addr del {}/{prefix_len} dev {device}", held.address));
        }
        remove_pins(&self.pin_directory);
        for interface in interfaces {
            let _ = self.namespace.ip(&format!("link set dev {interface} xdp off"));
            let mut tc = self.namespace.command("tc");
            let _ = run(tc.args(["qdisc", "del", "dev", interface, "clsact"]));
        }
        let _ = fs::remove_dir_all(&self.runtime_directory);
    }

    /// Its live state; an error while it is starting.
    pub(crate) fn status(&self) -> io::Result<Status> {
        let mut command = Command::new(&self.executable);
        command.args(["status", "--json", "--runtime-dir"]).arg(&self.runtime_directory);
        let output = run(&mut command)?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Which of these addresses its interfaces have, asked of the kernel.
    pub(crate) fn holds(&self, held: &[Held]) -> io::Result<Vec<Ipv4Addr>> {
        let listed = self.namespace.ip("-o -4 addr show")?;
        let own: HashSet<Ipv4Addr> = listed
            .lines()
            .filter_map(|line| line.split_whitespace().nth(3)?.split('/').next()?.parse().ok())
            .collect();
        Ok(held.iter().map(|held| held.address).filter(|address| own.contains(address)).collect())
    }

    /// The end of its log, for a report of what went wrong.
    pub(crate) fn log_tail(&self, lines: usize) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        let from = all.len().saturating_sub(lines);
        all[from..].iter().map(|&line| line.to_owned()).collect()
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        let _ = self.kill();
        remove_pins(&self.pin_directory);
    }
}

impl Status {
    /// Every instance is in this state.
    pub(crate) fn all_in(&self, state: VrrpState) -> bool {
        self.vrrp
            .as_ref()
            .is_none_or(|vrrp| vrrp.instances.iter().all(|instance| instance.state == state))
    }

    /// Whether a real server gets connections; nothing when it is not known.
    pub(crate) fn real_server(&self, key: ServiceKey, endpoint: Endpoint) -> Option<bool> {
        let services = &self.director.as_ref()?.services;
        let service = services.iter().find(|service| service.key == key)?;
        let server = service.servers.iter().find(|server| server.endpoint == endpoint)?;
        Some(server.in_table)
    }

    /// Whether a backend's server gets requests; nothing when it is not known.
    pub(crate) fn backend_server(&self, backend: &str, server: &str) -> Option<bool> {
        let backends = &self.proxy.as_ref()?.backends;
        let backend = backends.iter().find(|known| known.name == backend)?;
        Some(backend.servers.iter().find(|known| known.name == server)?.up)
    }
}

/// Removes a director's pins, which frees its programs and tables.
fn remove_pins(directory: &Path) {
    let _ = fs::remove_dir_all(directory);
}
