//! The program linked as `genhash` beside Debian's: the same output and exit code for the same
//! pages, plain and over TLS, and for the same mistakes.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const THEIRS: &str = "/usr/bin/genhash";

/// A directory with the link, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(tag: &str) -> Place {
        let path = std::env::temp_dir().join(format!("ek-genhash-{tag}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        symlink(env!("CARGO_BIN_EXE_evenkeel"), path.join("genhash")).unwrap();
        Place(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn missing() -> Option<String> {
    (!Path::new(THEIRS).exists()).then(|| "Debian's `genhash` is not installed".to_owned())
}

/// What a run says, both ways, and its exit code. Times are left out.
fn run(program: &Path, words: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(program).args(words).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace(program.to_str().unwrap(), "genhash");
        let untimed = |line: &str| match line.split_once("] = ") {
            Some((front, _)) if line.starts_with("Global response time") => front.to_owned(),
            Some(_) | None => line.to_owned(),
        };
        text.split('\n').map(untimed).collect::<Vec<String>>().join("\n")
    };
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// Ours and theirs say the same; what that is.
fn same(place: &Place, words: &[&str]) -> (String, String, Option<i32>) {
    let theirs = run(Path::new(THEIRS), words);
    assert_eq!(run(&place.0.join("genhash"), words), theirs, "{words:?}");
    theirs
}

/// A server on the loopback interface that answers each path with bytes of the test's own.
fn scripted(pages: &'static [(&'static str, &'static [u8])]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            match pages.iter().find(|(name, _)| *name == path) {
                Some((_, answer)) => stream.write_all(answer).unwrap(),
                // What was asked, as it came.
                None => {
                    let page = format!("HTTP/1.0 200 OK\r\n\r\n{request}");
                    stream.write_all(page.as_bytes()).unwrap();
                }
            }
        }
    });
    address
}

