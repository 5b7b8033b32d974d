//! What is seen on the cables of a pair that hangs on a switch.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use rustix::process::{Pid, Signal, kill_process};

/// How long tcpdump may take to listen, and to write down what it heard last.
const PATIENCE: Duration = Duration::from_secs(5);

/// Two directors on one switch, and a cable between them besides; each has an interface `spare0`
/// of its own. The bridge of the switch is 10.9.0.99.
pub(super) struct Lan {
    pub(super) directors: [Namespace; 2],
    pub(super) switch: Namespace,
    _net: Net,
}

impl Lan {
    pub(super) fn new(tag: &str) -> Lan {
        let net = Net::new(tag).unwrap();
        let directors = [net.namespace("a").unwrap(), net.namespace("b").unwrap()];
        let members = [(&directors[0], "eth0"), (&directors[1], "eth0")];
        let switch = net.segment("s", &members).unwrap();
        net.veth((&directors[0], "eth1"), (&directors[1], "eth1")).unwrap();
        for (number, director) in directors.iter().enumerate() {
            net.veth((director, "spare0"), (&switch, &format!("spare{number}"))).unwrap();
        }
        switch.ip("addr add 10.9.0.99/24 dev br0").unwrap();
        Lan { directors, switch, _net: net }
    }

    /// Cuts the cable of the second director in the switch: both carriers stay.
    pub(super) fn cut(&self) {
        self.switch.ip("link set port1 nomaster").unwrap();
    }

    pub(super) fn heal(&self) {
        self.switch.ip("link set port1 master br0").unwrap();
    }
}

/// Frames that one director sends, as tcpdump sees them at its port of the switch.
pub(super) struct Tap {
    process: Child,
    file: PathBuf,
}

impl Tap {
    /// Listens from when it returns on.
    pub(super) fn of(lan: &Lan, director: usize, filter: &str) -> Tap {
        let stem = format!("{}-tap{director}", lan.switch.name());
        let file = std::env::temp_dir().join(&stem);
        let errors = std::env::temp_dir().join(format!("{stem}.errors"));
        let mut command = lan.switch.command("tcpdump");
        command.args(["--immediate-mode", "-l", "-n", "-e", "-tt", "-Q", "in"]);
        command.args(["-i", &format!("port{director}"), filter]).stdin(Stdio::null());
        command.stdout(File::create(&file).unwrap()).stderr(File::create(&errors).unwrap());
        let process = command.spawn().unwrap();
        let end = Instant::now() + PATIENCE;
        while !fs::read_to_string(&errors).unwrap_or_default().contains("listening on") {
            assert!(Instant::now() < end, "tcpdump does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        let _ = fs::remove_file(errors);
        Tap { process, file }
    }

    /// What it saw up to now, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The priorities of the adverts it saw, each as long as it lasted.
    pub(super) fn priorities(&self) -> Vec<u8> {
        let of = |line: &String| line.split("prio ").nth(1)?.split(',').next()?.parse().ok();
        let mut all: Vec<u8> = self.lines().iter().filter_map(of).collect();
        all.dedup();
        all
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.file);
    }
}

/// Why nothing can be seen here.
pub(super) fn missing() -> Option<String> {
    let found = Command::new("tcpdump").arg("--version").output().is_ok();
    (!found).then(|| "`tcpdump` is not installed".to_owned())
}

/// Waits for something; says what it was when it does not come.
pub(super) fn within(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
