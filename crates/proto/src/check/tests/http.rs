//! HTTP_GET and SSL_GET.

use model::check::{HttpCheck, HttpVersion, Pattern, ServerName, TlsCheck};

use super::*;

const HELLO: &[u8] = b"HTTP/1.0 200 OK\r\n\r\nhello";
const MD5_OF_HELLO: [u8; 16] = *b"\x5d\x41\x40\x2a\xbc\x4b\x2a\x76\xb9\x71\x9d\x91\x10\x17\xc5\x92";

fn page_checker(url: UrlCheck) -> Checker {
    checker(CheckKind::Http(HttpCheck::plain(vec![url])))
}

/// Whether a page with this body passes, and what the probe says.
fn judged(url: UrlCheck, wire: &[u8]) -> (bool, String) {
    let mut checker = page_checker(url);
    answer(&mut checker, wire);
    (checker.failures() == 0, checker.last_result().unwrap().to_string())
}

#[test]
fn the_request_is_keepaliveds_in_every_version() {
    let versions = [
        (HttpVersion::Http10, "1.0", ""),
        (HttpVersion::Http10Close, "1.0", "Connection: close\r\n"),
        (HttpVersion::Http10KeepAlive, "1.0", "Connection: keep-alive\r\n"),
        (HttpVersion::Http11, "1.1", "Connection: close\r\n"),
        (HttpVersion::Http11KeepAlive, "1.1", "Connection: keep-alive\r\n"),
    ];
    for (version, number, connection) in versions {
        let http = HttpCheck { version, ..HttpCheck::plain(vec![url("/a b")]) };
        let (_, request) = open(&mut checker(CheckKind::Http(http)));
        let expected = [
            "GET /a%20b HTTP/",
            number,
            "\r\nUser-Agent: KeepAliveClient\r\n",
            connection,
            "Host: 10.0.0.2:80\r\n\r\n",
        ];
        assert_eq!(String::from_utf8(request).unwrap(), expected.concat());
    }
}

#[test]
fn the_host_is_the_virtual_one_or_the_address_and_never_a_second_header() {
    let mut page = url("/");
    page.virtual_host = Some("www.example.org\r\nX: y".to_string());
    let (_, request) = open(&mut page_checker(page));
    assert!(request.ends_with(b"Host: www.example.orgX: y\r\n\r\n"));
    let mut plan = plan(CheckKind::Http(HttpCheck::plain(vec![url("/")])));
    plan.target = "[2001:db8::1]:8080".parse().unwrap();
    let (_, request) = open(&mut Checker::new(plan, at(0), 0));
    assert!(request.ends_with(b"Host: [2001:db8::1]:8080\r\n\r\n"));
}

