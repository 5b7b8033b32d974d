//! What clients see of the life of a virtual server: real connections through our director.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lab::net::{Namespace, Net};

use super::bench::ipvsadm;
use crate::duties::{Director, Place, within};

const VIRTUAL: ([u8; 4], u16) = ([10, 1, 0, 100], 80);

/// Says its name to everybody, then repeats what it hears, line by line. Dropped, it takes no more
/// connections; those it has go on.
struct Speaker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Speaker {
    fn open(namespace: &Namespace, address: Ipv4Addr) -> Speaker {
        let bind = || TcpListener::bind((address, 80)).unwrap();
        let listener = namespace.enter(bind).unwrap();
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => drop(thread::spawn(move || repeat(stream, address))),
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Speaker { stop, thread: Some(thread) }
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A checker leaves without a word: errors are the end of a connection.
fn repeat(mut stream: TcpStream, address: Ipv4Addr) {
    let _ = stream.set_nonblocking(false);
    let Ok(heard) = stream.try_clone() else { return };
    if writeln!(stream, "{address}").is_err() {
        return;
    }
    for line in BufReader::new(heard).lines().map_while(Result::ok) {
        if writeln!(stream, "{line}").is_err() {
            return;
        }
    }
}

/// A connection of a client, and who answered.
struct Conversation {
    stream: TcpStream,
    heard: BufReader<TcpStream>,
    server: String,
}

impl Conversation {
    fn open(client: &Namespace) -> std::io::Result<Conversation> {
        let address = SocketAddr::from(VIRTUAL);
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(2));
        let stream = client.enter(connect)??;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let heard = BufReader::new(stream.try_clone()?);
        let mut conversation = Conversation { stream, heard, server: String::new() };
        conversation.server = conversation.hear()?;
        Ok(conversation)
    }

    fn hear(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.heard.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn say(&mut self, text: &str) -> String {
        writeln!(self.stream, "{text}").unwrap();
        self.hear().unwrap()
    }
}

/// A client, a director and a machine with all real servers, 10.2.0.11 to 10.2.0.15.
struct Farm {
    client: Namespace,
    director: Namespace,
    servers: Namespace,
    place: Place,
    _net: Net,
}

impl Farm {
    fn new(tag: &str) -> Option<Farm> {
        if let Some(reason) = lab::net::missing() {
            println!("skipped: {reason}");
            return None;
        }
        let (net, place) = (Net::new(tag).unwrap(), Place::new(tag));
        let [client, director, servers] =
            ["client", "dir", "rs"].map(|name| net.namespace(name).unwrap());
        net.veth((&client, "eth0"), (&director, "eth0")).unwrap();
        net.segment("lan", &[(&director, "eth1"), (&servers, "eth0")]).unwrap();
        client.ip("addr add 10.1.0.10/24 dev eth0").unwrap();
        director.ip("addr add 10.1.0.1/24 dev eth0").unwrap();
        director.ip("addr add 10.2.0.1/24 dev eth1").unwrap();
        for number in 11..=15 {
            servers.ip(&format!("addr add 10.2.0.{number}/24 dev eth0")).unwrap();
        }
        servers.ip("route add default via 10.2.0.1").unwrap();
        director.sysctl("net/ipv4/ip_forward", "1").unwrap();
        Some(Farm { client, director, servers, place, _net: net })
    }

    /// With two real servers, 10.2.0.11 and 10.2.0.12.
    fn start(&self, more: &str, each: &str) -> Director<'_> {
        let server = |number| {
            format!(
                "real_server 10.2.0.{number} 80 {{\n {each}\n TCP_CHECK {{\n connect_timeout 1\n \
                 }}\n }}\n"
            )
        };
        let text = format!(
            "vrrp_instance VI {{\n interface eth0\n virtual_router_id 51\n version 3\n \
             advert_int 0.1\n virtual_ipaddress {{\n 10.1.0.100/24\n }}\n}}\n\
             virtual_server 10.1.0.100 80 {{\n delay_loop 0.5\n warmup 0\n retry 1\n \
             delay_before_retry 0.2\n lb_algo rr\n lb_kind NAT\n protocol TCP\n {more}\n \
             {}{}}}\n",
            server(11),
            server(12)
        );
        self.place.write("keepalived.conf", &text);
        let director = Director::start(&self.director, &self.place);
        within("an answer", || self.answer().is_some());
        director
    }

    fn answer(&self) -> Option<String> {
        Conversation::open(&self.client).ok().map(|conversation| conversation.server)
    }

    /// Who answers ten clients, each of whom is answered.
    fn answers(&self) -> BTreeSet<String> {
        (0..10).map(|_| self.answer().expect("an answer")).collect()
    }
}

/// Half of the servers die and come back: the sorry server is all there is meanwhile.
fn served_and_left(tag: &str, sorry: Ipv4Addr) {
    let Some(farm) = Farm::new(tag) else { return };
    let own = if sorry.is_loopback() { &farm.director } else { &farm.servers };
    let _sorry = Speaker::open(own, sorry);
    let open = |last| Speaker::open(&farm.servers, Ipv4Addr::new(10, 2, 0, last));
    let (first, _second) = (open(11), open(12));
    let director = farm.start(&format!("quorum 2\n sorry_server {sorry} 80"), "");
    let both: BTreeSet<String> = ["10.2.0.11", "10.2.0.12"].map(str::to_owned).into();
    assert_eq!(farm.answers(), both);
    drop(first);
    within("the sorry server serves", || farm.answer() == Some(sorry.to_string()));
    assert_eq!(farm.answers(), [sorry.to_string()].into());
    let _first = open(11);
    within("it leaves", || farm.answer().is_some_and(|server| both.contains(&server)));
    assert_eq!(farm.answers(), both);
    assert!(director.running.stop().success());
}

#[test]
fn clients_are_served_by_the_sorry_server_while_the_quorum_is_lost() {
    served_and_left("lvspnat", Ipv4Addr::new(10, 2, 0, 15));
}

#[test]
fn clients_are_served_by_a_sorry_server_of_the_director_itself() {
    served_and_left("lvsplocal", Ipv4Addr::LOCALHOST);
}

#[test]
fn inhibit_on_failure_keeps_a_persistent_clients_connection_and_its_template() {
    let Some(farm) = Farm::new("lvspkeep") else { return };
    let open = |last| Speaker::open(&farm.servers, Ipv4Addr::new(10, 2, 0, last));
    let mut speakers = [open(11), open(12)].map(Some);
    let director = farm.start("persistence_timeout 300", "inhibit_on_failure");
    let mut kept = Conversation::open(&farm.client).unwrap();
    let mine = kept.server.clone();
    assert_eq!(farm.answers(), [mine.clone()].into(), "it is persistent");
    let place = usize::from(mine == "10.2.0.12");
    drop(speakers[place].take());
    let weight = |number: &str| {
        let line = |line: &str| line.contains(&format!("{mine}:80"));
        let listing = ipvsadm(&farm.place, "-Ln");
        let found = listing.lines().find(|one| line(one)).unwrap_or_default();
        found.split_whitespace().nth(3) == Some(number)
    };
    within("its weight is zero", || weight("0"));
    assert_eq!(kept.say("still there?"), "still there?");
    let connections = ipvsadm(&farm.place, "-Lnc");
    let has = |state: &str| {
        connections
            .lines()
            .any(|line| line.contains(state) && line.ends_with(&format!("{mine}:80")))
    };
    assert!(has("NONE") && has("ESTABLISHED"), "{connections}");
    speakers[place] = Some(open(if place == 0 { 11 } else { 12 }));
    within("its weight is back", || weight("1"));
    assert_eq!(farm.answers(), [mine.clone()].into(), "its clients have stayed its clients");
    assert_eq!(kept.say("and now?"), "and now?");
    assert!(director.running.stop().success());
}
