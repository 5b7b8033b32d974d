//! A namespace in which every real server is local, the listener that is all of them, and the
//! director that checks them.

use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::capture::Capture;
use crate::configuration::{self, Change};
use crate::servers::Servers;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Longest wait for a start, a reload or an end.
const PATIENCE: Duration = Duration::from_secs(90);

/// Fields of /proc/PID/stat after the name.
const UTIME: usize = 11;
const STIME: usize = 12;

/// Two namespaces on a cable: the director's with all servers, and one that hears its adverts.
pub(crate) struct Site {
    directory: PathBuf,
    space: Namespace,
    pub(crate) adverts: Capture,
    pub(crate) servers: Servers,
    _net: Net,
}

impl Site {
    pub(crate) fn build() -> Result<Site> {
        let net = Net::new("checks")?;
        let (space, other) = (net.namespace("director")?, net.namespace("other")?);
        net.veth((&space, "eth0"), (&other, "eth0"))?;
        space.ip(&format!("addr add {}/16 dev eth0", configuration::DIRECTOR))?;
        other.ip("addr add 10.9.0.2/16 dev eth0")?;
        space.ip(&format!("route add local {} dev lo", configuration::SERVERS))?;
        // Whom the director checked waits for a minute at the director's side.
        space.sysctl("net/ipv4/ip_local_port_range", "1024 65000")?;
        let directory = std::env::temp_dir().join(space.name());
        fs::create_dir_all(&directory)?;
        let adverts = Capture::start(&other, "eth0", "ip proto 112")?;
        let servers = Servers::open(&space)?;
        Ok(Site { directory, space, adverts, servers, _net: net })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// `evenkeel run` as systemd would start it.
pub(crate) struct Director<'s> {
    site: &'s Site,
    child: Child,
    notices: UnixDatagram,
    file: PathBuf,
    servers: u32,
    /// From the start of the process until everything was in force.
    pub(crate) start: Duration,
}

impl<'s> Director<'s> {
    /// Starts it, and waits until it says that everything is in force.
    pub(crate) fn start(site: &'s Site, servers: u32) -> Result<Director<'s>> {
        let file = site.directory.join("keepalived.conf");
        fs::write(&file, configuration::text(servers, Change::default()))?;
        let socket = site.directory.join("notify");
        let _ = fs::remove_file(&socket);
        let notices = UnixDatagram::bind(&socket)?;
        notices.set_read_timeout(Some(PATIENCE))?;
        let log = fs::File::create(site.directory.join("log"))?;
        let mut command = site.space.command(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(["run", "--foreground", "--keepalived"]).arg(&file);
        command.arg("--runtime-dir").arg(site.directory.join("run"));
        command.arg("--pin-dir").arg(format!("/sys/fs/bpf/{}", site.space.name()));
        command.env("NOTIFY_SOCKET", &socket).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let begun = Instant::now();
        let child = command.spawn()?;
        let start = Duration::ZERO;
        let mut director = Director { site, child, notices, file, servers, start };
        director.wait_until_ready()?;
        director.start = begun.elapsed();
        Ok(director)
    }

    /// Puts another configuration in force by SIGHUP: from the signal until it is.
    pub(crate) fn reload(&self, change: Change) -> Result<Duration> {
        fs::write(&self.file, configuration::text(self.servers, change))?;
        let begun = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::HUP)?;
        self.wait_until_ready()?;
        Ok(begun.elapsed())
    }

    fn wait_until_ready(&self) -> Result<()> {
        let mut text = [0; 4096];
        loop {
            let length = self.notices.recv(&mut text).map_err(|error| self.explain(&error))?;
            let text = String::from_utf8_lossy(&text[..length]);
            if text.contains("refused") {
                return Err(self.explain(&io::Error::other(text.into_owned())).into());
            }
            if text.starts_with("READY=1") {
                return Ok(());
            }
        }
    }

    fn explain(&self, error: &io::Error) -> String {
        let log = fs::read_to_string(self.site.directory.join("log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(10).collect();
        format!("the director is not ready: {error}\n{}", tail.join("\n"))
    }

    /// Real servers in the tables, those of them that are up, and how long the answer took.
    pub(crate) fn status(&self) -> Result<(usize, usize, Duration)> {
        let begun = Instant::now();
        let mut command = self.site.space.command(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(["status", "--json", "--runtime-dir"]).arg(self.site.directory.join("run"));
        let output = command.stdin(Stdio::null()).output()?;
        let took = begun.elapsed();
        let status: Value = serde_json::from_slice(&output.stdout)?;
        Ok((count(&status, "in_table"), count(&status, "up"), took))
    }

    /// Processor time of the role so far, over all of its threads.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        processor_time(&self.role()?)
    }

    /// The same with the supervisor's: what a start or a reload costs on however busy a machine.
    pub(crate) fn processor_time_of_both(&self) -> Result<Duration> {
        let supervisor = Path::new("/proc").join(self.child.id().to_string());
        Ok(self.processor_time()? + processor_time(&supervisor)?)
    }

    /// Resident memory of the role now and at its most, in KiB.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let status = fs::read_to_string(self.role()?.join("status"))?;
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Ok((line("VmRSS:"), line("VmHWM:")))
    }

    /// The director role's directory in /proc.
    fn role(&self) -> Result<PathBuf> {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = fs::read_to_string(children)?;
        let is_director = |path: &PathBuf| {
            let command = fs::read(path.join("cmdline")).unwrap_or_default();
            command.split(|&byte| byte == 0).any(|word| word == b"director")
        };
        let mut paths = children.split_whitespace().map(|pid| Path::new("/proc").join(pid));
        Ok(paths.find(is_director).ok_or("there is no director role")?)
    }
}

/// Of all its threads: exactly for those that live, in hundredths of a second with those that
/// ended (proc(5): schedstat, stat).
fn processor_time(process: &Path) -> Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(process.join("task"))? {
        let statistics = fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += statistics.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    let statistics = fs::read_to_string(process.join("stat"))?;
    let (_, fields) = statistics.rsplit_once(')').ok_or("no statistics of the process")?;
    let ticks = |number: usize| fields.split_whitespace().nth(number).unwrap_or("0").parse::<u64>();
    let all = Duration::from_millis(10 * (ticks(UTIME)? + ticks(STIME)?));
    Ok(Duration::from_nanos(sum).max(all))
}

impl Drop for Director<'_> {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(Some(_)) | Err(_) => return,
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often a key is true, however deep.
fn count(value: &Value, key: &str) -> usize {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                usize::from(name == key && value == &Value::Bool(true)) + count(value, key)
            })
            .sum(),
        Value::Array(items) => items.iter().map(|item| count(item, key)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
