//! UDP_CHECK against an echo server, and against ports that nobody hears.

use std::net::UdpSocket;

use model::check::{CheckKind, UdpCheck, UdpReply};

use super::{Bench, target};

#[test]
fn udp_check_looks_at_answers_and_hears_refusals() {
    let Some(bench) = Bench::new("udp") else { return };
    let socket = bench.server.enter(|| UdpSocket::bind(target(7))).unwrap().unwrap();
    // It ends with the test's process.
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    let _silent = bench.server.enter(|| UdpSocket::bind(target(8))).unwrap().unwrap();
    let ask = |payload: &[u8], bytes: &[(u8, u8)], min_length: u16, max_length: u16| {
        let reply = Some(UdpReply { bytes: bytes.to_vec(), min_length, max_length });
        CheckKind::Udp(UdpCheck { payload: Some(payload.to_vec()), reply })
    };
    let random = CheckKind::Udp(UdpCheck::default());
    let long = vec![b'x'; 30_000];
    let results = bench.results(vec![
        (ask(b"ping", &[(b'p', 255), (b'?', 0), (b'N', 0xdf)], 4, 4), target(7)),
        (ask(b"ping", &[(b'p', 255), (b'o', 255)], 1, 65535), target(7)),
        (ask(b"ping", &[], 5, 65535), target(7)),
        (ask(&long, &[], 30_000, 30_000), target(7)),
        (random.clone(), target(7)),
        (random.clone(), target(8)),
        (ask(b"ping", &[], 0, 65535), target(8)),
        (random, target(9)),
    ]);
    assert_eq!(
        results,
        [
            "true: answered as expected",
            "false: answer is another from byte 1 on",
            "false: answer of 4 bytes instead of 5 to 65535",
            "true: answered as expected",
            "true: answered",
            "true: not refused within 2 s",
            "false: no answer within 2 s",
            "false: port unreachable",
        ]
    );
}
