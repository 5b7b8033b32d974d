//! Kernel parameters under `/proc/sys`, as this thread's network namespace has them.

use std::fs;
use std::io;
use std::path::PathBuf;

/// The value of a parameter such as `net/ipv4/conf/eth0/arp_ignore`, without its line end. An
/// interface that is gone is [`io::ErrorKind::NotFound`].
pub fn read(key: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(key)?)?.trim_end().to_owned())
}

/// Gives a parameter a value.
pub fn write(key: &str, value: &str) -> io::Result<()> {
    fs::write(path(key)?, value)
}

/// Interface names may contain dots but are never a way out of the directory.
fn path(key: &str) -> io::Result<PathBuf> {
    if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(PathBuf::from("/proc/sys").join(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_read_without_its_line_end_and_a_missing_one_is_not_found() {
        let value = read("net/ipv4/conf/lo/arp_ignore").unwrap();
        assert!(!value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()));
        let missing = read("net/ipv4/conf/no-such-link/arp_ignore").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        for key in ["../etc/passwd", "net//ipv4", "/etc/passwd", "net/./ipv4"] {
            assert_eq!(read(key).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{key}");
        }
    }
}
