//! A director before five real servers, under either program, and all that it tells.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use rustix::process::Signal;

use super::tables;
use crate::duties::{Director, Place, Running, within};
use crate::mails::{Sink, global};
use crate::peers::scenario::Product;

/// A step has ended when nothing was told for so long: four intervals of the checkers.
const QUIET: Duration = Duration::from_secs(2);

/// Something that happens to the director or its real servers. Real server `n` is 10.0.0.n.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    /// A real server listens.
    Up(u8),
    /// It does not any more.
    Down(u8),
    /// A file of the place has this content, at once.
    Write(&'static str, &'static str),
    /// It is gone.
    Remove(&'static str),
    /// The machine has the virtual address.
    Gain,
    /// It has it no more.
    Lose,
    /// The director runs with other virtual servers.
    Reload(&'static str),
    /// The director ends.
    Stop,
}

/// What was told during a step, and the tables after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Sorted.
    pub(super) tables: Vec<String>,
    /// Lines of `lvs_notify_fifo`, in order.
    pub(super) lines: Vec<String>,
    /// Lines of `notify_fifo`, in order.
    pub(super) others: Vec<String>,
    /// Each script's arguments in brackets, sorted.
    pub(super) scripts: Vec<String>,
    /// Subjects and the first lines of bodies, sorted: ours have the reason beneath.
    pub(super) mails: Vec<String>,
}

impl Told {
    /// What differs, a line each.
    pub(super) fn differences(&self, ours: &Told) -> Vec<String> {
        let pairs = [
            ("tables", &self.tables, &ours.tables),
            ("lvs_notify_fifo", &self.lines, &ours.lines),
            ("notify_fifo", &self.others, &ours.others),
            ("scripts", &self.scripts, &ours.scripts),
            ("mails", &self.mails, &ours.mails),
        ];
        let different = pairs.into_iter().filter(|(_, theirs, ours)| theirs != ours);
        different
            .map(|(what, theirs, ours)| {
                format!("{what}: Keepalived\n   {theirs:?}\n  and Evenkeel\n   {ours:?}")
            })
            .collect()
    }
}

enum Program<'a> {
    Ours(Director<'a>),
    Theirs(Running),
}

/// A director with what it tells to.
pub(super) struct Bench<'a> {
    place: &'a Place,
    director: Namespace,
    servers: Namespace,
    listeners: BTreeMap<u8, TcpListener>,
    program: Option<Program<'a>>,
    /// More lines of `global_defs`.
    global: &'static str,
    pipes: [File; 2],
    sink: Sink,
    /// Scripts and mails of former steps.
    counted: [usize; 2],
    _net: Net,
}

