//! Where the supervisor's log lines go: standard error, or syslog for one in the background.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use edge::syslog::Datagram;

/// Severity notice (RFC 3164 4.1.1).
const NOTICE: u8 = 5;

/// A destination that can be changed once, by every holder of a copy.
#[derive(Clone, Debug)]
pub(crate) struct LogLines {
    receiver: Arc<OnceLock<Option<Datagram>>>,
    facility: u8,
    name: &'static str,
}

impl LogLines {
    /// To standard error until told otherwise; in syslog under this facility and name.
    pub(crate) fn new(facility: u8, name: &'static str) -> LogLines {
        LogLines { receiver: Arc::default(), facility, name }
    }

    /// Later lines go to nobody.
    pub(crate) fn to_nobody(&self) {
        let _ = self.receiver.set(None);
    }

    /// Later lines go to /dev/log; to nobody where there is none.
    pub(crate) fn to_syslog(&self) {
        self.to_receiver("/dev/log");
    }

    fn to_receiver(&self, path: &str) {
        let socket = Datagram::unix().ok().filter(|socket| socket.connect_path(path).is_ok());
        let _ = self.receiver.set(socket);
    }
}

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.receiver.get() {
            None => io::stderr().write_all(line)?,
            Some(Some(socket)) => {
                let priority = self.facility * 8 + NOTICE;
                let head = format!("<{priority}>{}[{}]: ", self.name, std::process::id());
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
        let lines = LogLines::new(3, "evenkeel");
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
