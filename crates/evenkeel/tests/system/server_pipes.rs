//! Pipes that are told of virtual and real servers, and servers that a BFD session watches, through
//! `evenkeel run`.

use lab::net::Net;
use rustix::process::Signal;

use crate::alerts::{listen, service};
use crate::duties::{Director, Place, instance, pair, signal_to, within};

/// What each pipe is told when a server dies and comes back: Keepalived's lines.
const LINES: &str = "VS [192.0.2.1]:tcp:80 UP\n\
    RS [127.0.0.1]:tcp:8081 [192.0.2.1]:tcp:80 DOWN\nVS [192.0.2.1]:tcp:80 DOWN\n\
    RS [127.0.0.1]:tcp:8081 [192.0.2.1]:tcp:80 UP\nVS [192.0.2.1]:tcp:80 UP\n";

/// A server dies and comes back; both pipes are read by programs of ours.
fn told(tag: &str, more: &str) -> (Vec<String>, Place) {
    let (net, place) = (Net::new(tag).unwrap(), Place::new(tag));
    let (namespace, _other) = pair(&net);
    namespace.ip("link set lo up").unwrap();
    namespace.ip("addr add 192.0.2.1/32 dev lo").unwrap();
    let reader = |name: &str| {
        let (starts, copy) = (place.path(&format!("{name}.starts")), place.path(name));
        place.script(&format!("read_{name}"), &format!("echo >> {starts}\ncat $1 >> {copy}"))
    };
    let (all, lvs) = (reader("all"), reader("lvs"));
    let text = format!(
        "global_defs {{\n script_user root\n notify_fifo {}\n notify_fifo_script {all}\n \
         lvs_notify_fifo {}\n lvs_notify_fifo_script {lvs}\n}}\n{}{more}",
        place.path("all.fifo"),
        place.path("lvs.fifo"),
        service(8081, "")
    );
    place.write("keepalived.conf", &text);
    let server = listen(&namespace, 8081);
    let director = Director::start(&namespace, &place);
    let has = |lines: usize| place.read("lvs").lines().count() >= lines;
    within("the start is told", || has(1));
    // The first check has found it up.
    std::thread::sleep(std::time::Duration::from_secs(2));
    drop(server);
    within("the death is told", || has(3));
    let _server = listen(&namespace, 8081);
    within("the return is told", || has(5));
    assert_eq!(place.read("lvs"), LINES);
    let lines_of_servers = || -> Vec<String> {
        let is_of_server = |line: &&str| line.starts_with("RS") || line.starts_with("VS");
        place.read("all").lines().filter(is_of_server).map(str::to_owned).collect()
    };
    within("all of it is told to the other", || lines_of_servers().len() >= 5);
    assert_eq!(lines_of_servers(), LINES.lines().collect::<Vec<_>>());
    assert_eq!(
        (place.read("all.starts").as_str(), place.read("lvs.starts").as_str()),
        ("\n", "\n")
    );
    let others: Vec<String> = place
        .read("all")
        .lines()
        .filter(|line| line.starts_with("INSTANCE"))
        .map(str::to_owned)
        .collect();
    assert!(director.running.stop().success());
    for name in ["all.fifo", "lvs.fifo"] {
        assert!(!std::fs::exists(place.path(name)).unwrap(), "{name} is left");
    }
    (others, place)
}

#[test]
fn both_pipes_are_told_of_servers_in_keepaliveds_words() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let (others, _place) = told("serverpipe", "");
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn with_vrrp_beside_it_the_common_pipe_is_told_of_both_and_has_one_reader() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let vrrp = instance("");
    let (others, _place) = told("serverpipev", &vrrp);
    assert!(!others.is_empty(), "VRRP is told too");
}

/// Processes that have this word in their command line.
fn processes_with(word: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let has = |line: &Vec<u8>| line.split(|&byte| byte == 0).any(|one| one == word.as_bytes());
    lines.filter(has).count()
}

