//! Mail to the administrators (`notification_email`), with Keepalived's subjects. A thread of its
//! own sends it, so that a mail server that hangs holds up nothing else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::SmtpTransport;
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message, Transport};
use model::control::{Notice, NoticeKind};
use model::plan::Global;

/// Mails that may wait; further ones are dropped and counted in the log.
const WAITING_MAX: usize = 256;
/// Tries per mail.
const TRIES: u32 = 3;
/// Wait between the tries.
const RETRY: Duration = Duration::from_secs(10);
/// Bound on the connection when `smtp_connect_timeout` is absent, as Keepalived's.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long mails that wait may take when the program ends.
const FAREWELL: Duration = Duration::from_secs(2);

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

/// The way to the mail thread.
pub(super) struct Alerts {
    queue: Option<SyncSender<Mail>>,
    /// Closed when the thread has sent everything.
    done: Receiver<()>,
    /// The last state of each instance and group that was mailed: the same twice is not news.
    mailed: BTreeMap<(bool, String), NoticeKind>,
}

impl Alerts {
    /// Starts the thread.
    pub(super) fn start() -> Alerts {
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let (until_done, done) = sync_channel(0);
        let started = thread::Builder::new().name("alerts".into()).spawn(move || {
            deliver(&waiting);
            drop(until_done);
        });
        if let Err(error) = started {
            tracing::error!("no thread for alerts: {error}");
        }
        Alerts { queue: Some(queue), done, mailed: BTreeMap::new() }
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
        let Some((subject, body)) = vrrp_words(notice.group, kind) else { return };
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

    /// A real server of a layer-4 virtual server went down or came back. Mailed unless
    /// `smtp_alert_checker` or `smtp_alert` is false.
    pub(super) fn real_server(
        &self,
        global: &Global,
        host: &str,
        service: &str,
        server: &str,
        up: bool,
        reason: &str,
    ) {
        if global.alerts.checkers == Some(false) {
            return;
        }
        let router = global.router_id.as_deref().unwrap_or(host);
        // `TCP 192.0.2.1:80`: Keepalived's subject has the address alone.
        let address = service.rsplit(' ').next().unwrap_or(service);
        let subject = format!(
            "[{router}] Realserver {} of virtual server {} - {}",
            bracketed(server),
            bracketed(address),
            if up { "UP" } else { "DOWN" }
        );
        let body = format!(
            "=> CHECK {} on service {server}: {reason} <=\r\n\r\n",
            if up { "succeed" } else { "failed" }
        );
        self.send(global, subject, body);
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
        match queue.try_send(mail) {
            Ok(()) => {}
            Err(TrySendError::Full(mail) | TrySendError::Disconnected(mail)) => {
                tracing::error!("alert dropped, {WAITING_MAX} are waiting: {}", mail.subject);
            }
        }
    }
}

/// Keepalived's words for a state: the end of the subject, and the body. Priorities and weaker
/// masters are not mailed.
fn vrrp_words(group: bool, kind: NoticeKind) -> Option<(&'static str, &'static str)> {
    Some(match (group, kind) {
        (false, NoticeKind::Master) => {
            ("Entering MASTER state", "=> VRRP Instance is now owning VRRP VIPs <=")
        }
        (false, NoticeKind::Backup) => {
            ("Entering BACKUP state", "=> VRRP Instance is no longer owning VRRP VIPs <=")
        }
        (false, NoticeKind::Fault) => {
            ("Entering FAULT state", "=> VRRP Instance is no longer owning VRRP VIPs <=")
        }
        (false, NoticeKind::Stop) => ("Stopping", "=> VRRP Instance stopping <="),
        (false, NoticeKind::Deleted) => ("Deleted", "=> VRRP Deleted at reload <="),
        (true, NoticeKind::Master) => {
            ("Entering MASTER state", "=> All VRRP group instances are now in MASTER state <=")
        }
        (true, NoticeKind::Backup) => {
            ("Entering BACKUP state", "=> All VRRP group instances are now in BACKUP state <=")
        }
        (true, NoticeKind::Fault) => {
            ("Entering FAULT state", "=> All VRRP group instances are now in FAULT state <=")
        }
        (true, NoticeKind::Stop) => ("Stopping", "=> All VRRP group instances are now stopping <="),
        (true, NoticeKind::Deleted)
        | (
            _,
            NoticeKind::MasterRxLowerPri | NoticeKind::MasterPriority | NoticeKind::BackupPriority,
        ) => return None,
    })
}

/// `[10.0.0.1]:80`, as Keepalived writes endpoints.
fn bracketed(endpoint: &str) -> String {
    match endpoint.rsplit_once(':') {
        Some((address, port)) if !address.starts_with('[') => format!("[{address}]:{port}"),
        _ => endpoint.to_owned(),
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

fn deliver(waiting: &Receiver<Mail>) {
    while let Ok(mail) = waiting.recv() {
        let mut tried = 1;
        loop {
            match post(&mail) {
                Ok(()) => break,
                Err(error) if tried == TRIES => {
                    tracing::error!(
                        "alert not sent after {TRIES} tries: {}: {error}",
                        mail.subject
                    );
                    break;
                }
                Err(error) => {
                    tracing::warn!("alert not sent yet: {error}");
                    tried += 1;
                    thread::sleep(RETRY);
                }
            }
        }
    }
}

fn post(mail: &Mail) -> Result<(), String> {
    let mut message = Message::builder().from(mail.from.clone()).subject(&mail.subject);
    for to in &mail.to {
        message = message.to(to.clone());
    }
    let message = message.body(mail.body.clone()).map_err(|error| error.to_string())?;
    SmtpTransport::builder_dangerous(&mail.host)
        .port(mail.port)
        .timeout(Some(mail.timeout))
        .hello_name(ClientId::Domain(mail.helo.clone()))
        .build()
        .send(&message)
        .map(|_| ())
        .map_err(|error| format!("{} port {}: {error}", mail.host, mail.port))
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn no_mail_of_real_servers_where_smtp_alert_is_false() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let alerts = plan::Alerts {
            to: vec!["root".into()],
            server: Some(format!("127.0.0.1 {port}")),
            checkers: Some(false),
            ..plan::Alerts::default()
        };
        let global = Global { alerts, ..Global::default() };
        let mut queue = Alerts::start();
        queue.real_server(&global, "h", "TCP 192.0.2.1:80", "10.0.0.2:80", false, "refused");
        queue.finish();
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_real_servers_death_is_one_mail_with_keepaliveds_subject() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let global = Global {
            router_id: Some("LVS_1".into()),
            alerts: plan::Alerts {
                to: vec!["admin@example.com".into(), "root".into()],
                from: Some("lvs@example.com".into()),
                server: Some(format!("127.0.0.1 {port}")),
                connect_timeout: Some(Duration::from_secs(5)),
                ..plan::Alerts::default()
            },
            ..Global::default()
        };
        Alerts::start().real_server(
            &global,
            "host",
            "TCP 192.0.2.1:80",
            "10.0.0.2:80",
            false,
            "connection refused",
        );
        let lines = sink(&listener);
        let subject =
            "Subject: [LVS_1] Realserver [10.0.0.2]:80 of virtual server [192.0.2.1]:80 - DOWN";
        // A long header may be folded.
        let text = lines.join("\n").replace("\n ", " ");
        assert!(text.contains(subject), "{text}");
        assert!(text.contains("RCPT TO:<root@localhost>"), "{text}");
        assert!(text.contains("connection refused"), "{text}");
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
