//! Whole files in, plans and findings out.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use model::check::CheckKind;
use model::proxy::{ConnectionMode, LogDestination, LogFormat, Matching, Mode, ProxyPlan, Sample};

use super::testing::{clean, findings, load};

const BOOK: &str = include_str!("../../tests/documents/book-haproxy.cfg");
const STOCK: &str = include_str!("../../tests/documents/stock-haproxy.cfg");
const TYPOS: &str = include_str!("../../tests/documents/typo-haproxy.cfg");

/// Sections around a few lines, complete enough to be without findings.
fn web(lines: &str) -> String {
    format!(
        "defaults\n mode http\n timeout client 1m\n timeout server 1m\n timeout connect 5s\n\
         frontend web\n bind 192.0.2.1:80\n default_backend app\n{lines}\n\
         backend app\n server a 192.0.2.11:80\nbackend static\n server s 192.0.2.12:80\n"
    )
}

fn app(lines: &str) -> String {
    format!(
        "defaults\n mode http\n timeout client 1m\n timeout server 1m\n timeout connect 5s\n\
         backend app\n{lines}\n"
    )
}

fn one(text: &str) -> String {
    let findings = findings(text);
    assert_eq!(findings.len(), 1, "{text}\n{findings:#?}");
    findings.into_iter().next().unwrap()
}

#[test]
fn the_books_chapter_becomes_a_plan() {
    let part = clean(BOOK);
    let ProxyPlan { process, frontends, backends } = &part.plan;
    assert_eq!(process.user.as_ref().unwrap().id, Some(99));
    assert_eq!(process.max_connections, Some(4000));
    assert!(process.daemon);
    let [main] = &frontends[..] else { panic!() };
    assert_eq!((main.name.as_str(), main.mode), ("main", Mode::Http));
    assert_eq!(main.binds[0].address, "192.168.0.10:80".parse().unwrap());
    assert_eq!(main.default_backend.as_deref(), Some("app"));
    assert_eq!(main.log.format, LogFormat::Http);
    assert_eq!(main.log.targets[0].to, LogDestination::Udp("127.0.0.1:514".parse().unwrap()));
    assert_eq!((main.log.targets[0].facility, main.log.tag.as_str()), (18, "haproxy"));
    assert_eq!(main.timeouts.http_request, Some(Duration::from_secs(10)));
    let [app] = &backends[..] else { panic!() };
    assert_eq!((app.retries, app.redispatch, app.servers.len()), (3, false, 4));
    let check = app.servers[2].check.as_ref().unwrap();
    assert_eq!((check.pace.rise, check.pace.fall), (4, 3));
    assert_eq!(check.pace.interval, Duration::from_secs(2));
    assert_eq!(check.kind, CheckKind::Tcp);
    assert!(app.servers[3].backup && app.servers[3].check.is_none());
    assert_eq!(part.binds.len(), 1);
}

#[test]
fn the_stock_file_sends_static_paths_to_their_own_backend() {
    let plan = clean(STOCK).plan;
    let main = &plan.frontends[0];
    assert_eq!(main.binds[0].address, "0.0.0.0:5000".parse().unwrap());
    assert_eq!(main.max_connections, Some(3000));
    assert_eq!(main.connection_mode, ConnectionMode::ServerClose);
    assert_eq!(main.forward_for.as_ref().unwrap().except, Some(("127.0.0.0".parse().unwrap(), 8)));
    let rule = &main.use_backends[0];
    assert_eq!(rule.backend, "static");
    let any = &rule.condition.as_ref().unwrap().any;
    let [begins, ends] = &any[0][0].tests[..] else { panic!() };
    assert_eq!((&begins.sample, begins.matching), (&Sample::Path, Matching::Begins));
    assert_eq!((&ends.sample, ends.matching), (&Sample::Path, Matching::Ends));
    assert!(begins.ignore_case && ends.ignore_case);
    assert_eq!(ends.patterns, [".jpg", ".gif", ".png", ".css", ".js"]);
    assert!(plan.backends.iter().all(|backend| backend.redispatch));
    // A plain check's only step is the connect: min(timeout connect, inter).
    let check = plan.backends[0].servers[0].check.as_ref().unwrap();
    assert_eq!(check.timeout, Duration::from_secs(2));
}

