//! Mail to the administrators (`notification_email`), with Keepalived's subjects. A thread of its
//! own sends it, so that a mail server that hangs holds up nothing else.

mod post;
mod words;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use lettre::message::Mailbox;
use model::Plan;
use model::control::{Cause, Moment, Notice, NoticeKind};
use model::plan::Global;

use super::names;
use crate::control::AlertStatus;

use post::Failure;

/// Mails that may wait; further ones are dropped and counted.
const WAITING_MAX: usize = 4096;
/// Tries per mail.
const TRIES: u32 = 3;
/// Wait between the tries.
const RETRY: Duration = Duration::from_secs(10);
/// Bound on the connection when `smtp_connect_timeout` is absent, as Keepalived's.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long mails that wait may take when the program ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// Longest line of a mail, without its end (RFC 5321, section 4.5.3.1.6).
const LINE_MAX: usize = 998;

/// One mail on its way.
struct Mail {
    to: Vec<Mailbox>,
    from: Mailbox,
    host: String,
    port: u16,
    timeout: Duration,
    subject: String,
    body: String,
    helo: String,
}

/// A real server that went down or came back, or a checker of it that changed its verdict.
pub(super) struct ServerChange<'a> {
    /// As events name the virtual server.
    pub(super) service: &'a str,
    /// As events name the server.
    pub(super) server: &'a str,
    /// The server is up.
    pub(super) up: bool,
    /// What made the difference.
    pub(super) cause: Cause,
    /// The checker that did passes.
    pub(super) passed: bool,
    /// Its last result.
    pub(super) reason: &'a str,
}

/// A quorum that was gained or lost.
pub(super) struct QuorumChange<'a> {
    /// As events name the virtual server.
    pub(super) service: &'a str,
    pub(super) gained: bool,
    pub(super) living: u32,
    pub(super) needed: u32,
    pub(super) hysteresis: u32,
    pub(super) moment: Moment,
}

/// What became of mails.
#[derive(Debug, Default)]
struct Counters {
    waiting: AtomicUsize,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// The way to the mail thread.
pub(super) struct Alerts {
    queue: Option<SyncSender<Mail>>,
    /// Closed when the thread has sent everything.
    done: Receiver<()>,
    /// The last state of each instance and group that was mailed: the same twice is not news.
    mailed: BTreeMap<(bool, String), NoticeKind>,
    counters: Arc<Counters>,
}

impl Alerts {
    /// Starts the thread.
    pub(super) fn start() -> Alerts {
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let (until_done, done) = sync_channel(0);
        let counters = Arc::new(Counters::default());
        let counted = counters.clone();
        let started = thread::Builder::new().name("alerts".into()).spawn(move || {
            deliver(&waiting, &counted);
            drop(until_done);
        });
        if let Err(error) = started {
            tracing::error!("no thread for alerts: {error}");
        }
        Alerts { queue: Some(queue), done, mailed: BTreeMap::new(), counters }
    }

    /// The end: gives mails that wait a little time.
    pub(super) fn finish(&mut self) {
        self.queue = None;
        let _ = self.done.recv_timeout(FAREWELL);
    }

    /// An instance or group changed state.
    pub(super) fn vrrp(&mut self, global: &Global, host: &str, notice: &Notice) {
        let kind = notice.kind;
        let key = (notice.group, notice.name.clone());
        let fault_unwanted = kind == NoticeKind::Fault && global.alerts.no_faults;
        let Some((subject, body)) = words::vrrp(notice.group, kind) else { return };
        if fault_unwanted || self.mailed.get(&key) == Some(&kind) {
            return;
        }
        self.mailed.insert(key, kind);
        let router = global.router_id.as_deref().unwrap_or(host);
        let what = if notice.group { "Group" } else { "Instance" };
        let subject = format!("[{router}] VRRP {what} {} - {subject}", notice.name);
        self.send(global, subject, format!("{body}\r\n"));
    }

    /// A master heard another one, or it is gone: Keepalived has no mail for that.
    pub(super) fn two_masters(
        &self,
        global: &Global,
        host: &str,
        instance: &str,
        rival: IpAddr,
        priority: u8,
        over: bool,
    ) {
        let router = global.router_id.as_deref().unwrap_or(host);
        let (what, how) =
            if over { ("One master again", "is gone") } else { ("Two masters", "is master too") };
        let subject = format!("[{router}] VRRP Instance {instance} - {what}");
        self.send(global, subject, format!("=> {rival} with priority {priority} {how} <=\r\n"));
    }