const ODD: &[(&str, &[u8])] = &[
    ("/nothing", b""),
    ("/no-head", b"HTTP/1.0 200 OK\r\n"),
    ("/line-feeds", b"HTTP/1.0 200 OK\n\nbody"),
    ("/empty", b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("/beyond", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello"),
    ("/short", b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhello"),
    ("/small-letters", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhello"),
    ("/chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("/announced", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhi"),
    (
        "/announced-length",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("/binary", b"HTTP/1.0 200 OK\r\n\r\n\x00\x01\x7f\x80\xff and a line longer than sixteen"),
    ("/error", b"HTTP/1.0 500 No\r\nContent-Length: 4\r\n\r\noops"),
];

#[test]
fn odd_pages_and_all_that_is_verbose_come_out_as_debians() {
    if let Some(reason) = missing() {
        return println!("skipped: {reason}");
    }
    let place = Place::new("odd");
    let address = scripted(ODD);
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    for (path, _) in ODD {
        let words = ["-s", &host, "-p", &port, "-u", path];
        same(&place, &words);
        same(&place, &[&words[..], &["-v"]].concat());
    }
    // The request itself is the page.
    for more in [
        &["-v"][..],
        &["-v", "-P", "1.0c"],
        &["-v", "-P", "1.1", "-V", "www.example.com:8080"],
        &["-v", "--protocol=1.0C", "--use-virtualhost", "host", "--timeout", "3", "-m", "0"],
    ] {
        let (told, _, _) = same(
            &place,
            &[&["--server", &host, "--port", &port, "--url", "/asked?for=1"], more].concat(),
        );
        assert!(told.contains("HTML hash final resulting"), "{told}");
    }
}

#[test]
fn mistakes_and_servers_that_do_not_answer_come_out_as_debians() {
    if let Some(reason) = missing() {
        return println!("skipped: {reason}");
    }
    let place = Place::new("wrong");
    for line in [
        "",
        "-h",
        "--help",
        "-x -y",
        "--foo --use-s=1",
        "-s 1.2.3.4 -p",
        "-s 1.2.3.4 -p 80",
        "-s foo -p 80",
        "-s 1.2.3.4 -p 0 -u /",
        "-s 1.2.3.4 -p 99999 -u /",
        "-s 1.2.3.4 -p 80 -u / -m x",
        "-s 1.2.3.4 -p 80 -u / -t x",
        "-s 1.2.3.4 -p 80 -u / -P 2",
        "-s 1.2.3.4 -p 80 -u / and more",
        "-s 1.2.3.4 -p 80 -- -u /",
        "-s 127.0.0.1 -p 1 -u /",
        "-s 127.0.0.1/8 -p 1 -u / -v",
        "-s ::1 -p 1 -u / -S",
        "-s 255.255.255.255 -p 1 -u /",
    ] {
        same(&place, &line.split_whitespace().collect::<Vec<&str>>());
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let words = ["-s", "127.0.0.1", "-p", &port, "-u", "/", "-t", "1"];
    assert_eq!(same(&place, &words).0, "Timeout WEB read\n");
    assert_eq!(same(&place, &[&words[..], &["-S"]].concat()).0, "Timeout connecting\n");
}

/// Debian's nginx on two ports, the second with TLS.
struct Web {
    child: Child,
    plain: u16,
    tls: u16,
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Web {
    fn start(place: &Place) -> Web {
        let root = place.0.display().to_string();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=somebody-else"])
            .args(["-keyout", &format!("{root}/key"), "-out", &format!("{root}/certificate")])
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        let (plain, tls) = (free_port(), free_port());
        let server = |listen: &str, name: &str| {
            format!(
                "server {{ listen {listen}; server_name {name}; root {root};\n\
                 location = /name {{ return 200 \"{name} $ssl_server_name\\n\"; }}\n\
                 location = /chunked {{ default_type text/html; try_files /small =404;\n\
                 sub_filter one two; }}\n}}\n"
            )
        };
        let text = format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\n\
             events {{ }}\nhttp {{ access_log off; client_body_temp_path {root}/a;\n\
             proxy_temp_path {root}/b; fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d;\n\
             scgi_temp_path {root}/e; ssl_certificate {root}/certificate;\n\
             ssl_certificate_key {root}/key;\n{}{}{}}}\n",
            server(&format!("127.0.0.1:{plain}"), "plain"),
            server(&format!("127.0.0.1:{tls} ssl default_server"), "nobody"),
            server(&format!("127.0.0.1:{tls} ssl"), "www.example.com"),
        );
        fs::write(place.0.join("nginx.conf"), text).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&place.0).arg("-c").arg(place.0.join("nginx.conf"));
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let web = Web { child, plain, tls };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", tls)).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        web
    }
}

#[test]
fn digests_of_nginxs_pages_are_those_of_debians_plain_and_over_tls() {
    let tool = |name: &str, word: &str| {
        let mut command = Command::new(name);
        command.arg(word).stdout(Stdio::null()).stderr(Stdio::null());
        let found = command.status().is_ok();
        (!found).then(|| format!("`{name}` is not installed"))
    };
    let reason = missing().or_else(|| tool("nginx", "-v")).or_else(|| tool("openssl", "version"));
    if let Some(reason) = reason {
        return println!("skipped: {reason}");
    }
    let place = Place::new("nginx");
    let binary: Vec<u8> = (0..3_000_000_u32).map(|number| ((number * 7) >> 3) as u8).collect();
    for (name, content) in
        [("empty", &b""[..]), ("small", b"one page\n"), ("large", &binary), ("b", &binary[..5_000])]
    {
        fs::write(place.0.join(name), content).unwrap();
    }
    let web = Web::start(&place);
    let mut digests = std::collections::BTreeSet::new();
    for path in ["/empty", "/small", "/large", "/b", "/chunked", "/not-there", "/name"] {
        for protocol in ["1.0", "1.0c", "1.1"] {
            for (port, more) in [
                (web.plain, &[][..]),
                (web.tls, &["-S"]),
                (web.tls, &["-S", "-I", "-V", "www.example.com"]),
            ] {
                let port = port.to_string();
                let words = ["-s", "127.0.0.1", "-p", &port, "-u", path, "-P", protocol];
                let (told, _, _) = same(&place, &[&words[..], more].concat());
                assert_eq!(told.trim().len(), 32, "{path} {protocol} {more:?}: {told}");
                digests.insert(told);
            }
        }
    }
    // All pages differ, the chunks of HTTP/1.1 count, and so does the name.
    assert!(digests.len() >= 9, "{digests:?}");
}
