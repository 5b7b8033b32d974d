//! Peers that accept and then drip: every read of a checker gets something, and its time is over
//! all the same.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use lab::net::Namespace;
use model::check::{CheckKind, DnsCheck, HttpCheck, SmtpCheck, TlsCheck, UdpCheck, UdpReply};

use super::{Bench, pages, target, url};

/// Accepts everybody and gives each a byte of this now and then, for as long as the test runs.
fn drip(namespace: &Namespace, address: SocketAddr, start: &'static [u8], rest: u8) {
    let listener = namespace.enter(|| TcpListener::bind(address)).unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let mut streams: Vec<(std::net::TcpStream, usize)> = Vec::new();
        loop {
            streams.extend(listener.accept().map(|(stream, _)| (stream, 0)));
            streams.retain_mut(|(stream, sent)| {
                let byte = start.get(*sent).copied().unwrap_or(rest);
                *sent += 1;
                stream.write_all(&[byte]).is_ok()
            });
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

#[test]
fn servers_that_drip_fail_at_the_deadline() {
    let Some(bench) = Bench::new("drip") else { return };
    drip(&bench.server, target(80), b"HTTP/1.0 200 OK\r\n\r\n", b'x');
    // A handshake message that announces much.
    drip(&bench.server, target(443), b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb\x03\x03", 0);
    drip(&bench.server, target(25), b"220-mail", b'x');
    let secure = HttpCheck { tls: Some(TlsCheck::default()), ..HttpCheck::plain(vec![url("/")]) };
    let smtp = SmtpCheck { helo_name: "director".into() };
    let begun = Instant::now();
    let results = bench.results(vec![
        (CheckKind::Tcp, target(80)),
        (pages(vec![url("/")]), target(80)),
        (CheckKind::Http(secure), target(443)),
        (CheckKind::Smtp(smtp), target(25)),
    ]);
    assert_eq!(
        results,
        [
            "true: connection accepted",
            "false: answer not complete within 2 s",
            "false: no answer within 2 s",
            "false: greeting not complete within 2 s",
        ]
    );
    // A whole answer would take minutes.
    let took = begun.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(20)).contains(&took), "{took:?}");
}

/// What a question is answered with.
type Answer = fn(&[u8]) -> Vec<u8>;

/// Gives everybody who asks a datagram made of the question now and then, for as long as the test
/// runs; from another port if there is one.
fn drip_datagrams(
    namespace: &Namespace,
    address: SocketAddr,
    from: Option<SocketAddr>,
    make: Answer,
) {
    let open = |at: SocketAddr| namespace.enter(|| UdpSocket::bind(at)).unwrap().unwrap();
    let socket = open(address);
    let other = from.map(open);
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    std::thread::spawn(move || {
        let mut askers: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        let mut buffer = [0; 2048];
        loop {
            if let Ok((length, asker)) = socket.recv_from(&mut buffer) {
                askers.push((asker, make(&buffer[..length])));
            }
            for (asker, answer) in &askers {
                let _ = other.as_ref().unwrap_or(&socket).send_to(answer, asker);
            }
        }
    });
}

#[test]
fn datagrams_that_are_no_answer_drip_until_the_deadline() {
    let Some(bench) = Bench::new("dripudp") else { return };
    let short: Answer = |question| question[..3].to_vec();
    let garbage: Answer = |question| question.iter().map(|byte| !byte).collect();
    // It ends within the question.
    let cut: Answer = |question| {
        let mut answer = question[..question.len() - 3].to_vec();
        answer[2] |= 0x80;
        answer
    };
    let same: Answer = |question| question.to_vec();
    drip_datagrams(&bench.server, target(53), None, short);
    drip_datagrams(&bench.server, target(54), None, garbage);
    drip_datagrams(&bench.server, target(55), None, cut);
    drip_datagrams(&bench.server, target(56), None, same);
    // From a port that nobody asked.
    drip_datagrams(&bench.server, target(7), Some(target(8)), same);
    drip_datagrams(&bench.server, target(9), None, garbage);
    let ask = || CheckKind::Dns(DnsCheck { record_type: 1, name: "www.test".into() });
    let reply = UdpReply { bytes: vec![(b'p', 255)], min_length: 0, max_length: 65535 };
    let echo = UdpCheck { payload: Some(b"ping".to_vec()), reply: Some(reply) };
    let echo = || CheckKind::Udp(echo.clone());
    let begun = Instant::now();
    let results = bench.results(vec![
        (ask(), target(53)),
        (ask(), target(54)),
        (ask(), target(55)),
        (ask(), target(56)),
        (echo(), target(7)),
        (echo(), target(9)),
    ]);
    assert_eq!(
        results,
        [
            "false: no answer within 2 s, only too short a packet",
            "false: no answer within 2 s, only an answer with another identifier",
            "false: no answer within 2 s, only too short a packet",
            "false: no answer within 2 s, only a query",
            "false: no answer within 2 s",
            // The first datagram decides, as in Keepalived.
            "false: answer is another from byte 0 on",
        ]
    );
    let took = begun.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(20)).contains(&took), "{took:?}");
}
