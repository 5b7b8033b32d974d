//! Mails of `smtp_alert`, and what is told at the end, beside Debian's keepalived; the mail of two
//! masters, which is ours alone.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use rustix::process::Signal;

use crate::duties::{Director, Place, Running, instance, pair, signal_to, within};

pub(crate) const PORT: u16 = 2525;

/// What can be compared of a mail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mail {
    from: String,
    to: String,
    pub(crate) subject: String,
    pub(crate) body: Vec<String>,
}

/// A mail server of a namespace that keeps everything.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<Mail>>>);

impl Sink {
    pub(crate) fn open(namespace: &Namespace) -> Sink {
        let listener = namespace.enter(|| TcpListener::bind(("127.0.0.1", PORT)).unwrap()).unwrap();
        let sink = Sink::default();
        let kept = sink.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || converse(&stream, &kept));
            }
        });
        sink
    }

    pub(crate) fn all(&self) -> Vec<Mail> {
        self.0.lock().unwrap().clone()
    }

    fn subjects(&self) -> Vec<String> {
        self.all().into_iter().map(|mail| mail.subject).collect()
    }

    fn has(&self, subject: &str) -> bool {
        self.subjects().iter().any(|one| one.ends_with(subject))
    }
}

fn converse(stream: &TcpStream, sink: &Sink) {
    let mut out = stream;
    let mut say = |text: &str| write!(out, "{text}\r\n").unwrap_or_default();
    say("220 sink");
    let mut data: Option<Vec<String>> = None;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        match (&mut data, line.as_str()) {
            (Some(lines), ".") => {
                sink.0.lock().unwrap().push(mail(lines));
                data = None;
                say("250 taken");
            }
            (Some(lines), _) => lines.push(line),
            (None, "DATA") => {
                data = Some(Vec::new());
                say("354 go on");
            }
            (None, "QUIT") => return say("221 bye"),
            (None, _) => say("250 fine"),
        }
    }
}

fn mail(lines: &[String]) -> Mail {
    let end = lines.iter().position(String::is_empty).unwrap_or(lines.len());
    // Long headers are folded.
    let headers = lines[..end].join("\n").replace("\n ", " ").replace("\n\t", " ");
    let header = |name: &str| {
        let found = headers.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        found.trim().replace(['<', '>'], "")
    };
    let body = lines[end..].iter().filter(|line| !line.is_empty()).cloned().collect();
    Mail { from: header("From:"), to: header("To:"), subject: header("Subject:"), body }
}

pub(crate) fn global(more: &str) -> String {
    format!(
        "global_defs {{\n router_id LVS_9\n notification_email {{\n one@example.com\n \
         two@example.com\n }}\n notification_email_from from@example.com\n \
         smtp_server 127.0.0.1 {PORT}\n smtp_connect_timeout 5\n {more}\n}}\n"
    )
}

