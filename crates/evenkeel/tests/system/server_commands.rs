//! `evenkeel server`: changes of real servers at run time, which outlive reloads and directors.

use std::process::Command;

use lab::net::Net;
use rustix::process::Signal;
use serde_json::Value;

use crate::alerts::{listen, machine, service};
use crate::duties::{Director, Place, signal_to, within};
use crate::mails::{Sink, global};

const SERVICE: &str = "TCP 192.0.2.1:80";

/// Two real servers of this machine, of weight 2.
fn configuration(pipe: &str, more: &str) -> String {
    let server = |port: u16| {
        format!(
            " real_server 127.0.0.1 {port} {{\n weight 2\n TCP_CHECK {{\n connect_timeout 2\n \
             retry 1\n }}\n }}\n"
        )
    };
    format!(
        "{}virtual_server 192.0.2.1 80 {{\n delay_loop 1\n lb_algo wrr\n lb_kind NAT\n \
         protocol TCP\n smtp_alert\n{}{}{more}}}\n",
        global(&format!("lvs_notify_fifo {pipe}")),
        server(8081),
        server(8082)
    )
}

/// What a command said, and whether it did what it was asked for.
fn ask(place: &Place, words: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(words.split(' ')).args(["--runtime-dir", &place.path("run")]);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn done(place: &Place, words: &str) -> String {
    let (good, text) = ask(place, words);
    assert!(good, "{words}: {text}");
    text
}

/// Ports and weights in the table, in order; what `ipvsadm -Ln` shows is the same.
fn table(director: &Director<'_>, place: &Place) -> Vec<(u64, u64)> {
    let status = director.status();
    let Some(servers) = status["director"]["services"][0]["servers"].as_array() else {
        return Vec::new();
    };
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let in_table = servers.iter().filter(|server| server["in_table"] == true);
    let of_status = in_table.map(|one| (number(&one["endpoint"]["port"]), number(&one["weight"])));
    let mut of_status: Vec<_> = of_status.collect();
    of_status.sort_unstable();
    let listing = done(place, "ipvsadm -Ln");
    let row = |line: &str| {
        let mut words = line.trim().strip_prefix("-> 127.0.0.1:")?.split_whitespace();
        let port = words.next()?.parse().ok()?;
        Some((port, words.nth(1)?.parse().ok()?))
    };
    let mut of_listing: Vec<(u64, u64)> = listing.lines().filter_map(row).collect();
    of_listing.sort_unstable();
    // Between the two questions it may have changed: the caller asks again.
    if of_status == of_listing { of_status } else { Vec::new() }
}

#[test]
fn changes_at_run_time_outlive_a_reload_and_a_killed_director_and_are_told_once() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let (net, place) = (Net::new("servercmd").unwrap(), Place::new("servercmd"));
    let namespace = machine(&net);
    let sink = Sink::open(&namespace);
    let pipe = place.path("pipe");
    place.write("keepalived.conf", &configuration(&pipe, ""));
    let _listeners = [8081, 8082].map(|port| listen(&namespace, port));
    let director = Director::start(&namespace, &place);
    let holds = |what: &str, expected: &[(u64, u64)]| {
        within(what, || table(&director, &place) == expected);
    };
    holds("the table is filled", &[(8081, 2), (8082, 2)]);
    within("the mail of the start", || sink.all().len() == 1);
    assert!(done(&place, "server list").contains("nothing is changed"));

    done(&place, &format!("server weight {SERVICE} 127.0.0.1:8081 7"));
    holds("another weight", &[(8081, 7), (8082, 2)]);
    let text = done(&place, "server drain 192.0.2.1:80 127.0.0.1:8082 --within 60s --wait");
    assert!(text.contains("is drained"), "{text}");
    holds("a drain", &[(8081, 7), (8082, 0)]);
    done(&place, "server add 192.0.2.1:80 127.0.0.1:8083 --weight 4");
    let changed = [(8081, 7), (8082, 0), (8083, 4)];
    holds("one more", &changed);
    within("the mail of the one more", || sink.all().len() == 2);

    for (words, advice) in [
        ("server weight 192.0.2.1:81 127.0.0.1:8081 3", "did you mean TCP 192.0.2.1:80?"),
        ("server drain 192.0.2.1:80 127.0.0.1:8088", "did you mean 127.0.0.1:808"),
        ("server weight 192.0.2.1:80 127.0.0.1:8081 x", "is no weight"),
        ("server del 192.0.2.1:80 127.0.0.9:80", "has no real server"),
    ] {
        let (good, text) = ask(&place, words);
        assert!(!good && text.contains(advice), "{words}: {text}");
    }
    let list = done(&place, "server list");
    let lines = ["weight 7", "drain", "added"];
    assert!(lines.iter().all(|line| list.contains(line)), "{list}");
    let events = done(&place, "events --json").lines().count();

    place.write("keepalived.conf", &configuration(&pipe, " persistence_timeout 60\n"));
    director.running.signal(Signal::HUP);
    director.wait_for_log("reloaded: ");
    holds("the changes after a reload", &changed);
    let former = director.pid("director").unwrap();
    signal_to(former, Signal::KILL);
    within("a new director", || director.pid("director").is_some_and(|pid| pid != former));
    holds("the changes with a new director", &changed);
    assert_eq!(done(&place, "server list").lines().count(), 3);
    let after = done(&place, "events --json");
    let of_servers =
        after.lines().skip(events).filter(|line| line.contains("127.0.0.1:808")).count();
    assert_eq!((of_servers, sink.all().len()), (0, 2), "{after}\n{:?}", sink.all());

    done(&place, "server ready 192.0.2.1:80 127.0.0.1:8081");
    done(&place, "server ready 192.0.2.1:80 127.0.0.1:8082");
    holds("as the file says", &[(8081, 2), (8082, 2), (8083, 4)]);
    done(&place, "server del 192.0.2.1:80 127.0.0.1:8083");
    done(&place, "server del 192.0.2.1:80 127.0.0.1:8082");
    holds("without two", &[(8081, 2)]);
    done(&place, "server ready 192.0.2.1:80 127.0.0.1:8082");
    holds("one came back", &[(8081, 2), (8082, 2)]);
    assert!(done(&place, "server list").contains("nothing is changed"));
    assert!(director.running.stop().success());
}

