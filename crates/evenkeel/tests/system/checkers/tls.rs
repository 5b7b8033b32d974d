//! SSL_GET against nginx, with certificates of the test's own.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use model::check::{CheckKind, HttpCheck, ServerName, TlsCheck, UrlCheck};
use model::layer4::TlsFiles;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Bench, checker, matching, one_each, target, url};
use crate::director_role::PATIENCE;
use crate::webserver::Nginx;

/// A directory of keys and certificates; removed when dropped.
struct Authority(PathBuf);

impl Authority {
    fn new(directory: PathBuf, name: &str) -> Authority {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("conf"), "[req]\ndistinguished_name=dn\n[dn]\n").unwrap();
        let authority = Authority(directory);
        authority.make("ca", name, &["-addext", "basicConstraints=critical,CA:TRUE"]);
        authority
    }

    /// A key and a certificate of this name by the authority.
    fn issue(&self, name: &str) {
        let (ca, key) = (self.path("ca.crt"), self.path("ca.key"));
        let alternative = format!("subjectAltName=DNS:{name}");
        let more = ["-CA", &ca, "-CAkey", &key, "-addext", &alternative];
        self.make(name, name, &[&more[..], &["-addext", "basicConstraints=CA:FALSE"]].concat());
    }

    fn make(&self, file: &str, name: &str, more: &[&str]) {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")]);
        openssl.args([
            "-config",
            &self.path("conf"),
            "-keyout",
            &self.path(&format!("{file}.key")),
        ]);
        openssl.args(["-out", &self.path(&format!("{file}.crt"))]).args(more);
        assert!(openssl.stderr(Stdio::null()).status().unwrap().success());
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A server of nginx with this certificate, which shows the name it was asked for.
    fn server(&self, port: u16, name: &str, more: &str) -> String {
        let address = target(port);
        format!(
            "server {{ listen {address} ssl; server_name {name}; {more}\n\
             ssl_certificate {}; ssl_certificate_key {};\n\
             location / {{ return 200 \"{name} asked for [$ssl_server_name]\"; }} }}\n",
            self.path(&format!("{name}.crt")),
            self.path(&format!("{name}.key")),
        )
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn secure(url: UrlCheck, server_name: ServerName, compliant: bool) -> CheckKind {
    let tls = Some(TlsCheck { server_name, compliant });
    CheckKind::Http(HttpCheck { tls, ..HttpCheck::plain(vec![url]) })
}

fn named(name: &str) -> ServerName {
    ServerName::Name(name.to_string())
}

#[test]
fn ssl_get_names_the_server_it_wants() {
    let Some(bench) = Bench::new("sni") else { return };
    let authority =
        Authority::new(Path::new("/tmp").join(bench.server.name()).with_extension("ca"), "ours");
    ["one.test", "two.test"].iter().for_each(|name| authority.issue(name));
    let servers = authority.server(443, "one.test", "") + &authority.server(443, "two.test", "");
    let _nginx = Nginx::start_with(&bench.server, target(80), &[], &servers);
    let host = |name: &str, expression: &str| UrlCheck {
        virtual_host: Some(name.to_string()),
        ..matching("/", expression)
    };
    let results = bench.results(vec![
        (secure(matching("/", r"\[\]$"), ServerName::Absent, false), target(443)),
        (secure(matching("/", r"\[one.test\]$"), named("one.test"), true), target(443)),
        (
            secure(host("two.test", r"^two.test .*\[two.test\]$"), ServerName::VirtualHost, true),
            target(443),
        ),
        (secure(url("/"), named("not a name"), false), target(443)),
        // No TLS there.
        (secure(url("/"), ServerName::Absent, false), target(80)),
        (secure(url("/"), ServerName::Absent, false), target(81)),
    ]);
    let good = "true: HTTP status 200, pattern matches";
    assert_eq!(results[..4], [good, good, good, "false: no name for a TLS handshake: not a name"]);
    assert!(results[4].starts_with("false: TLS: "), "{}", results[4]);
    assert_eq!(results[5], "false: connection refused");
}

#[test]
fn ssl_get_shows_its_certificate_and_takes_anybodys() {
    let Some(bench) = Bench::new("mutual") else { return };
    let directory = Path::new("/tmp").join(bench.server.name());
    let authority = Authority::new(directory.with_extension("ca"), "ours");
    ["one.test", "director.test"].iter().for_each(|name| authority.issue(name));
    let verify =
        format!("ssl_verify_client on; ssl_client_certificate {};", authority.path("ca.crt"));
    let servers =
        authority.server(443, "one.test", "") + &authority.server(444, "one.test", &verify);
    let _nginx = Nginx::start_with(&bench.server, target(80), &[], &servers);
    let results = |tls: TlsFiles| {
        let check = |name: ServerName, port| checker(secure(url("/"), name, false), target(port));
        let mut plan = one_each(vec![
            check(ServerName::Absent, 443),
            check(named("one.test"), 443),
            check(named("two.test"), 443),
            check(ServerName::Absent, 444),
        ]);
        plan.outside.tls = tls;
        bench.results_of(plan)
    };
    let (good, shown) = ("true: HTTP status 200", "false: HTTP status 400");
    assert_eq!(results(TlsFiles::default()), [good, good, good, shown]);
    let ours = TlsFiles {
        certificate: Some(authority.path("director.test.crt")),
        key: Some(authority.path("director.test.key")),
    };
    assert_eq!(results(ours), [good; 4]);
}

/// Gives every client a page that ends with the connection, which it closes without close_notify;
/// tells whether the client ended with one.
fn rude_server(bench: &Bench, port: u16, config: &Arc<ServerConfig>) -> Receiver<bool> {
    let listener = bench.server.enter(|| TcpListener::bind(target(port))).unwrap().unwrap();
    let (ends, seen) = channel();
    let config = config.clone();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(session, socket);
            let mut buffer = [0; 1000];
            if stream.read(&mut buffer).is_err() {
                continue;
            }
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nok");
            let _ = stream.sock.shutdown(Shutdown::Write);
            let _ = ends.send(matches!(stream.read(&mut buffer), Ok(0)));
        }
    });
    seen
}

#[test]
fn tls_compliant_says_goodbye_and_no_server_has_to() {
    let Some(bench) = Bench::new("goodbye") else { return };
    let authority =
        Authority::new(Path::new("/tmp").join(bench.server.name()).with_extension("ca"), "ours");
    authority.issue("one.test");
    let certificate = CertificateDer::from_pem_file(authority.path("one.test.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(authority.path("one.test.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    let config = Arc::new(config.unwrap());
    let (loose, compliant) = (rude_server(&bench, 443, &config), rude_server(&bench, 444, &config));
    let results = bench.results(vec![
        (secure(url("/"), ServerName::Absent, false), target(443)),
        (secure(url("/"), ServerName::Absent, true), target(444)),
    ]);
    assert_eq!(results, ["true: HTTP status 200"; 2]);
    assert!(!loose.recv_timeout(PATIENCE).unwrap());
    assert!(compliant.recv_timeout(PATIENCE).unwrap());
}
