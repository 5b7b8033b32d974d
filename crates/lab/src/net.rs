//! Namespaces and the cables between them. Everything a [`Net`] made is gone when it is dropped.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{self, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use edge::netns::NetworkNamespace;

/// Where `ip netns` keeps the names.
const NETNS_DIRECTORY: &str = "/run/netns";
/// Every name begins with this: `ek-TAG-PID-SEQUENCE-NAME`.
const PREFIX: &str = "ek";
/// Rounds of killing what runs in a namespace before giving up on it.
const KILL_ROUNDS: u32 = 50;

/// A set of namespaces with the cables between them. Dropping it kills the processes inside and
/// deletes the namespaces.
pub struct Net {
    stem: String,
    namespaces: Mutex<Vec<String>>,
    /// Programs on the ports of switches, attached while these are open.
    programs: Mutex<Vec<OwnedFd>>,
}

/// One namespace of a [`Net`]; loopback is up. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: Arc<str>,
    handle: NetworkNamespace,
}

impl Net {
    /// An empty set. `tag` appears in the namespaces' names. Namespaces that a killed run left
    /// behind are removed first. Needs root and iproute2.
    pub fn new(tag: &str) -> io::Result<Net> {
        static SEQUENCE: AtomicU32 = AtomicU32::new(0);
        remove_stale();
        let tag: String = tag.chars().filter(char::is_ascii_alphanumeric).collect();
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let stem = format!("{PREFIX}-{tag}-{}-{sequence}", process::id());
        Ok(Net { stem, namespaces: Mutex::new(Vec::new()), programs: Mutex::new(Vec::new()) })
    }

    /// A new namespace; its full name is unique on this machine.
    pub fn namespace(&self, name: &str) -> io::Result<Namespace> {
        let name = format!("{}-{name}", self.stem);
        {
            // One at a time: the first `ip netns add` of all mounts the directory.
            static FIRST: Mutex<()> = Mutex::new(());
            let _guard = FIRST.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            run(Command::new("ip").args(["netns", "add", &name]))?;
        }
        lock(&self.namespaces).push(name.clone());
        let handle = NetworkNamespace::open(Path::new(NETNS_DIRECTORY).join(&name))?;
        let namespace = Namespace { name: name.into(), handle };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// A cable: two veth devices, up, with the offloads that native XDP needs.
    pub fn veth(&self, a: (&Namespace, &str), b: (&Namespace, &str)) -> io::Result<()> {
        let ((here, here_device), (there, there_device)) = (a, b);
        here.ip(&format!(
            "link add {here_device} type veth peer name {there_device} netns {}",
            there.name()
        ))?;
        // Both before either comes up: a veth learns only then whether its peer takes frames that
        // are redirected to it.
        for (namespace, device) in [a, b] {
            namespace.prepare_offloads(device)?;
        }
        for (namespace, device) in [a, b] {
            namespace.ip(&format!("link set {device} up"))?;
        }
        Ok(())
    }

    /// A switch: a bridge in a namespace of its own with one cable per member. The bridge's
    /// ports are `port0`, `port1`... in the order of the members; its namespace is returned.
    pub fn segment(&self, name: &str, members: &[(&Namespace, &str)]) -> io::Result<Namespace> {
        let switch = self.namespace(name)?;
        switch.ip("link add br0 type bridge forward_delay 0 mcast_snooping 0")?;
        switch.ip("link set br0 up")?;
        for (number, &(member, device)) in members.iter().enumerate() {
            let port = format!("port{number}");
            self.veth((&switch, &port), (member, device))?;
            switch.ip(&format!("link set {port} master br0"))?;
            // A member's XDP program may answer through the cable it was asked on.
            let program = switch.enter(|| edge::xdp_pass::attach(&port))??;
            lock(&self.programs).push(program);
        }
        Ok(switch)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        remove(&lock(&self.namespaces));
    }
}

impl Namespace {
    /// The name `ip netns` knows it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace itself.
    pub fn handle(&self) -> &NetworkNamespace {
        &self.handle
    }

    /// Runs `ip -n NAMESPACE ARGUMENTS`, split at blanks; returns what it printed.
    pub fn ip(&self, arguments: &str) -> io::Result<String> {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name]).args(arguments.split_whitespace());
        let output = run(&mut command)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A command that starts inside this namespace.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.handle.command(program)
    }

    /// Runs `work` on a thread of its own inside this namespace and waits for its value.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        self.handle.enter(work)
    }

    /// Writes `/proc/sys/KEY` as this namespace sees it: `sysctl("net/ipv4/ip_forward", "1")`.
    pub fn sysctl(&self, key: &str, value: &str) -> io::Result<()> {
        self.enter(|| fs::write(Path::new("/proc/sys").join(key), value))?.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: sysctl {key}={value}: {error}", self.name))
        })
    }

    /// Without checksum offload a frame carries its whole checksum, which native XDP needs; with
    /// GRO on, veth delivers what a peer's XDP program sends or redirects.
    fn prepare_offloads(&self, device: &str) -> io::Result<()> {
        run(self.command("ethtool").args(["-K", device, "tx", "off", "gro", "on"]))?;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Why namespaces cannot be made here, or nothing when they can.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".into());
    }
    ["ip", "ethtool"].into_iter().find_map(|tool| {
        let found = Command::new(tool).arg("--version").output().is_ok();
        (!found).then(|| format!("`{tool}` is not installed"))
    })
}