#[test]
fn the_common_pipe_stays_as_long_as_one_of_its_two_writers() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let (net, place) = (Net::new("pipestays").unwrap(), Place::new("pipestays"));
    let (namespace, _other) = pair(&net);
    namespace.ip("link set lo up").unwrap();
    namespace.ip("addr add 192.0.2.1/32 dev lo").unwrap();
    let (pipe, copy) = (place.path("pipe"), place.path("copy"));
    // Opens the pipe for every line.
    let script = format!("while read -r line < $1; do echo \"$line\" >> {copy}; done");
    let reader = place.script("reader", &script);
    let global = format!(
        "global_defs {{\n script_user root\n notify_fifo {pipe}\n \
         notify_fifo_script {reader}\n}}\n"
    );
    let (servers, vrrp) = (service(8081, ""), instance(""));
    let write = |parts: &[&str]| place.write("keepalived.conf", &parts.concat());
    let told = |what: &str| place.read("copy").lines().filter(|it| it.starts_with(what)).count();
    let is_there = || std::fs::exists(&pipe).unwrap();
    // While the leaving role's reader is there, it may take a line with it.
    let handed_over = || within("a single reader", || processes_with(&reader) == 1);

    write(&[&global, &servers, &vrrp]);
    let director = Director::start(&namespace, &place);
    let reload = |number: usize, parts: &[&str]| {
        write(parts);
        director.running.signal(Signal::HUP);
        // One that a leaving role holds up comes later.
        within("a reload", || director.log().matches("reloaded: ").count() == number);
    };
    within("both are told", || told("INSTANCE") > 0 && told("RS") > 0);
    reload(1, &[&global, &servers]);
    handed_over();
    let before = told("RS");
    let _server = listen(&namespace, 8081);
    within("virtual servers are told without VRRP", || told("RS") > before);
    reload(2, &[&global, &servers, &vrrp]);
    assert!(is_there(), "the helper left it to the director");
    within("VRRP is told again", || director.state() == "master");
    reload(3, &[&global, &vrrp]);
    handed_over();
    let before = told("INSTANCE");
    namespace.ip("link set eth0 down").unwrap();
    within("VRRP is told without virtual servers", || told("INSTANCE") > before);
    reload(4, &[&global, &vrrp, &servers]);
    assert!(is_there(), "the director left it to the helper");
    reload(5, &[&vrrp, &servers]);
    within("nobody has it any more", || !is_there());
    assert!(director.running.stop().success());
}

#[test]
fn a_server_watched_by_bfd_leaves_with_its_neighbour_also_one_that_died_unseen() {
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    let (place, other) = (Place::new("serverbfd"), Place::new("serverbfdo"));
    let net = Net::new("serverbfd").unwrap();
    let (a, b) = pair(&net);
    let session = |ours: u8, its: u8| {
        format!(
            "bfd_instance PEER {{\n neighbor_ip 10.9.0.{its}\n source_ip 10.9.0.{ours}\n \
             min_rx 100\n min_tx 100\n multiplier 5\n}}\n"
        )
    };
    let server = |vip: &str, at: &str| {
        format!(
            "virtual_server {vip} 80 {{\n lb_algo rr\n lb_kind NAT\n protocol TCP\n \
             real_server {at} 80 {{\n BFD_CHECK {{\n name PEER\n }}\n }}\n}}\n"
        )
    };
    place.write("keepalived.conf", &(session(1, 2) + &server("10.9.0.100", "10.9.0.2")));
    other.write("keepalived.conf", &(session(2, 1) + &server("10.9.0.200", "10.9.0.1")));
    let director = Director::start(&a, &place);
    let up = || director.status()["director"]["services"][0]["servers"][0]["up"].as_bool();
    let turns = |what: &str, state: bool| within(what, || up() == Some(state));
    let neighbour = Director::start(&b, &other);
    director.wait_for_log("BFD session PEER is up");
    turns("it lives with its neighbour", true);
    b.ip("link set eth0 down").unwrap();
    turns("it leaves with its neighbour", false);
    b.ip("link set eth0 up").unwrap();
    turns("it returns with its neighbour", true);

    // A vrrp role that is killed says how it is again.
    let kill_vrrp = || {
        let former = director.pid("vrrp").unwrap();
        signal_to(former, Signal::KILL);
        within("a new vrrp role", || director.pid("vrrp").is_some_and(|pid| pid != former));
    };
    kill_vrrp();
    turns("the neighbour lives", true);
    // The role dies before it can tell that nothing comes any more.
    b.ip("link set eth0 down").unwrap();
    kill_vrrp();
    turns("the neighbour died meanwhile", false);
    b.ip("link set eth0 up").unwrap();
    turns("and lives again", true);
    // A farewell is no failure (RFC 5882 3.2): nothing is expected of it.
    assert!(neighbour.running.stop().success());
    assert!(director.running.stop().success());
}