    /// A real server of a virtual server went down or came back, or one of its checkers did.
    pub(super) fn real_server(&self, plan: &Plan, host: &str, change: &ServerChange<'_>) {
        let ServerChange { service, server, up, cause, passed, reason } = *change;
        let Some((id, endpoint)) = names::of_event(service, server) else { return };
        let router = plan.global.router_id.as_deref().unwrap_or(host);
        let subject = format!(
            "[{router}] Realserver {} of virtual server {} - {}",
            words::real_server(&id, endpoint),
            words::virtual_server(plan, &id),
            if up { "UP" } else { "DOWN" }
        );
        // Keepalived's line, and below it what it does not tell.
        let line = words::server(plan, &id, endpoint, cause, passed, reason);
        let body = format!("{line}\r\n{reason}\r\n");
        self.send(&plan.global, subject, body);
    }

    /// A virtual server gained or lost its quorum.
    pub(super) fn quorum(&self, plan: &Plan, host: &str, change: &QuorumChange<'_>) {
        let Some(id) = names::virtual_server_of_event(change.service) else { return };
        let router = plan.global.router_id.as_deref().unwrap_or(host);
        let name = words::virtual_server(plan, &id);
        let state = if change.gained { "UP" } else { "DOWN" };
        let subject = format!("[{router}] Virtualserver {name} - {state}");
        let body = words::quorum(change);
        self.send(&plan.global, subject, format!("{body}\r\n"));
    }

    fn send(&self, global: &Global, subject: String, body: String) {
        let alerts = &global.alerts;
        let to: Vec<Mailbox> = alerts.to.iter().filter_map(|address| mailbox(address)).collect();
        let (false, Some(server)) = (to.is_empty(), &alerts.server) else { return };
        // Keepalived's: the user it runs as, at this host.
        let ours = || format!("root@{}", crate::machine::host_name());
        let Some(from) = mailbox(&alerts.from.clone().unwrap_or_else(ours)) else { return };
        let mut words = server.split_whitespace();
        let host = words.next().unwrap_or("127.0.0.1").to_owned();
        let port = words.next().and_then(|port| port.parse().ok()).unwrap_or(25);
        let timeout = alerts.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let helo = alerts.helo_name.clone().unwrap_or_else(crate::machine::host_name);
        let mail = Mail { to, from, host, port, timeout, subject, body, helo };
        let Some(queue) = &self.queue else { return };
        let counters = &self.counters;
        counters.waiting.fetch_add(1, Relaxed);
        match queue.try_send(mail) {
            Ok(()) => {}
            Err(TrySendError::Full(mail) | TrySendError::Disconnected(mail)) => {
                counters.waiting.fetch_sub(1, Relaxed);
                // The others are counted: a flood of them would only fill the log.
                if counters.dropped.fetch_add(1, Relaxed) == 0 {
                    tracing::error!("alert dropped, {WAITING_MAX} are waiting: {}", mail.subject);
                }
            }
        }
    }