/// Removes every namespace of this program whose maker no longer runs.
pub fn remove_stale() {
    let Ok(entries) = fs::read_dir(NETNS_DIRECTORY) else { return };
    let stale: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| maker(name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()))
        .collect();
    remove(&stale);
}

/// Process id in a name of ours.
fn maker(name: &str) -> Option<u32> {
    let mut parts = name.split('-');
    if parts.next() != Some(PREFIX) {
        return None;
    }
    parts.nth(1)?.parse().ok()
}

/// Kills what runs in the namespaces, then deletes them. Failures are ignored: it runs in drop,
/// and the next run's [`remove_stale`] tries again.
fn remove(names: &[String]) {
    if names.is_empty() {
        return;
    }
    let inodes: HashSet<u64> = names
        .iter()
        .filter_map(|name| Some(fs::metadata(Path::new(NETNS_DIRECTORY).join(name)).ok()?.ino()))
        .collect();
    kill_inside(&inodes);
    for name in names {
        let _ = run(Command::new("ip").args(["netns", "del", name]));
    }
}

/// Kills every process whose network namespace is one of these, until none is left.
pub(crate) fn kill_inside(inodes: &HashSet<u64>) {
    for _ in 0..KILL_ROUNDS {
        let mut found = false;
        for pid in processes_inside(inodes) {
            found = true;
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        if !found {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Process ids in these namespaces; never this process. Zombies have no namespace any more.
fn processes_inside(inodes: &HashSet<u64>) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&pid| pid != process::id())
        .filter(|pid| {
            fs::metadata(format!("/proc/{pid}/ns/net"))
                .is_ok_and(|metadata| inodes.contains(&metadata.ino()))
        })
        .collect()
}

/// Runs a command to its end; what it wrote to standard error becomes the error.
pub(crate) fn run(command: &mut Command) -> io::Result<Output> {
    let output = command.output().map_err(|error| {
        io::Error::new(error.kind(), format!("{}: {error}", command.get_program().display()))
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let arguments: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    Err(io::Error::other(format!(
        "{} {}: {}",
        command.get_program().display(),
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::process::Stdio;
    use std::time::Instant;

    use super::*;

    macro_rules! needs_root {
        () => {
            if let Some(reason) = missing() {
                println!("skipped: {reason}");
                return;
            }
        };
    }

    #[test]
    fn three_namespaces_on_a_segment_reach_each_other() {
        needs_root!();
        let net = Net::new("reach").unwrap();
        let members = ["a", "b", "c"].map(|name| net.namespace(name).unwrap());
        let [a, b, c] = &members;
        net.segment("lan", &[(a, "eth0"), (b, "eth0"), (c, "eth0")]).unwrap();
        for (number, member) in members.iter().enumerate() {
            member.ip(&format!("addr add 10.9.0.{}/24 dev eth0", number + 1)).unwrap();
        }
        let listener = b.enter(|| TcpListener::bind("10.9.0.2:80").unwrap()).unwrap();
        for from in [a, c] {
            let mut stream = from.enter(|| TcpStream::connect("10.9.0.2:80").unwrap()).unwrap();
            let (mut accepted, _) = listener.accept().unwrap();
            accepted.write_all(b"hello").unwrap();
            drop(accepted);
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
        }
    }

    #[test]
    fn dropping_a_net_kills_its_processes_and_deletes_its_namespaces() {
        needs_root!();
        let net = Net::new("drop").unwrap();
        let inside = net.namespace("x").unwrap();
        let path = Path::new(NETNS_DIRECTORY).join(inside.name());
        assert!(path.exists());
        let mut child = inside.command("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        drop(net);
        assert!(!path.exists());
        assert!(!child.wait().unwrap().success());
        assert!(begin.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_sysctl_is_written_in_the_namespace_and_nowhere_else() {
        needs_root!();
        let net = Net::new("sysctl").unwrap();
        let [a, b] = ["a", "b"].map(|name| net.namespace(name).unwrap());
        a.sysctl("net/ipv4/ip_forward", "1").unwrap();
        let read = || fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
        assert_eq!(a.enter(read).unwrap().trim(), "1");
        assert_eq!(b.enter(read).unwrap().trim(), "0");
    }

    #[test]
    fn a_namespace_of_a_process_that_is_gone_is_stale() {
        needs_root!();
        let mut child = Command::new("true").spawn().unwrap();
        let gone = child.id();
        child.wait().unwrap();
        let name = format!("{PREFIX}-stale-{gone}-0-x");
        run(Command::new("ip").args(["netns", "add", &name])).unwrap();
        remove_stale();
        assert!(!Path::new(NETNS_DIRECTORY).join(name).exists());
    }

    #[test]
    fn only_our_names_name_a_maker() {
        assert_eq!(maker("ek-lab-123-0-client"), Some(123));
        assert_eq!(maker("other-lab-123-0-client"), None);
        assert_eq!(maker("ek-lab"), None);
    }
}
