//! Mails about real servers, through `evenkeel run`.

use std::net::TcpListener;

use lab::net::{Namespace, Net};

use crate::duties::{Director, Place, within};
use crate::mails::{PORT, Sink, global};

const ADDRESS: &str = "192.0.2.1";

/// A machine on its own with a virtual address.
pub(crate) fn machine(net: &Net) -> Namespace {
    let namespace = net.namespace("alone").unwrap();
    namespace.ip("link set lo up").unwrap();
    namespace.ip(&format!("addr add {ADDRESS}/32 dev lo")).unwrap();
    namespace
}

/// A virtual server with one real server of this machine, checked once a second.
pub(crate) fn service(port: u16, more: &str) -> String {
    format!(
        "virtual_server {ADDRESS} 80 {{\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n \
         real_server 127.0.0.1 {port} {{\n {more}\n TCP_CHECK {{\n connect_timeout 1\n retry 0\n \
         }}\n }}\n}}\n"
    )
}

pub(crate) fn listen(namespace: &Namespace, port: u16) -> TcpListener {
    namespace.enter(|| TcpListener::bind(("127.0.0.1", port)).unwrap()).unwrap()
}

#[test]
fn each_change_of_a_real_server_is_one_mail_with_keepaliveds_subject() {
    if let Some(reason) = lab::net::missing() {
        println!("skipped: {reason}");
        return;
    }
    let (net, place) = (Net::new("alerts").unwrap(), Place::new("alerts"));
    let namespace = machine(&net);
    let sink = Sink::open(&namespace);
    place.write("keepalived.conf", &format!("{}{}", global(""), service(8081, "smtp_alert")));
    let first = listen(&namespace, 8081);
    let _director = Director::start(&namespace, &place);
    std::thread::sleep(std::time::Duration::from_secs(2));
    drop(first);
    within("the mail of the death", || sink.all().len() == 1);
    let _first = listen(&namespace, 8081);
    within("the mail of the return", || sink.all().len() == 2);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let mails = sink.all();
    let subject = |state: &str| {
        format!(
            "[LVS_9] Realserver [127.0.0.1]:tcp:8081 of virtual server [192.0.2.1]:tcp:80 - {state}"
        )
    };
    let told: Vec<_> =
        mails.iter().map(|mail| (mail.subject.clone(), mail.body[0].clone())).collect();
    let expected = [
        (subject("DOWN"), "=> TCP CHECK failed on service <=".to_owned()),
        (subject("UP"), "=> TCP CHECK succeed on service <=".to_owned()),
    ];
    assert_eq!(told, expected);
}

#[test]
fn with_the_mail_server_dead_checks_go_on() {
    if let Some(reason) = lab::net::missing() {
        println!("skipped: {reason}");
        return;
    }
    let (net, place) = (Net::new("alertsd").unwrap(), Place::new("alertsd"));
    let namespace = machine(&net);
    // It takes connections and never says a word.
    let _dead = listen(&namespace, PORT);
    place.write("keepalived.conf", &format!("{}{}", global(""), service(8081, "smtp_alert")));
    let director = Director::start(&namespace, &place);
    let up = |director: &Director| {
        director.status()["director"]["services"][0]["servers"][0]["up"].as_bool()
    };
    for _ in 0..3 {
        within("its death", || up(&director) == Some(false));
        let server = listen(&namespace, 8081);
        within("its return", || up(&director) == Some(true));
        drop(server);
    }
    within("its last death", || up(&director) == Some(false));
    let alerts = &director.status()["alerts"];
    assert_eq!(alerts["sent"], 0);
    assert!(alerts["waiting"].as_u64().unwrap() >= 6, "{alerts}");
}
