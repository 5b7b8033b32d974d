//! HTTP_GET against nginx.

use model::check::{CheckKind, HttpCheck, HttpVersion, UrlCheck};

use super::{Bench, checker, matching, pages, plan, server, target, url};
use crate::director_role::PATIENCE;
use crate::webserver::Nginx;

/// MD5 of `hello`, as `genhash` prints it.
const HELLO: [u8; 16] = *b"\x5d\x41\x40\x2a\xbc\x4b\x2a\x76\xb9\x71\x9d\x91\x10\x17\xc5\x92";

fn digest(path: &str, digest: [u8; 16]) -> CheckKind {
    pages(vec![UrlCheck { digest: Some(digest), ..url(path) }])
}

#[test]
fn http_get_compares_the_digest_and_the_status_of_real_pages() {
    let Some(bench) = Bench::new("httpget") else { return };
    let nginx = Nginx::start(&bench.server, target(80), &[("index.html", b"hello")]);
    let mut role = bench.watch(vec![checker(digest("/index.html", HELLO), target(80))]);
    assert_eq!(server(&mut role).last_result.as_deref(), Some("HTTP status 200, digest matches"));
    nginx.write("index.html", b"defaced");
    let (up, reason) = role.health();
    assert!(!up && reason.ends_with("instead of 5d41402abc4b2a76b9719d911017c592"), "{reason}");
    nginx.write("index.html", b"hello");
    assert_eq!(role.health(), (true, "HTTP status 200, digest matches".to_string()));
    role.configure(plan(vec![checker(pages(vec![url("/broken")]), target(80))]));
    assert_eq!(role.health(), (false, "HTTP status 500".to_string()));
    role.stop();
}

#[test]
fn http_get_speaks_every_version_to_nginx() {
    let Some(bench) = Bench::new("httpversion") else { return };
    let _nginx = Nginx::start(&bench.server, target(80), &[("index.html", b"hello")]);
    // What the server received, in its own words.
    let cases = [
        (HttpVersion::Http10, "HTTP/1.0 ()"),
        (HttpVersion::Http10Close, "HTTP/1.0 (close)"),
        (HttpVersion::Http10KeepAlive, "HTTP/1.0 (keep-alive)"),
        (HttpVersion::Http11, "HTTP/1.1 (close)"),
        (HttpVersion::Http11KeepAlive, "HTTP/1.1 (keep-alive)"),
    ];
    let kinds = cases.iter().map(|(version, words)| {
        let (protocol, connection) = words.split_once(" (").unwrap();
        let expression = format!("^{protocol} {} ", connection.trim_end_matches(')'));
        let urls = vec![matching("/request", &expression)];
        (CheckKind::Http(HttpCheck { version: *version, ..HttpCheck::plain(urls) }), target(80))
    });
    let expected = ["true: HTTP status 200, pattern matches"; 5];
    assert_eq!(bench.results(kinds.collect()), expected);
}

#[test]
fn a_page_has_as_many_conditions_as_the_file_gives() {
    let Some(bench) = Bench::new("httppage") else { return };
    let files: [(&str, &[u8]); 2] = [("index.html", b"hello"), ("other.html", b"Good Morning")];
    let _nginx = Nginx::start(&bench.server, target(80), &files);
    let status = |path: &str, status: Vec<(u16, u16)>| UrlCheck { status, ..url(path) };
    let host = |name: &str| UrlCheck {
        virtual_host: Some(name.to_string()),
        ..matching("/request", " name.test$")
    };
    let offsets = |from: u32, until: Option<u32>, negated: bool| {
        let mut url = matching("/other.html", "(?i)morning");
        let pattern = url.pattern.as_mut().unwrap();
        (pattern.min_offset, pattern.max_offset, pattern.negated) = (from, until, negated);
        url
    };
    let cases = [
        (vec![status("/missing", vec![(100, 199), (404, 404)])], "true: HTTP status 404"),
        (vec![status("/index.html", vec![(500, 599)])], "false: HTTP status 200"),
        (vec![host("name.test")], "true: HTTP status 200, pattern matches"),
        (vec![host("other.test")], "false: pattern does not match"),
        (vec![offsets(5, Some(6), false)], "true: HTTP status 200, pattern matches"),
        (vec![offsets(6, None, false)], "false: pattern does not match"),
        (vec![offsets(0, Some(5), false)], "false: pattern does not match"),
        (vec![offsets(0, None, true)], "false: pattern matches"),
        (vec![offsets(6, None, true)], "true: HTTP status 200, pattern does not match"),
    ];
    let kinds = cases.iter().map(|(urls, _)| (pages(urls.clone()), target(80))).collect();
    let expected: Vec<&str> = cases.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(bench.results(kinds), expected);
}

#[test]
fn http_get_asks_for_several_pages_in_order() {
    let Some(bench) = Bench::new("httpurls") else { return };
    let files: [(&str, &[u8]); 2] = [("index.html", b"hello"), ("other.html", b"Good Morning")];
    let nginx = Nginx::start(&bench.server, target(80), &files);
    let pages = pages(vec![url("/index.html"), url("/other.html"), matching("/", "^hello$")]);
    let mut role = bench.watch(vec![checker(pages, target(80))]);
    // Round after round, each page after the one before it.
    for page in ["/index.html", "/other.html", "/", "/index.html"] {
        let expected = format!("{page}: HTTP status 200");
        let deadline = std::time::Instant::now() + PATIENCE;
        while !server(&mut role).last_result.is_some_and(|it| it.starts_with(&expected)) {
            assert!(std::time::Instant::now() < deadline, "{page} is not asked for");
        }
    }
    nginx.remove("other.html");
    assert_eq!(role.health(), (false, "/other.html: HTTP status 404".to_string()));
    nginx.write("other.html", b"Good Evening");
    assert!(role.health().0);
    role.stop();
}
