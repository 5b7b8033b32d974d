//! Traffic with sequence numbers: long connections and short ones, TCP and UDP, each message
//! answered by the server with its own number.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::world::{PORT, VIRTUAL, World};

const SERVER_PORT: u16 = 8080;
/// Long ones of each protocol.
const LONG: usize = 32;
/// Between two messages of a long one.
const EVERY: Duration = Duration::from_millis(10);
/// Messages of a short one.
const SHORT: u32 = 5;
/// What is under way when the sending ends comes within this time.
const STRAGGLE: Duration = Duration::from_secs(1);

/// A message: its number; the answer has the server's number behind it.
const MESSAGE: usize = 4;

/// Answers in every server of the world.
pub(crate) fn serve(world: &World) {
    for (number, server) in world.servers.iter().enumerate() {
        let number = number as u8 + 1;
        let here = ("0.0.0.0", SERVER_PORT);
        let datagrams = server.enter(|| UdpSocket::bind(here)).unwrap().unwrap();
        thread::spawn(move || {
            let mut message = [0; MESSAGE + 1];
            while let Ok((_, from)) = datagrams.recv_from(&mut message[..MESSAGE]) {
                message[MESSAGE] = number;
                let _ = datagrams.send_to(&message, from);
            }
        });
        let listener = server.enter(|| TcpListener::bind(here)).unwrap().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || echo(stream, number));
            }
        });
    }
}

fn echo(mut stream: TcpStream, number: u8) {
    let _ = stream.set_nodelay(true);
    let mut message = [0; MESSAGE + 1];
    while stream.read_exact(&mut message[..MESSAGE]).is_ok() {
        message[MESSAGE] = number;
        if stream.write_all(&message).is_err() {
            return;
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) flows: usize,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// Flows that more than one server answered.
    pub(crate) strayed: usize,
    /// What failed, and how often.
    pub(crate) failures: BTreeMap<String, usize>,
}

impl Account {
    fn add(&mut self, flow: &Flow) {
        self.flows += 1;
        self.sent += u64::from(flow.sent);
        self.answered += u64::from(flow.answered);
        self.strayed += usize::from(flow.strayed);
        if let Some(failure) = &flow.failure {
            *self.failures.entry(failure.clone()).or_default() += 1;
        }
    }
}

enum Channel {
    Datagrams(UdpSocket),
    Stream(TcpStream, Vec<u8>),
}

struct Flow {
    channel: Channel,
    sent: u32,
    answered: u32,
    server: u8,
    strayed: bool,
    failure: Option<String>,
}

impl Flow {
    fn datagrams() -> std::io::Result<Flow> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((VIRTUAL, PORT))?;
        socket.set_nonblocking(true)?;
        Ok(Flow::over(Channel::Datagrams(socket)))
    }

    fn stream() -> std::io::Result<Flow> {
        let to = (VIRTUAL, PORT).into();
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(10))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Flow::over(Channel::Stream(stream, Vec::new())))
    }

    fn over(channel: Channel) -> Flow {
        Flow { channel, sent: 0, answered: 0, server: 0, strayed: false, failure: None }
    }

    fn send(&mut self) {
        let message = self.sent.to_be_bytes();
        self.sent += 1;
        let done = match &mut self.channel {
            Channel::Datagrams(socket) => socket.send(&message).map(drop),
            Channel::Stream(stream, _) => stream.write_all(&message),
        };
        if let Err(error) = done {
            self.fail(format!("send: {error}"));
        }
    }

    fn fail(&mut self, how: String) {
        self.failure.get_or_insert(how);
    }

    fn receive(&mut self) {
        let mut room = [0; 1024];
        loop {
            let read = match &mut self.channel {
                Channel::Datagrams(socket) => socket.recv(&mut room),
                Channel::Stream(stream, _) => stream.read(&mut room),
            };
            let count = match read {
                Ok(0) => return self.fail("closed".to_owned()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.fail(format!("receive: {error}")),
            };
            match &mut self.channel {
                Channel::Datagrams(_) => self.take(room[MESSAGE]),
                Channel::Stream(_, held) => {
                    held.extend_from_slice(&room[..count]);
                    let answers: Vec<u8> =
                        held.chunks_exact(MESSAGE + 1).map(|answer| answer[MESSAGE]).collect();
                    held.drain(..answers.len() * (MESSAGE + 1));
                    answers.into_iter().for_each(|server| self.take(server));
                }
            }
        }
    }

    fn take(&mut self, server: u8) {
        self.answered += 1;
        self.strayed |= self.server != 0 && self.server != server;
        self.server = server;
    }
}