#[test]
fn every_typo_is_named_with_its_suggestion_and_nothing_else_is() {
    let found = findings(TYPOS);
    let marked: Vec<u32> = TYPOS
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains("# <-"))
        .map(|(number, _)| number as u32 + 1)
        .collect();
    let mut lines: Vec<u32> =
        found.iter().map(|finding| finding.split(':').next().unwrap().parse().unwrap()).collect();
    lines.sort();
    lines.dedup();
    assert_eq!(lines, marked, "{found:#?}");
    for help in [
        "`defaults`",
        "`frontend`",
        "`backend`",
        "`maxconn`",
        "`http`",
        "`httplog`",
        "`timeout`",
        "`connect`",
        "`path_beg`",
        "`url_static`",
        "`app`",
        "`balance`",
        "`check`",
        "`local2`",
    ] {
        let meant = format!("did you mean {help}?");
        assert!(found.iter().any(|finding| finding.contains(&meant)), "{meant}: {found:#?}");
    }
}

#[test]
fn a_frontend_line_with_a_lost_line_break_is_one_finding() {
    let text = web("").replace("frontend web\n bind", "frontend web bind");
    assert_eq!(
        one(&text),
        "6: error: `bind` stands on the first line of its section; \
         write it on a line of its own: bind 192.0.2.1:80"
    );
    let part = load(&text).0;
    assert_eq!(part.plan.frontends[0].binds.len(), 1);
}

#[test]
fn a_new_defaults_section_starts_afresh_and_from_takes_an_older_one() {
    let text = "defaults one\n mode http\n retries 7\n timeout connect 1s\n timeout server 1s\n\
                defaults two\n timeout connect 2s\n timeout server 2s\n\
                defaults three from one\n retries 8\n\
                backend a from two\n server s 192.0.2.1:80\n\
                backend b from one\n server s 192.0.2.1:80\n\
                backend c\n server s 192.0.2.1:80\n";
    let plan = clean(text).plan;
    let seen: Vec<_> =
        plan.backends.iter().map(|backend| (backend.mode, backend.retries)).collect();
    assert_eq!(seen, [(Mode::Tcp, 3), (Mode::Http, 7), (Mode::Http, 8)]);
    let message = one(&text.replace("from two", "from tow"));
    assert!(message.contains("did you mean `two`?"), "{message}");
}

#[test]
fn listen_is_a_frontend_and_a_backend() {
    let plan = clean(
        "listen web\n bind :80,[::]:80\n bind 192.0.2.1:8000-8002\n timeout client 1s\n\
         timeout server 1s\n timeout connect 1s\n server a localhost:80\n server b six:80\n",
    )
    .plan;
    let binds: Vec<String> =
        plan.frontends[0].binds.iter().map(|bind| format!("{}", bind.address)).collect();
    assert_eq!(
        binds,
        ["0.0.0.0:80", "[::]:80", "192.0.2.1:8000", "192.0.2.1:8001", "192.0.2.1:8002"]
    );
    assert_eq!(plan.frontends[0].default_backend.as_deref(), Some("web"));
    // First IPv4, else IPv6.
    assert_eq!(plan.backends[0].servers[0].address, "127.0.0.1:80".parse().unwrap());
    assert_eq!(plan.backends[0].servers[1].address, "[2001:db8::6]:80".parse().unwrap());
}

fn condition(rule: &str) -> String {
    let text =
        web(&format!(" acl a path /a\n acl b path /b\n acl c path /c\n use_backend static {rule}"));
    let plan = clean(&text).plan;
    let Some(rule) = plan.frontends[0].use_backends.first() else {
        return "never".into();
    };
    let Some(condition) = &rule.condition else {
        return "always".into();
    };
    let groups: Vec<String> = condition
        .any
        .iter()
        .map(|group| {
            let terms: Vec<String> = group
                .iter()
                .map(|term| {
                    let sign = if term.negated { "!" } else { "" };
                    format!("{sign}{}", term.tests[0].patterns.join("+").trim_start_matches('/'))
                })
                .collect();
            terms.join(" ")
        })
        .collect();
    groups.join(" | ")
}

#[test]
fn conditions_are_groups_of_terms_and_unless_is_turned_around() {
    assert_eq!(condition(""), "always");
    assert_eq!(condition("if a b or !c"), "a b | !c");
    assert_eq!(condition("if a || b c"), "a | b c");
    assert_eq!(condition("unless a b"), "!a | !b");
    assert_eq!(condition("unless a or b"), "!a !b");
    assert_eq!(condition("unless a b or c"), "!a !c | !b !c");
    assert_eq!(condition("if { path_beg /x /y } !{ path /z }"), "x+/y !z");
    assert_eq!(condition("if ! a !!b"), "!a b");
    assert_eq!(condition("if TRUE a"), "a");
    assert_eq!(condition("if a FALSE"), "never");
    assert_eq!(condition("unless FALSE"), "always");
    assert_eq!(condition("if METH_GET"), "GET+HEAD");
    assert_eq!(condition("if LOCALHOST"), "127.0.0.0/8+::1/128");
    assert_eq!(condition("if { hdr(host) -i -m beg www. }"), "www.");
    assert_eq!(condition("if { src 10.0.0.0/255.0.0.0 10.1.2.3 }"), "10.0.0.0/8+10.1.2.3/32");
}

