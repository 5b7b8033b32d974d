//! Where it takes place: a client, a director that is master of an address, and a server's side
//! that nobody is on.

use std::fs;
use std::io::BufRead;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use director::xdp::LAYOUT;
use lab::net::{Namespace, Net};
use rustix::process::{Pid, Signal, kill_process};

use super::{Result, Settings};
use crate::capture::{Capture, Packet};

pub(super) const VIRTUAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The port of TCP's service; UDP's is 53.
pub(super) const STREAMS: u16 = 80;
const PATIENCE: Duration = Duration::from_secs(60);

/// The namespaces and the processes in them.
pub(crate) struct Place {
    client: Namespace,
    director: Namespace,
    process: Option<Child>,
    capture: Capture,
    directory: PathBuf,
    pins: PathBuf,
    _net: Net,
}

/// In KiB: what the processes hold, and what their maps take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) processes: u64,
    pub(crate) maps: u64,
}

impl Place {
    /// Starts all of it and waits until the director forwards.
    pub(super) fn start(settings: &Settings) -> Result<Place> {
        let net = Net::new("soak")?;
        let (client, director) = (net.namespace("client")?, net.namespace("director")?);
        let servers = net.namespace("servers")?;
        net.veth((&client, "eth0"), (&director, "eth0"))?;
        net.veth((&director, "eth1"), (&servers, "eth0"))?;
        director.ip("addr add 192.0.2.1/24 dev eth0")?;
        director.ip("addr add 10.0.0.254/24 dev eth1")?;
        for last in [1, 2] {
            // The frames are for somebody else: the kernel there forgets them at once.
            director.ip(&format!(
                "neigh add 10.0.0.{last} lladdr 02:00:00:00:99:0{last} dev eth1 nud permanent"
            ))?;
        }
        let directory = std::env::temp_dir().join(director.name());
        fs::create_dir_all(&directory)?;
        let pins = PathBuf::from(format!("/sys/fs/bpf/{}", director.name()));
        let capture = Capture::start(&client, "eth0", "ip proto 112")?;
        let mut place =
            Place { client, director, process: None, capture, directory, pins, _net: net };
        place.run(settings)?;
        place.wait()?;
        Ok(place)
    }

    fn run(&mut self, settings: &Settings) -> Result<()> {
        let file = self.directory.join("soak.conf");
        fs::write(&file, configuration(settings))?;
        let log = fs::File::create(self.directory.join("log"))?;
        let mut command = self.director.command(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(["run", "--foreground", "--keepalived"]).arg(&file);
        command.arg("--runtime-dir").arg(self.directory.join("run"));
        command.arg("--pin-dir").arg(&self.pins);
        command.args(["--connections", &settings.connections.to_string()]);
        let errors = log.try_clone()?;
        self.process = Some(command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn()?);
        Ok(())
    }

    /// Until the address is there and its services are.
    fn wait(&self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let shown = self.director.ip("-4 -o addr show dev eth0").unwrap_or_default();
            let links = fs::read_dir(self.pins.join("links")).map_or(0, Iterator::count);
            if shown.contains(&VIRTUAL.to_string()) && links == 2 && self.services() == 2 {
                thread::sleep(Duration::from_secs(2));
                return Ok(());
            }
            if Instant::now() > end {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                return Err(format!("the director does not forward: {log}").into());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn services(&self) -> usize {
        let map = edge::bpf::Map::open(&self.pins.join(LAYOUT).join("services"));
        let all = map.and_then(|map| map.lookup_batch(&mut None, 64));
        all.map_or(0, |all| all.iter().count())
    }

    pub(super) fn client(&self) -> &Namespace {
        &self.client
    }

    pub(super) fn client_interface(&self) -> Result<u32> {
        let text = read_in(&self.client, "/sys/class/net/eth0/ifindex")?;
        Ok(text.trim().parse()?)
    }

    pub(super) fn director_mac(&self) -> Result<[u8; 6]> {
        let text = read_in(&self.director, "/sys/class/net/eth0/address")?;
        let bytes: std::result::Result<Vec<u8>, _> =
            text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
        bytes?.try_into().map_err(|_| "a MAC address of another length".into())
    }

    pub(super) fn pins(&self) -> &Path {
        &self.pins
    }

    /// Adverts since the last call.
    pub(super) fn adverts(&self) -> Vec<Packet> {
        self.capture.take()
    }

    pub(super) fn memory(&self) -> Result<Memory> {
        let mut memory = Memory { processes: 0, maps: 0 };
        for process in self.processes()? {
            let status = fs::read_to_string(format!("/proc/{process}/status"))?;
            memory.processes += number_after(&status, "VmRSS:");
            for entry in fs::read_dir(format!("/proc/{process}/fdinfo"))?.flatten() {
                let about = fs::read_to_string(entry.path()).unwrap_or_default();
                if about.contains("map_id:") {
                    memory.maps += number_after(&about, "memlock:") / 1024;
                }
            }
        }
        Ok(memory)
    }

    fn processes(&self) -> Result<Vec<u32>> {
        let Some(first) = self.process.as_ref().map(Child::id) else { return Ok(Vec::new()) };
        let mut all = vec![first];
        let mut at = 0;
        while at < all.len() {
            let path = format!("/proc/{0}/task/{0}/children", all[at]);
            let children = fs::read_to_string(path)?;
            all.extend(children.split_whitespace().filter_map(|one| one.parse::<u32>().ok()));
            at += 1;
        }
        Ok(all)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = kill_process(Pid::from_child(&process), Signal::TERM);
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_dir_all(&self.pins);
    }
}

/// `ip netns exec` is not needed for it: a command in the namespace sees its own /sys only there.
fn read_in(namespace: &Namespace, path: &str) -> Result<String> {
    let script = format!("mount -t sysfs none /sys && cat {path}");
    let output = namespace.command("unshare").args(["-m", "sh", "-c", &script]).output()?;
    let text = String::from_utf8(output.stdout)?;
    match text.is_empty() {
        true => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
        false => Ok(text),
    }
}

fn number_after(text: &str, name: &str) -> u64 {
    let mut lines = text.as_bytes().lines().map_while(std::result::Result::ok);
    let line = lines.find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn configuration(settings: &Settings) -> String {
    let mut text = format!(
        "global_defs {{\n lvs_timeouts udp {}\n}}\n\
         vrrp_instance VI_1 {{\n state MASTER\n interface eth0\n version 3\n \
         virtual_router_id 7\n priority 200\n advert_int 0.01\n \
         virtual_ipaddress {{\n {VIRTUAL}/32\n }}\n}}\n",
        settings.udp_timeout.as_secs()
    );
    for (port, protocol) in [(53, "UDP"), (STREAMS, "TCP")] {
        text += &format!(
            "virtual_server {VIRTUAL} {port} {{\n lb_algo wlc\n lb_kind DR\n protocol {protocol}\n"
        );
        for last in [1, 2] {
            text += &format!(" real_server 10.0.0.{last} {port} {{\n weight 1\n }}\n");
        }
        text += "}\n";
    }
    text
}
