//! The proxy role: what its configuration says about routes, limits and how connections live.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use model::proxy::{AclTest, Condition, ConnectionMode, Matching, Mode, Sample, Term, UseBackend};

use crate::proxy_role::{Scene, echo, eventually, plan, serve, server};

const ONE: &str = "127.0.0.1:8101";
const TWO: &str = "127.0.0.1:8102";

fn skipped() -> bool {
    let reason = lab::net::missing();
    if let Some(reason) = &reason {
        println!("skipped: {reason}");
    }
    reason.is_some()
}

#[test]
fn a_rule_chooses_the_backend_and_server_close_closes_only_the_servers_side() {
    if skipped() {
        return;
    }
    let mut plan = plan(Mode::Http, vec![server("s1", ONE)]);
    let mut images = plan.backends[0].clone();
    images.name = "images".into();
    images.servers = vec![server("i1", TWO)];
    images.connection_mode = ConnectionMode::ServerClose;
    plan.backends.push(images);
    let test = AclTest {
        sample: Sample::Path,
        matching: Matching::Ends,
        ignore_case: true,
        patterns: vec![".png".into(), ".gif".into()],
    };
    let any = vec![vec![Term { negated: false, tests: vec![test] }]];
    plan.frontends[0].use_backends =
        vec![UseBackend { backend: "images".into(), condition: Some(Condition { any }) }];
    let scene = Scene::new("l7rule", &plan);
    serve(&scene.space, ONE, Arc::new(echo));
    serve(
        &scene.space,
        TWO,
        Arc::new(|stream, head, _| {
            assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
            stream
                .write_all(b"HTTP/1.1 203 Image\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            false
        }),
    );
    let mut client = scene.connect();
    for _ in 0..3 {
        client.write_all(b"GET /a.PNG?x HTTP/1.1\r\n\r\n").unwrap();
        // The server's wish to close is its own: the client's connection stays.
        let expected = b"HTTP/1.1 203 Image\r\nContent-Length: 0\r\n\r\n";
        let mut answer = vec![0; expected.len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, expected);
    }
    assert_eq!(scene.status("/a.png"), 203);
    assert_eq!(scene.status("/a.html"), 200);
    scene.role.stop();
}

#[test]
fn beyond_maxconn_clients_wait_for_their_turn() {
    if skipped() {
        return;
    }
    let mut plan = plan(Mode::Http, vec![server("s1", ONE)]);
    plan.process.threads = 1;
    plan.frontends[0].max_connections = Some(2);
    let mut scene = Scene::new("l7max", &plan);
    serve(&scene.space, ONE, Arc::new(echo));
    let (first, second) = (scene.connect(), scene.connect());
    let mut third = scene.connect();
    third.write_all(b"GET /3 HTTP/1.1\r\n\r\n").unwrap();
    eventually("two are in", || scene.report().frontends[0].connections == 2);
    third.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(third.read(&mut [0; 9]).is_err());
    drop(first);
    third.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut begin = [0; 15];
    third.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    drop(second);
    scene.role.stop();
}

#[test]
fn a_stop_lets_running_requests_finish() {
    if skipped() {
        return;
    }
    let scene = Scene::new("l7stop", &plan(Mode::Http, vec![server("s1", ONE)]));
    serve(
        &scene.space,
        ONE,
        Arc::new(|stream, head, body| {
            std::thread::sleep(Duration::from_millis(600));
            echo(stream, head, body)
        }),
    );
    let mut client = scene.connect();
    client.write_all(b"GET /slow HTTP/1.1\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let stopping = std::thread::spawn(move || scene.role.stop());
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(stopping.join().unwrap().success());
}