#[test]
fn wrong_conditions_are_named() {
    for (rule, expected) in [
        ("if nope", "no ACL `nope`"),
        ("if", "where an ACL should follow"),
        ("if or a", "without an ACL before"),
        ("if a or", "where an ACL should follow"),
        ("if a and b", "`and` is no word"),
        ("if { path /x", "never closed"),
        ("if { }", "nothing between"),
        ("if { path_reg ^/x }", "`path_reg` is not supported"),
        ("if { hdr host }", "needs the name of a header"),
        ("if { path,lower /x }", "converters"),
        ("if { path -f file }", "acl -f"),
        ("if { src 10.0.0 }", "is not a network"),
        ("if { path }", "never matches"),
        ("if WAIT_END", "`WAIT_END` is not supported"),
        ("whenever a", "unknown word"),
    ] {
        let finding =
            one(&web(&format!(" acl a path /a\n acl b path /b\n use_backend static {rule}")));
        assert!(finding.contains(expected), "{rule}: {finding}");
    }
}

#[test]
fn an_unless_cannot_grow_without_bound() {
    let groups: Vec<&str> = core::iter::repeat_n("a a a a a a a a a a", 40).collect();
    let rule = format!(" acl a path /a\n use_backend static unless {}", groups.join(" or "));
    assert!(one(&web(&rule)).contains("too many alternatives"));
}

#[test]
fn checks_have_haproxys_defaults_and_times() {
    let text = app(" option httpchk GET /health HTTP/1.1\\r\\nHost:\\ www\n timeout check 9s\n\
         default-server inter 5s fastinter 1s\n\
         server a 192.0.2.1:80 check downinter 7s port 8080 addr 192.0.2.9 weight 10\n\
         server b 192.0.2.2:80 no-check\n");
    let plan = clean(&text).plan;
    let [a, b] = &plan.backends[0].servers[..] else { panic!() };
    let check = a.check.as_ref().unwrap();
    assert_eq!(check.target, "192.0.2.9:8080".parse().unwrap());
    assert_eq!(check.timeout, Duration::from_secs(9));
    assert_eq!(check.pace.interval, Duration::from_secs(5));
    assert_eq!(check.pace.retry_interval, Duration::from_secs(1));
    assert_eq!(check.pace.down_interval, Duration::from_secs(7));
    assert_eq!((check.pace.rise, check.pace.fall, a.weight, b.weight), (2, 3, 10, 1));
    let CheckKind::Http(http) = &check.kind else { panic!() };
    let urls = &http.urls;
    assert_eq!((urls[0].path.as_str(), &urls[0].status[..]), ("/health", &[(200, 399)][..]));
    assert_eq!(urls[0].virtual_host.as_deref(), Some("www"));
    assert!(b.check.is_none());
}

#[test]
fn no_takes_back_what_defaults_said() {
    let text = "global\n log /dev/log local0 notice\ndefaults\n mode http\n log global\n option httplog\n\
        option dontlognull\n option redispatch\n option httpclose\n timeout client 1s\n\
        timeout connect 1s\n timeout server 1s\n\
        listen a\n bind :80\n no log\n log stdout format raw daemon\n no option dontlognull\n\
        default option redispatch\n no option httpclose\n server s 192.0.2.1:80\n\
        listen b\n bind :81\n server s 192.0.2.1:80\n";
    let plan = clean(text).plan;
    let [a, b] = &plan.frontends[..] else { panic!() };
    assert_eq!(a.log.targets.len(), 1);
    assert_eq!(a.log.targets[0].to, LogDestination::Stdout);
    assert_eq!(b.log.targets[0].to, LogDestination::Unix("/dev/log".into()));
    assert_eq!(b.log.targets[0].max_level, 5);
    assert!(!a.log.dont_log_null && b.log.dont_log_null);
    assert!(!plan.backends[0].redispatch && plan.backends[1].redispatch);
    assert_eq!(
        (a.connection_mode, b.connection_mode),
        (ConnectionMode::KeepAlive, ConnectionMode::Close)
    );
}