impl<'a> Bench<'a> {
    pub(super) fn new(place: &'a Place, tag: &str) -> Bench<'a> {
        let net = Net::new(tag).unwrap();
        let (director, servers) = (net.namespace("dir").unwrap(), net.namespace("rs").unwrap());
        net.veth((&director, "eth0"), (&servers, "eth0")).unwrap();
        director.ip("addr add 10.0.0.254/24 dev eth0").unwrap();
        for number in 1..=5 {
            servers.ip(&format!("addr add 10.0.0.{number}/24 dev eth0")).unwrap();
        }
        director.sysctl("net/ipv4/ip_forward", "1").unwrap();
        let recorder = "said=$(printf '[%s]' \"$@\")\necho \"$said\" >> ";
        place.script("script", &format!("{recorder}{}", place.path("scripts")));
        let pipes = ["fifo", "others"].map(|name| {
            let path = place.path(name);
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(&path).unwrap()
        });
        let sink = Sink::open(&director);
        Bench {
            place,
            director,
            servers,
            listeners: BTreeMap::new(),
            program: None,
            global: "",
            pipes,
            sink,
            counted: [0, 0],
            _net: net,
        }
    }

    /// Starts the program and waits for its tables.
    pub(super) fn start(&mut self, product: Product, global: &'static str, services: &str) {
        self.global = global;
        self.configure(services);
        self.program = Some(match product {
            Product::Evenkeel => Program::Ours(Director::start(&self.director, self.place)),
            Product::Keepalived => Program::Theirs(self.start_keepalived()),
        });
        within("the first tables", || !self.tables().is_empty());
    }

    /// Writes the configuration: `DIR` is the place's directory, `tf` the file `track` there.
    fn configure(&self, services: &str) {
        let pipes = format!(
            "smtp_alert\n script_user root\n lvs_notify_fifo DIR/fifo\n notify_fifo DIR/others\n {}",
            self.global
        );
        let followed = if services.contains("track_file tf") {
            "track_file tf {\n file DIR/track\n weight 1\n}\n"
        } else {
            ""
        };
        let text =
            format!("{}{followed}{services}", global(&pipes)).replace("DIR/", &self.place.path(""));
        self.place.write("keepalived.conf", &text);
    }

    fn start_keepalived(&self) -> Running {
        let library = self.place.path("fake_ipvs.so");
        build(&library);
        let mut command = self.director.command("/usr/sbin/keepalived");
        command.env("LD_PRELOAD", library).env("EVENKEEL_FAKE_IPVS", self.place.path("requests"));
        command.args(["-n", "-l", "-D", "-f", &self.place.path("keepalived.conf")]);
        command.args(["-p", &self.place.path("k.pid"), "-c", &self.place.path("c.pid")]);
        command.args(["-r", &self.place.path("v.pid")]);
        let log = File::create(self.place.path("director.log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        Running(command.spawn().unwrap())
    }

    pub(super) fn carry_out(&mut self, deed: Deed) {
        match deed {
            Deed::Up(number) => {
                let bind =
                    || TcpListener::bind(SocketAddr::from(([10, 0, 0, number], 80))).unwrap();
                self.listeners.insert(number, self.servers.enter(bind).unwrap());
            }
            Deed::Down(number) => drop(self.listeners.remove(&number)),
            Deed::Write(name, text) => {
                let new = self.place.write(&format!("{name}.new"), text);
                fs::rename(new, self.place.path(name)).unwrap();
            }
            Deed::Remove(name) => fs::remove_file(self.place.path(name)).unwrap(),
            Deed::Gain => drop(self.director.ip("addr add 192.0.2.1/32 dev lo").unwrap()),
            Deed::Lose => drop(self.director.ip("addr del 192.0.2.1/32 dev lo").unwrap()),
            Deed::Reload(services) => {
                self.configure(services);
                match self.program.as_ref().expect("it runs") {
                    Program::Ours(director) => director.running.signal(Signal::HUP),
                    Program::Theirs(running) => running.signal(Signal::HUP),
                }
            }
            Deed::Stop => {
                let status = match self.program.take().expect("it runs") {
                    Program::Ours(director) => director.running.stop(),
                    Program::Theirs(running) => running.stop(),
                };
                assert!(status.success(), "{status}");
            }
        }
    }

    /// Waits until nothing is told any more; what was told since the last step.
    pub(super) fn told(&mut self) -> Told {
        let mut told = Told::default();
        let mut last = Instant::now();
        while last.elapsed() < QUIET {
            let now = self.look(&told);
            if now != told {
                (told, last) = (now, Instant::now());
            }
            thread::sleep(Duration::from_millis(50));
        }
        self.counted[0] += told.scripts.len();
        self.counted[1] += told.mails.len();
        told
    }

    fn look(&mut self, before: &Told) -> Told {
        let mut told = before.clone();
        told.tables = self.tables();
        for (pipe, lines) in self.pipes.iter_mut().zip([&mut told.lines, &mut told.others]) {
            let mut bytes = [0; 4096];
            // Nothing to read is an error of this descriptor.
            let length = pipe.read(&mut bytes).unwrap_or(0);
            lines.extend(String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned));
        }
        let scripts = self.place.read("scripts");
        told.scripts = scripts.lines().skip(self.counted[0]).map(str::to_owned).collect();
        told.scripts.sort();
        let mails = self.sink.all().into_iter().skip(self.counted[1]);
        told.mails = mails.map(|mail| format!("{} {}", mail.subject, mail.body[0])).collect();
        told.mails.sort();
        told
    }

    fn tables(&self) -> Vec<String> {
        match &self.program {
            Some(Program::Ours(_)) => tables::of_listing(&ipvsadm(self.place, "-Ln")),
            Some(Program::Theirs(_)) => tables::of_requests(&self.place.read("requests")),
            None => Vec::new(),
        }
    }

    pub(super) fn log(&self) -> String {
        self.place.read("director.log")
    }
}

/// What our director lists.
pub(super) fn ipvsadm(place: &Place, flags: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(["ipvsadm", flags, "--runtime-dir", &place.path("run")]);
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

/// Makes the library that takes the kernel's place.
fn build(library: &str) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/peers/fake_ipvs.c");
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o", library, source]).status();
    assert!(status.unwrap().success());
}
