//! Where the supervisor's log lines go: standard error, or syslog for one in the background.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use edge::syslog::Datagram;

/// Facility daemon, severity notice (RFC 3164).
const PRIORITY: u8 = 3 * 8 + 5;

/// A destination that can be changed once, by every holder of a copy.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogLines(Arc<OnceLock<Option<Datagram>>>);

impl LogLines {
    /// Later lines go to /dev/log; to nobody where there is none.
    pub(crate) fn to_syslog(&self) {
        self.to_receiver("/dev/log");
    }

    fn to_receiver(&self, path: &str) {
        let socket = Datagram::unix().ok().filter(|socket| socket.connect_path(path).is_ok());
        let _ = self.0.set(socket);
    }
}

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0.get() {
            None => io::stderr().write_all(line)?,
            Some(Some(socket)) => {
                let head = format!("<{PRIORITY}>evenkeel[{}]: ", std::process::id());
                // Logging never blocks: a full queue drops the line.
                let _ = socket.send(&[head.as_bytes(), line.trim_ascii_end()].concat());
            }
            Some(None) => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn in_the_background_lines_go_to_syslog_from_every_copy() {
        let path = std::env::temp_dir().join(format!("evenkeel-lines-{}", std::process::id()));
        let receiver = UnixDatagram::bind(&path).unwrap();
        let lines = LogLines::default();
        let mut copy = lines.clone();
        lines.to_receiver(path.to_str().unwrap());
        copy.write_all(b"it runs\n").unwrap();
        let mut buffer = [0; 200];
        let length = receiver.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]);
        assert!(text.starts_with("<29>evenkeel[") && text.ends_with("]: it runs"), "{text}");
        std::fs::remove_file(path).unwrap();
    }
}
