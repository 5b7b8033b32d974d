//! Peers that accept and then drip: every read of a checker gets something, and its time is over
//! all the same.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use lab::net::Namespace;
use model::check::{CheckKind, HttpCheck, SmtpCheck, TlsCheck};

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