#[test]
fn status_and_digest_decide_and_say_why() {
    let digest =
        "digest 5d41402abc4b2a76b9719d911017c592 instead of 00000000000000000000000000000000";
    // Accepted, digest wanted, reply, whether it passes, what the probe says.
    type Case = (&'static [(u16, u16)], Option<[u8; 16]>, &'static [u8], bool, &'static str);
    let cases: [Case; 10] = [
        (&[], None, HELLO, true, "HTTP status 200"),
        (&[], None, b"HTTP/1.0 204 No\r\n\r\n", true, "HTTP status 204"),
        (&[], None, b"HTTP/1.0 302 Found\r\n\r\n", false, "HTTP status 302"),
        (&[], Some(MD5_OF_HELLO), HELLO, true, "HTTP status 200, digest matches"),
        (&[], Some([0; 16]), HELLO, false, digest),
        (&[], Some(MD5_OF_HELLO), b"HTTP/1.0 500 No\r\n\r\nhello", false, "HTTP status 500"),
        (&[(200, 200), (500, 599)], None, b"HTTP/1.0 503 No\r\n\r\n", true, "HTTP status 503"),
        (&[(200, 399)], None, b"HTTP/1.0 302 Found\r\n\r\n", true, "HTTP status 302"),
        (&[(201, 201), (203, 204)], None, HELLO, false, "HTTP status 200"),
        (&[], None, b"SSH-2.0-x\r\n\r\n", false, "not an HTTP answer"),
    ];
    for (status, digest, reply, passes, says) in cases {
        let page = UrlCheck { status: status.to_vec(), digest, ..url("/") };
        assert_eq!(judged(page, reply), (passes, says.to_string()));
    }
}

#[test]
fn a_digest_is_that_of_the_body_or_of_its_chunks_as_keepalived_takes_it() {
    let wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let md5_of_chunks = *b"\x79\xe9\x48\x9e\x3b\xd3\xf0\xcb\x01\x58\x21\x53\x41\xde\x04\x6d";
    let says = |digest| judged(UrlCheck { digest: Some(digest), ..url("/") }, wire);
    assert!(says(MD5_OF_HELLO).0);
    assert!(says(md5_of_chunks).0, "{}", says(md5_of_chunks).1);
    assert!(!says([1; 16]).0);
}

#[test]
fn a_pattern_decides_after_the_status_and_the_digest() {
    let pattern = |expression: &str, negated| {
        let expression = expression.to_string();
        Some(Pattern { expression, negated, min_offset: 0, max_offset: None })
    };
    let cases = [
        (pattern("^hel+o$", false), true, "HTTP status 200, pattern matches"),
        (pattern("bye", false), false, "pattern does not match"),
        (pattern("bye", true), true, "HTTP status 200, pattern does not match"),
        (pattern("hello", true), false, "pattern matches"),
    ];
    for (pattern, passes, says) in cases {
        let page = UrlCheck { pattern, ..url("/") };
        assert_eq!(judged(page, HELLO), (passes, says.to_string()));
    }
    let page = UrlCheck { pattern: pattern("hello", false), ..url("/") };
    assert_eq!(judged(page, b"HTTP/1.0 500 No\r\n\r\nhello").1, "HTTP status 500");
}

#[test]
fn a_kept_connection_is_closed_when_its_answer_is_complete() {
    let http =
        HttpCheck { version: HttpVersion::Http11KeepAlive, ..HttpCheck::plain(vec![url("/")]) };
    let mut checker = checker(CheckKind::Http(http));
    let (now, _) = open(&mut checker);
    checker.handle_bytes(now, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
    assert_eq!(outputs(&mut checker), []);
    checker.handle_bytes(now, b"o");
    assert_eq!(outputs(&mut checker), [Output::Close]);
    assert_eq!(checker.last_result(), Some("HTTP status 200"));
}

#[test]
fn the_server_name_is_none_the_virtual_host_or_the_one_given() {
    let name = |server_name| {
        let tls = Some(TlsCheck { server_name, compliant: false });
        let page = UrlCheck { virtual_host: Some("a.example:443".to_string()), ..url("/") };
        let http = HttpCheck { tls, ..HttpCheck::plain(vec![page]) };
        let mut checker = checker(CheckKind::Http(http));
        checker.handle_timeout(at(0));
        match outputs(&mut checker).remove(0) {
            Output::Connect { tls: Some(tls), .. } => tls.server_name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(name(ServerName::Absent), None);
    assert_eq!(name(ServerName::VirtualHost), Some("a.example".to_string()));
    assert_eq!(name(ServerName::Name("b".to_string())), Some("b".to_string()));
}

#[test]
fn a_page_over_tls_is_judged_when_it_is_complete_however_the_connection_ends() {
    for (compliant, version) in [(false, HttpVersion::Http10), (true, HttpVersion::Http11KeepAlive)]
    {
        let tls = Some(TlsCheck { server_name: ServerName::Absent, compliant });
        let http = HttpCheck { tls, version, ..HttpCheck::plain(vec![url("/")]) };
        let mut checker = checker(CheckKind::Http(http));
        checker.handle_timeout(at(0));
        let opened = outputs(&mut checker);
        assert!(
            matches!(&opened[..], [Output::Connect { tls: Some(tls), .. }] if tls.compliant == compliant)
        );
        checker.handle_connected(at(0), Ok(()));
        outputs(&mut checker);
        checker.handle_bytes(at(1), b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(outputs(&mut checker), [Output::Close], "{version:?} waits for no end");
        assert_eq!((checker.failures(), checker.last_result()), (0, Some("HTTP status 200")));
    }
}