#[test]
fn refused_keywords_say_what_to_do_instead() {
    for (line, expected) in [
        ("contimeout 5s", "use timeout connect"),
        ("clitimeout 5s", "use timeout client"),
        ("reqrep ^a b", "http-request replace-header"),
        ("balance leastconn", "use roundrobin"),
        ("balance hdr(host)", "use roundrobin"),
        ("server a 192.0.2.1:80 maxconn 10", "use maxconn in the frontend"),
        ("server a 192.0.2.1:80 ssl", "TLS is not part of this version"),
        ("stats uri /stats", "evenkeel status"),
        ("option httpchk", "option httpchk GET /"),
        ("option httpchk HEAD /up", "option httpchk GET /up"),
        ("timeout server-fin 1s", "timeout server bounds this too"),
        ("http-request deny", "not changed by this version"),
    ] {
        let text = app(&format!(" server z 192.0.2.9:80\n {line}"));
        let finding = one(&text);
        assert!(finding.contains("8: error"), "{line}: {finding}");
        assert!(finding.contains(expected), "{line}: {finding}");
    }
    let finding = one("global\n stats socket /run/haproxy.sock mode 600 level admin\n");
    assert!(finding.contains("use `evenkeel status`"), "{finding}");
    let finding = one("userlist u\n user a password b\n group c\n");
    assert!(finding.contains("sections `userlist`"), "{finding}");
    let finding = one(&web(" bind :443 ssl crt /etc/x.pem"));
    assert!(finding.contains("`ssl` is not supported"), "{finding}");
}

#[test]
fn sections_that_do_not_fit_together_are_reported() {
    for (text, expected) in [
        (web(" mode tcp"), "frontend web is in mode tcp, but backend app is in mode http"),
        (web(" default_backend ap"), "there is no backend `ap`; did you mean `app`?"),
        (web(" use_backend sttaic if { path / }"), "did you mean `static`?"),
        (web(" bind 192.0.2.1:80"), "192.0.2.1:80 is bound twice"),
        (web("frontend web\n bind :81\n default_backend app"), "has the same name"),
        (web("frontend other\n default_backend app"), "no `bind` line"),
        (web("frontend other\n bind :81\n"), "leads to no backend"),
        (web("backend empty"), "backend empty has no server"),
        (web(" option httplog"), "has a log format but writes no log"),
        (web(" timeout client 0"), "no bound at all"),
        (web(" use_backend app\n use_backend static"), "never reached"),
        (web(" balance roundrobin"), "`balance` has no effect: frontend web has no servers"),
        (web(" server x 192.0.2.1:80"), "`server` cannot stand in a frontend section"),
        (app(" server a 192.0.2.1:80\n server a 192.0.2.2:80"), "a second server with the name"),
        (app(" server a 192.0.2.1:80 inter 5s"), "the server is not checked"),
        (app(" server a nowhere:80"), "cannot be resolved"),
        (app(" server a 192.0.2.1"), "has no port"),
        (app(" server a 192.0.2.1:80\n no server b"), "cannot stand before `server`"),
    ] {
        let found = findings(&text);
        assert!(found.iter().any(|finding| finding.contains(expected)), "{expected}: {found:#?}");
    }
}

#[test]
fn missing_timeouts_are_listed_once_per_section() {
    let text = "listen a\n bind :80\n timeout client 1s\n server s 192.0.2.1:80\n";
    assert!(one(text).contains("listen a lacks `timeout connect` and `timeout server`"));
}

#[test]
fn a_tcp_frontend_cannot_look_at_requests() {
    let text = web(" mode tcp\n acl a path /x\n use_backend app if a\n option forwardfor")
        .replace("backend app\n", "backend app\n mode tcp\n");
    let found = findings(&text);
    assert!(found.iter().any(|finding| finding.contains("sees no HTTP request")), "{found:#?}");
    assert!(found.iter().any(|finding| finding.contains("`option forwardfor` has no effect")));
}

#[test]
fn an_unknown_user_is_a_warning() {
    let finding = one("global\n user nobody-here\n");
    assert!(finding.contains("warning: this machine does not know the user"), "{finding}");
}