/// Either program, running the place's configuration in a namespace.
fn start(ours: bool, namespace: &Namespace, place: &Place) -> Running {
    if ours {
        return Director::start(namespace, place).running;
    }
    let mut command = namespace.command("/usr/sbin/keepalived");
    command.args(["-n", "-l", "-P", "-f", &place.path("keepalived.conf")]);
    command.args(["-p", &place.path("k.pid"), "-r", &place.path("v.pid")]);
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn missing() -> Option<String> {
    lab::net::missing().or_else(|| {
        let there = fs::exists("/usr/sbin/keepalived").unwrap_or(false);
        (!there).then(|| "keepalived is not installed".to_owned())
    })
}

/// Becomes master, loses its link, gets it back, ends.
fn mails_of_a_life(ours: bool, more: &str) -> BTreeSet<Mail> {
    let tag = if ours { "mailo" } else { "mailk" };
    let place = Place::new(&format!("{tag}{}", more.len()));
    let net = Net::new(tag).unwrap();
    let (a, b) = pair(&net);
    let sink = Sink::open(&a);
    let group = "vrrp_sync_group G {\n group {\n VI\n }\n smtp_alert\n}\n";
    let text = format!("{}{group}{}", global(more), instance("smtp_alert"));
    place.write("keepalived.conf", &text);
    let running = start(ours, &a, &place);
    let masters = || {
        let subjects = sink.subjects();
        subjects.iter().filter(|one| one.ends_with("Entering MASTER state")).count()
    };
    within("mails of the master", || masters() == 2);
    b.ip("link set eth0 down").unwrap();
    if more.is_empty() {
        within("mails of the fault", || sink.has("VRRP Instance VI - Entering FAULT state"));
    } else {
        std::thread::sleep(Duration::from_secs(2));
    }
    b.ip("link set eth0 up").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(running.stop().success());
    std::thread::sleep(Duration::from_millis(300));
    sink.all().into_iter().collect()
}

fn compare(more: &'static str) -> BTreeSet<Mail> {
    let theirs = std::thread::spawn(move || mails_of_a_life(false, more));
    let ours = mails_of_a_life(true, more);
    let theirs = theirs.join().unwrap();
    let said = |these: &BTreeSet<Mail>, those: &BTreeSet<Mail>| -> Vec<Mail> {
        these.difference(those).cloned().collect()
    };
    let (missing, mut extra) = (said(&theirs, &ours), said(&ours, &theirs));
    // Keepalived has words for its end, and has ended before they are sent.
    let before = extra.len();
    extra.retain(|mail| !mail.subject.ends_with(" - Stopping"));
    let stopped = theirs.iter().filter(|mail| mail.subject.ends_with(" - Stopping")).count();
    assert_eq!(before - extra.len() + stopped, 2, "our end is mailed");
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:#?}, extra {extra:#?}");
    ours
}

#[test]
fn changes_of_instances_and_groups_are_mailed_as_keepalived_mails_them() {
    if let Some(reason) = missing() {
        return println!("skipped: {reason}");
    }
    let mails = compare("");
    let subjects: BTreeSet<&str> = mails.iter().map(|mail| mail.subject.as_str()).collect();
    for state in ["MASTER", "BACKUP", "FAULT"] {
        for what in ["Instance VI", "Group G"] {
            let subject = format!("[LVS_9] VRRP {what} - Entering {state} state");
            assert!(subjects.contains(subject.as_str()), "{subject}: {subjects:?}");
        }
    }
}

#[test]
fn faults_are_not_mailed_to_those_who_do_not_want_them() {
    if let Some(reason) = missing() {
        return println!("skipped: {reason}");
    }
    let mails = compare("no_email_faults");
    assert!(mails.iter().all(|mail| !mail.subject.contains("FAULT")), "{mails:#?}");
}

#[test]
fn two_masters_are_an_alarm_and_a_mail_once_and_so_is_their_end() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let place = Place::new("rival");
    let other = Place::new("rivalb");
    let net = Net::new("rival").unwrap();
    let (a, b) = pair(&net);
    let sink = Sink::open(&a);
    let fifo = place.path("fifo");
    let pipes = format!("vrrp_notify_fifo {fifo}");
    let text = format!("{}{}", global(&pipes), instance("priority 150\n smtp_alert"));
    place.write("keepalived.conf", &text);
    other.write("keepalived.conf", &instance("priority 100"));
    let director = Director::start(&a, &place);
    within("it is master", || director.state() == "master");
    let pipe = fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let weaker = Director::start(&b, &other);
    within("the other is backup", || weaker.state() == "backup");
    // It is silent until the other has taken over.
    let vrrp = director.pid("vrrp").unwrap();
    signal_to(vrrp, Signal::STOP);
    within("the other is master", || weaker.state() == "master");
    signal_to(vrrp, Signal::CONT);
    director.wait_for_log("two masters: 10.9.0.2 with priority 100");
    director.wait_for_log("no longer two masters: 10.9.0.2 with priority 100");
    within("the mail of the end", || sink.has("VRRP Instance VI - One master again"));
    within("the weaker one gave way", || weaker.state() == "backup");
    std::thread::sleep(Duration::from_secs(1));
    let times = |text: &str| director.log().matches(text).count();
    assert_eq!((times(") two masters"), times("no longer two masters")), (1, 1));
    let mails = sink.all();
    let alarm: Vec<&Mail> = mails
        .iter()
        .filter(|mail| mail.subject == "[LVS_9] VRRP Instance VI - Two masters")
        .collect();
    assert_eq!(alarm.len(), 1, "{mails:#?}");
    assert_eq!(alarm[0].body, ["=> 10.9.0.2 with priority 100 is master too <="]);
    assert_eq!(mails.iter().filter(|mail| mail.subject.ends_with("again")).count(), 1);

    // Hooks are told of the weaker master, and then that this one is the master still.
    let mut lines = BufReader::new(pipe);
    let mut line = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line
    };
    while line() != "INSTANCE \"VI\" MASTER_RX_LOWER_PRI 150\n" {}
    let mut next = line();
    while next == "INSTANCE \"VI\" MASTER_RX_LOWER_PRI 150\n" {
        next = line();
    }
    assert_eq!(next, "INSTANCE \"VI\" MASTER 150\n");
    assert!(weaker.running.stop().success());
    assert!(director.running.stop().success());
}