    /// What became of mails since the start.
    pub(super) fn status(&self) -> AlertStatus {
        let Counters { waiting, sent, failed, dropped } = &*self.counters;
        AlertStatus {
            waiting: waiting.load(Relaxed),
            sent: sent.load(Relaxed),
            failed: failed.load(Relaxed),
            dropped: dropped.load(Relaxed),
        }
    }
}

/// A local user without a domain is one of this machine.
fn mailbox(address: &str) -> Option<Mailbox> {
    let address =
        if address.contains('@') { address.to_owned() } else { format!("{address}@localhost") };
    match address.parse() {
        Ok(mailbox) => Some(mailbox),
        Err(error) => {
            tracing::warn!("alerts: {address:?} is no mail address: {error}");
            None
        }
    }
}

fn deliver(waiting: &Receiver<Mail>, counters: &Counters) {
    while let Ok(mail) = waiting.recv() {
        let counter = if deliver_one(&mail) { &counters.sent } else { &counters.failed };
        counter.fetch_add(1, Relaxed);
        counters.waiting.fetch_sub(1, Relaxed);
    }
}

/// True: the mail server has it for everybody whom it knows.
fn deliver_one(mail: &Mail) -> bool {
    let (mut tried, mut left) = (1, mail.to.clone());
    loop {
        match post::post(mail, &mut left) {
            Ok(()) => return true,
            Err(Failure::Lasting(error)) => {
                tracing::error!("alert not sent: {}: {error}", mail.subject);
                return false;
            }
            Err(Failure::Passing(error)) if tried == TRIES => {
                let subject = &mail.subject;
                tracing::error!("alert not sent after {TRIES} tries: {subject}: {error}");
                return false;
            }
            Err(Failure::Passing(error)) => {
                tracing::warn!("alert not sent yet: {error}");
                tried += 1;
                thread::sleep(RETRY);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::layer4::{
        Endpoint, Protocol, RealServer, ServiceKey, VirtualServer, VirtualServerId,
    };
    use model::plan;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    /// One SMTP conversation; the lines of the client.
    fn sink(listener: &TcpListener) -> Vec<String> {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = Vec::new();
        let mut out = stream.try_clone().unwrap();
        out.write_all(b"220 sink\r\n").unwrap();
        let mut in_data = false;
        for line in BufReader::new(stream).lines() {
            let line = line.unwrap();
            let answer = match (in_data, line.as_str()) {
                (true, ".") => "250 taken",
                (true, _) => "",
                (false, "DATA") => "354 go on",
                (false, "QUIT") => "221 bye",
                (false, _) => "250 fine",
            };
            in_data = line == "DATA" || (in_data && line != ".");
            if !answer.is_empty() {
                let _ = write!(out, "{answer}\r\n");
            }
            let done = line == ".";
            lines.push(line);
            if done {
                break;
            }
        }
        lines
    }

    fn plan(global: Global) -> Plan {
        let address = [192, 0, 2, 1].into();
        let key = ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp };
        let endpoint = Endpoint { address: [10, 0, 0, 2].into(), port: 80 };
        let real_servers = vec![RealServer::new(endpoint)].into();
        let server = VirtualServer { real_servers, ..VirtualServer::new(key) };
        let group = |protocol| VirtualServer {
            id: VirtualServerId::Group { name: "web".into(), protocol },
            ..VirtualServer::new(ServiceKey::Address { address, port: 53, protocol })
        };
        let mut plan = Plan { global, ..Plan::default() };
        plan.layer4.virtual_servers = vec![server, group(Protocol::Tcp), group(Protocol::Udp)];
        plan
    }

    fn death(reason: &str) -> ServerChange<'_> {
        let (service, server) = ("TCP 192.0.2.1:80", "10.0.0.2:80");
        ServerChange { service, server, up: false, cause: Cause::Change, passed: false, reason }
    }

    #[test]
    fn a_real_servers_death_is_one_mail_with_keepaliveds_subject() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let plan = plan(global(listener.local_addr().unwrap().port()));
        let alerts = Alerts::start();
        alerts.real_server(&plan, "host", &death("connection refused"));
        let lines = sink(&listener);
        // A long header may be folded.
        let text = lines.join("\n").replace("\n ", " ");
        let subject = "Subject: [LVS_1] Realserver [10.0.0.2]:tcp:80 of virtual server \
                       [192.0.2.1]:tcp:80 - DOWN\n";
        assert!(text.contains(subject), "{text}");
        assert!(text.contains("RCPT TO:<b@example.com>"), "{text}");
        assert!(text.contains("\n\n=> CHECK failed on service <=\nconnection refused\n"), "{text}");
    }

    #[test]
    fn a_long_reason_leaves_the_lines_of_a_mail_as_they_are() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let plan = plan(global(listener.local_addr().unwrap().port()));
        let alerts = Alerts::start();
        let reason = format!("/x: digest {} instead of {}", "0".repeat(32), "f".repeat(32));
        alerts.real_server(&plan, "host", &death(&reason));
        let text = sink(&listener).join("\n");
        let body = format!("\n\n=> CHECK failed on service <=\n{reason}\n");
        assert!(text.contains(&body), "{text}");
        // What mail cannot carry so is encoded.
        alerts.real_server(&plan, "host", &death("no \u{e9}lan"));
        let text = sink(&listener).join("\n");
        assert!(text.contains("Content-Transfer-Encoding: quoted-printable"), "{text}");
    }