/// Traffic that goes on until it is told to end.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Account>>,
}

impl Traffic {
    /// Begins, in the client of the world.
    pub(crate) fn start(world: &World) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let kinds: [fn() -> std::io::Result<Flow>; 2] = [Flow::datagrams, Flow::stream];
        let threads = kinds.map(|open| {
            let (stop, client) = (stop.clone(), world.client.handle().clone());
            thread::spawn(move || {
                client.enter_for_good().unwrap();
                go_on(open, &stop)
            })
        });
        Traffic { stop, threads: threads.into() }
    }

    /// Ends it: what came of the datagrams and of the streams.
    pub(crate) fn end(self) -> [Account; 2] {
        self.stop.store(true, Ordering::Relaxed);
        let accounts: Vec<Account> =
            self.threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        accounts.try_into().unwrap()
    }
}

/// Long flows, and all the time a short one more.
fn go_on(open: fn() -> std::io::Result<Flow>, stop: &AtomicBool) -> Account {
    let mut account = Account::default();
    let mut long: Vec<Flow> = (0..LONG).map(|_| open().unwrap()).collect();
    let mut short: Vec<Flow> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match open() {
            Ok(flow) => short.push(flow),
            Err(error) => *account.failures.entry(format!("open: {error}")).or_default() += 1,
        }
        for flow in long.iter_mut().chain(&mut short) {
            flow.receive();
            flow.send();
        }
        short.retain_mut(|flow| {
            let over = flow.sent >= SHORT && flow.answered >= flow.sent - 1;
            if over {
                straggle(std::slice::from_mut(flow));
                account.add(flow);
            }
            !over
        });
        thread::sleep(EVERY.saturating_sub(begun.elapsed()));
    }
    straggle(&mut long);
    straggle(&mut short);
    long.iter().chain(&short).for_each(|flow| account.add(flow));
    account
}

fn straggle(flows: &mut [Flow]) {
    let end = Instant::now() + STRAGGLE;
    loop {
        flows.iter_mut().for_each(Flow::receive);
        let all = flows.iter().all(|flow| flow.answered >= flow.sent);
        if all || Instant::now() >= end {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Counters of everybody's kernel, summed.
fn counters(world: &World, protocol: &str, names: &[&str]) -> u64 {
    let everybody = world.servers.iter().chain([&world.client]);
    let of = |namespace| -> u64 {
        names.iter().map(|name| World::counter(namespace, protocol, name)).sum()
    };
    everybody.map(of).sum()
}

/// What the kernel lost, and segments that were sent again because they had not come: a busy
/// machine also repeats some that are only late, which the receiver then says it had.
pub(crate) fn losses(world: &World) -> u64 {
    let again = counters(world, "Tcp:", &["RetransSegs"]);
    let twice = counters(world, "TcpExt:", &["TCPDSACKOldSent", "TCPDSACKOfoSent"]);
    let others = counters(world, "Tcp:", &["OutRsts", "EstabResets", "AttemptFails"]);
    again.saturating_sub(twice) + others + counters(world, "Udp:", &["RcvbufErrors"])
}

/// Every message was answered, by the same server throughout.
pub(crate) fn is_whole(account: &Account) {
    assert_eq!(account.failures.len(), 0, "{account:?}");
    assert_eq!((account.answered, account.strayed), (account.sent, 0), "{account:?}");
}