/// What programs and the pipe were told over a life, and how long its end took.
fn told_of_a_life(ours: bool, script: &str) -> (BTreeSet<String>, String, Duration) {
    let tag = if ours { "stopo" } else { "stopk" };
    let place = Place::new(&format!("{tag}{}", script.len()));
    let net = Net::new(tag).unwrap();
    let (a, _b) = pair(&net);
    let recorder =
        place.script("recorder", &format!("{script}\necho \"$*\" >> {}", place.path("log")));
    let fifo = place.path("fifo");
    let text = format!(
        "global_defs {{\n script_user root\n vrrp_notify_fifo {fifo}\n}}\n\
         vrrp_sync_group G {{\n group {{\n VI\n }}\n notify \"{recorder} any\"\n \
         notify_stop \"{recorder} stop group\"\n}}\n{}",
        instance(&format!("notify \"{recorder} any\"\n notify_stop \"{recorder} stop instance\""))
    );
    place.write("keepalived.conf", &text);
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut pipe = fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let running = start(ours, &a, &place);
    within("the address is there", || a.ip("addr show dev eth0").unwrap().contains("10.9.0.100"));
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    assert!(running.stop().success());
    let took = begun.elapsed();
    let log = place.read("log").lines().map(str::to_owned).collect();
    let mut lines = vec![0; 4096];
    let length = pipe.read(&mut lines).unwrap();
    (log, String::from_utf8_lossy(&lines[..length]).into_owned(), took)
}

#[test]
fn the_end_is_told_to_programs_that_are_waited_for_and_to_the_pipe_as_keepalived_tells_it() {
    if let Some(reason) = missing() {
        return println!("skipped: {reason}");
    }
    let script = "test \"$1\" = stop && sleep 0.5";
    let theirs = std::thread::spawn(move || told_of_a_life(false, script));
    let (log, lines, took) = told_of_a_life(true, script);
    let (their_log, their_lines, _) = theirs.join().unwrap();
    assert_eq!(lines, their_lines);
    assert!(lines.ends_with("INSTANCE \"VI\" STOP 100\nGROUP \"G\" STOP 0\n"), "{lines}");
    assert_eq!(log, their_log);
    assert!(log.contains("stop instance") && log.contains("stop group"), "{log:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_program_that_hangs_does_not_hold_up_the_end_for_ever() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let (log, _, took) = told_of_a_life(true, "test \"$1\" = stop && trap '' TERM && sleep 60");
    assert!(!log.contains("stop instance"), "{log:?}");
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(12), "{took:?}");
}
