//! Debian's nginx with a configuration of the test's own, inside a namespace.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lab::net::Namespace;

use crate::director_role::PATIENCE;

/// A running nginx; killed, and its directory removed, when dropped.
pub(crate) struct Nginx {
    child: Child,
    directory: PathBuf,
}

/// Why there is no nginx, or nothing when there is.
pub(crate) fn missing() -> Option<String> {
    let found = Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_ok();
    (!found).then(|| "`nginx` is not installed".to_string())
}

impl Nginx {
    /// Serves `pages` (name and content) at this address, and waits until it answers.
    pub(crate) fn start(
        namespace: &Namespace,
        address: SocketAddr,
        pages: &[(&str, &[u8])],
    ) -> Nginx {
        Nginx::start_with(namespace, address, pages, "")
    }

    /// The same, with these `server` blocks besides.
    pub(crate) fn start_with(
        namespace: &Namespace,
        address: SocketAddr,
        pages: &[(&str, &[u8])],
        more: &str,
    ) -> Nginx {
        let directory = PathBuf::from(format!("/tmp/{}-{}", namespace.name(), address.port()));
        let root = directory.join("html");
        fs::create_dir_all(&root).unwrap();
        for (name, content) in pages {
            fs::write(root.join(name), content).unwrap();
        }
        let path = directory.join("nginx.conf");
        fs::write(&path, configuration(&directory, address, more)).unwrap();
        let mut command = namespace.command("nginx");
        command.arg("-p").arg(&directory).arg("-c").arg(&path);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let nginx = Nginx { child, directory };
        let deadline = Instant::now() + PATIENCE;
        while namespace.enter(|| TcpStream::connect(address)).unwrap().is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        nginx
    }

    /// Replaces a page.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let root = self.directory.join("html");
        fs::write(root.join("new"), content).unwrap();
        fs::rename(root.join("new"), root.join(name)).unwrap();
    }

    /// Takes a page away.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.directory.join("html").join(name)).unwrap();
    }

    /// Ends it at once: its port refuses from now on.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// One process, nothing outside of its directory.
fn configuration(directory: &Path, address: SocketAddr, more: &str) -> String {
    let directory = directory.display();
    format!(
        "daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;\n\
         events {{ worker_connections 1000; }}\n\
         http {{\n\
           access_log off; keepalive_timeout 60;\n\
           client_body_temp_path {directory}/a; proxy_temp_path {directory}/b;\n\
           fastcgi_temp_path {directory}/c; uwsgi_temp_path {directory}/d;\n\
           scgi_temp_path {directory}/e;\n\
           server {{ listen {address}; root {directory}/html;\n\
             location = /broken {{ return 500; }}\n\
             location = /large {{ limit_rate 200k; }}\n\
             location = /request {{\n\
               return 200 \"$server_protocol $http_connection $host\";\n\
             }}\n\
           }}\n\
           {more}\n\
         }}\n"
    )
}