#[test]
fn one_virtual_server_is_shown_alone_by_any_of_its_names() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let (net, place) = (Net::new("statusone").unwrap(), Place::new("statusone"));
    let namespace = machine(&net);
    let group = "virtual_server_group web {\n 192.0.2.1 443\n 192.0.2.1 8443\n}\n\
        virtual_server group web {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n \
        real_server 127.0.0.1 9000 {\n weight 5\n }\n}\n";
    place.write("keepalived.conf", &(service(8081, "") + group));
    let director = Director::start(&namespace, &place);
    within("both are there", || {
        director.status()["director"]["services"].as_array().is_some_and(|all| all.len() == 3)
    });
    let text = done(&place, "status 192.0.2.1:80");
    assert!(text.starts_with("LAYER 4") && text.contains("127.0.0.1:8081"), "{text}");
    assert!(!text.contains("127.0.0.1:9000"), "{text}");
    for name in ["group web", "TCP group web", "192.0.2.1:8443"] {
        let text = done(&place, &format!("status {name}"));
        assert_eq!(text.matches("127.0.0.1:9000").count(), 2, "{name}: {text}");
        assert!(!text.contains("127.0.0.1:8081"), "{name}: {text}");
    }
    let json: Value = serde_json::from_str(&done(&place, "status group web --json")).unwrap();
    let keys: Vec<&Value> = (0..3).map(|number| &json["services"][number]["key"]["port"]).collect();
    assert_eq!(keys, [&Value::from(443), &Value::from(8443), &Value::Null]);
    assert_eq!(json["services"][1]["servers"][0]["configured_weight"], 5);
    let (good, text) = ask(&place, "status 192.0.2.1:81");
    assert!(!good && text.contains("did you mean TCP 192.0.2.1:80?"), "{text}");
    assert!(director.running.stop().success());
}