    #[test]
    fn a_quorum_is_mailed_in_keepaliveds_words_and_a_group_by_name_and_place() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let plan = plan(global(listener.local_addr().unwrap().port()));
        let alerts = Alerts::start();
        let (gained, living, needed, hysteresis) = (false, 1, 3, 1);
        let moment = Moment::Change;
        let change = |service| QuorumChange { service, gained, living, needed, hysteresis, moment };
        alerts.quorum(&plan, "host", &change("TCP 192.0.2.1:80"));
        alerts.quorum(&plan, "host", &QuorumChange { gained: true, ..change("UDP group web") });
        let text = sink(&listener).join("\n").replace("\n ", " ");
        assert!(
            text.contains("Subject: [LVS_1] Virtualserver [192.0.2.1]:tcp:80 - DOWN\n"),
            "{text}"
        );
        assert!(text.contains("\n\n=> Lost quorum 3+1=2 <= 1 <=\n"), "{text}");
        let text = sink(&listener).join("\n").replace("\n ", " ");
        assert!(text.contains("Subject: [LVS_1] Virtualserver [web]:1 - UP\n"), "{text}");
        assert!(text.contains("\n\n=> Gained quorum 3+1=4 <= 1 <=\n"), "{text}");
        for _ in 0..1000 {
            if alerts.status().sent == 2 {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let expected = AlertStatus { waiting: 0, sent: 2, failed: 0, dropped: 0 };
        assert_eq!(alerts.status(), expected);
    }

    #[test]
    fn with_the_mail_server_dead_so_many_wait_and_the_others_are_counted() {
        // It takes connections and says nothing.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let plan = plan(global(listener.local_addr().unwrap().port()));
        let alerts = Alerts::start();
        let began = std::time::Instant::now();
        for number in 0..3 * WAITING_MAX {
            let reason = format!("failure {number}");
            alerts.real_server(&plan, "h", &death(&reason));
        }
        assert!(began.elapsed() < Duration::from_secs(20));
        let AlertStatus { waiting, dropped, .. } = alerts.status();
        assert!(waiting <= WAITING_MAX + 1, "{waiting} wait");
        assert_eq!(waiting + dropped as usize, 3 * WAITING_MAX);
    }

    fn global(port: u16) -> Global {
        Global {
            router_id: Some("LVS_1".into()),
            alerts: plan::Alerts {
                to: vec!["a@example.com".into(), "b@example.com".into()],
                server: Some(format!("127.0.0.1 {port}")),
                helo_name: Some("mail.example.com".into()),
                no_faults: true,
                ..plan::Alerts::default()
            },
            ..Global::default()
        }
    }

    #[test]
    fn changes_of_state_are_mailed_once_in_keepaliveds_words() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let global = global(listener.local_addr().unwrap().port());
        let mut alerts = Alerts::start();
        let mut tell = |group, kind| {
            let notice = Notice { group, name: "VI".into(), kind, priority: 100 };
            alerts.vrrp(&global, "host", &notice);
        };
        tell(false, NoticeKind::Master);
        tell(false, NoticeKind::Fault);
        tell(false, NoticeKind::Master);
        tell(false, NoticeKind::MasterRxLowerPri);
        tell(true, NoticeKind::Stop);
        let text = sink(&listener).join("\n").replace("\n ", " ");
        assert!(text.contains("EHLO mail.example.com"), "{text}");
        assert!(text.contains("MAIL FROM:<root@"), "{text}");
        assert!(text.contains("To: a@example.com, b@example.com"), "{text}");
        assert!(text.contains("Subject: [LVS_1] VRRP Instance VI - Entering MASTER state\n"));
        // As Debian's keepalived sends it: the text, an empty line, the end.
        assert!(text.ends_with("\n\n=> VRRP Instance is now owning VRRP VIPs <=\n\n."), "{text}");
        let text = sink(&listener).join("\n");
        assert!(text.contains("Subject: [LVS_1] VRRP Group VI - Stopping\n"), "{text}");
        assert!(text.ends_with("\n=> All VRRP group instances are now stopping <=\n\n."), "{text}");
    }
}