#[test]
fn every_row_is_documented_or_says_what_to_do_instead() {
    for info in super::rows() {
        assert!(!info.name.is_empty());
        match info.status {
            crate::row::Status::Supported => assert!(!info.doc.is_empty(), "{}", info.name),
            crate::row::Status::NoEffect(why) => assert!(!why.is_empty(), "{}", info.name),
            crate::row::Status::Rejected(instead) => assert!(!instead.is_empty(), "{}", info.name),
        }
    }
}

#[test]
fn no_keyword_has_two_rows_in_one_place() {
    let infos: Vec<_> = super::rows().collect();
    for (number, info) in infos.iter().enumerate() {
        for other in &infos[..number] {
            let shared = info.sections.iter().any(|section| other.sections.contains(section));
            assert!(info.name != other.name || !shared, "{}", info.name);
        }
    }
}

/// Debian's haproxy agrees that the good files are good.
#[test]
fn haproxy_accepts_the_good_files_too() {
    for name in ["book", "stock"] {
        let path = format!("{}/tests/documents/{name}-haproxy.cfg", env!("CARGO_MANIFEST_DIR"));
        match std::process::Command::new("haproxy").args(["-q", "-c", "-f", &path]).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                // A machine without the user `haproxy` has haproxy, but not installed.
                assert!(output.status.success() || said.contains("cannot find user"), "{said}");
            }
            Err(error) => std::println!("skipped: haproxy cannot be started: {error}"),
        }
    }
}

/// Cuts, doubles, swaps and overwrites at random places.
fn mutated(text: &str, edits: &[(usize, u8, char)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (place, what, c) in edits {
        let place = place % chars.len().max(1);
        match what % 5 {
            0 if !chars.is_empty() => {
                chars.remove(place);
            }
            1 if !chars.is_empty() => chars[place] = *c,
            2 => chars.truncate(place.max(1)),
            3 => {
                let end = (place + 40).min(chars.len());
                let piece: Vec<char> = chars[place.min(end)..end].to_vec();
                chars.extend(piece);
            }
            _ => chars.insert(place.min(chars.len()), *c),
        }
    }
    chars.into_iter().collect()
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ -~\n\t\"'\\\\${}0-9é]{0,300}") {
        load(&text);
    }

    #[test]
    fn no_mutation_of_a_good_file_makes_it_panic(
        which in 0..3usize,
        edits in proptest::collection::vec(
            (0..5000usize, 0..255u8, proptest::char::any()),
            1..30,
        ),
    ) {
        let text = mutated([BOOK, STOCK, TYPOS][which], &edits);
        let (_, diagnostics) = load(&text);
        for diagnostic in diagnostics {
            let span = diagnostic.span;
            assert!(text.get(span.start as usize..span.end as usize).is_some(), "{diagnostic:?}");
        }
    }

    #[test]
    fn no_order_of_words_makes_it_panic(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "frontend", "backend", "listen", "defaults", "global", "from", "\n", "\n", "\n",
                "web", "app", "bind", ":80", "*:1-3", "server", "1.2.3.4:80", "check", "inter",
                "2s", "acl", "path_beg", "hdr(", "hdr(host)", "-i", "-m", "--", "{", "}", "!", "or",
                "if", "unless", "use_backend", "default_backend", "no", "default", "option",
                "httplog", "httpchk", "GET", "timeout", "client", "log", "stdout", "local0", "balance",
            ]),
            0..60,
        ),
    ) {
        load(&(words.join(" ") + "\n"));
    }
}

#[test]
fn columns_that_a_scanner_tore_apart_are_named_line_by_line() {
    let found = findings(
        "global\n log 127.0.0.1 local2\ndefaults\n  mode\n      http\n      global\n  log\n\
         \u{20}    httplog\n  option\n  timeout queue\n      1m\n\
         backend app\n server a 192.0.2.1:80\n",
    );
    let expected = [
        "4: error: `mode` needs `tcp` or `http`",
        "5: error: unknown keyword `http`; a value alone on its line",
        "6: error: `global` alone on an indented line; write `log global`",
        "7: error: `log` needs a receiver",
        "8: error: unknown keyword `httplog`; write `option httplog`",
        "9: error: `option` needs a word behind it",
        "10: error: `timeout queue` needs a time",
        "11: error: unknown keyword `1m`; a value alone on its line",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn a_proxys_keyword_in_global_is_sent_where_it_belongs() {
    let finding = one("global\n option httplog\n");
    assert!(finding.contains("`option` cannot stand in `global`"), "{finding}");
}

#[test]
fn the_repositorys_example_loads_without_a_finding() {
    let part = clean(include_str!("../../../../configs/haproxy.cfg"));
    assert!(!part.plan.frontends.is_empty());
}
