//! Starting a program.

use std::fs::File;
use std::io::{self, Read};

use edge::spawn::{Identity, Program};
use model::vrrp::{Command, User};

use super::security::is_redirection;

/// What ours have in the environment and a program must not see. (NOTIFY_SOCKET it does see, as
/// with Keepalived.)
const OURS_ALONE: &[&str] = &["EVENKEEL_BACKGROUND"];

/// Starts a program as the user it names, or else `default`, or else our own, with `more`
/// arguments after its own.
pub(crate) fn start(
    command: &Command,
    default: Option<&User>,
    more: &[&str],
) -> io::Result<Program> {
    let user = command.user.as_ref().or(default);
    let identity = super::identity(user, Identity::ours());
    let words = command.words.iter().map(String::as_str).chain(more.iter().copied());
    let words: Vec<&str> = words.collect();
    if needs_shell(words.first().copied().unwrap_or_default()) {
        let line = shell_line(&words);
        return Program::start(&["/bin/sh", "-c", &line], identity, OURS_ALONE);
    }
    Program::start(&words, identity, OURS_ALONE)
}

/// A redirection, or a script that names no interpreter: the kernel does not know how to run it.
fn needs_shell(program: &str) -> bool {
    if is_redirection(program) {
        return true;
    }
    let mut start = [0; 4];
    // What cannot be read may still be executed.
    let Ok(read) = File::open(program).and_then(|mut file| file.read(&mut start)) else {
        return false;
    };
    read > 0 && !start.starts_with(b"#!") && start != *b"\x7fELF"
}

/// The words as the shell reads them. A redirection is not quoted.
fn shell_line(words: &[&str]) -> String {
    let mut line = String::new();
    for (number, word) in words.iter().enumerate() {
        if number > 0 {
            line.push(' ');
        }
        if number == 0 && is_redirection(word) {
            line.push_str(word);
        } else {
            line.push('\'');
            line.push_str(&word.replace('\'', r"'\''"));
            line.push('\'');
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge::spawn::Ended;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    fn status(words: &[&str], more: &[&str]) -> Ended {
        let command =
            Command { words: words.iter().map(|&word| word.to_owned()).collect(), user: None };
        let mut program = start(&command, None, more).unwrap();
        for _ in 0..1000 {
            if let Some(ended) = program.ended().unwrap() {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{words:?} does not end")
    }

    #[test]
    fn arguments_arrive_as_they_are() {
        let test = "test \"$1\" = \"it's a 'quoted' word\" && test \"$2\" = last";
        let words = ["/bin/sh", "-c", test, "name", "it's a 'quoted' word"];
        assert_eq!(status(&words, &["last"]), Ended::Exited(0));
    }

    #[test]
    fn a_script_without_an_interpreter_is_the_shells() {
        let path = std::env::temp_dir().join(format!("ek-plain-{}", std::process::id()));
        fs::write(&path, "test \"$1\" = \"it's\"\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(status(&[path.to_str().unwrap(), "it's"], &[]), Ended::Exited(0));
        assert_eq!(status(&[path.to_str().unwrap(), "other"], &[]), Ended::Exited(1));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_redirection_asks_whether_a_file_is_there() {
        assert_eq!(status(&["</etc/passwd"], &[]), Ended::Exited(0));
        assert!(matches!(status(&["</does/not/exist"], &[]), Ended::Exited(code) if code > 0));
    }
}
