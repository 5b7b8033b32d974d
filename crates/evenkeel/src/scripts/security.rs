//! May this program run? Keepalived's rules: it has to be there and executable for the user it
//! runs as; and what root runs must not be changeable by others, nor any directory on the way.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use edge::spawn::Identity;

use super::path;

/// What was found out about a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It runs.
    Runs(Danger),
    /// It is not run because others than root can change it, or it is no file.
    Refused,
    /// It is not there, or the user cannot get there.
    Missing,
    /// The user may not execute it.
    NotExecutable,
}

/// Whether others than root could change what root runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Danger {
    /// Only root can change it, or it is not run with root's rights.
    None,
    /// Others can.
    Changeable,
    /// It is no program but a redirection of the shell, such as `</tmp/file`.
    NoProgram,
}

/// What the configuration says of all programs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// `enable_script_security`: what root runs and others can change is not run.
    pub(super) refuse: bool,
    /// `use_symlink_paths`: links in paths stay, so that they can be turned to other programs.
    pub(super) keep_links: bool,
}

/// Looks at a program, says what is worth saying in Keepalived's words, and makes its path a
/// real one, unless links are to stay.
pub(super) fn look(
    program: &mut String,
    identity: Identity,
    rules: Rules,
    texts: &mut Vec<String>,
) -> Verdict {
    if is_redirection(program) {
        return Verdict::Runs(Danger::NoProgram);
    }
    if !program.contains('/') && !find(program, identity, texts) {
        return Verdict::Missing;
    }
    let real = match path::real(program, identity) {
        Ok(real) => real,
        Err(error) => {
            texts.push(format!("Script {program} cannot be accessed - {}", reason(&error)));
            return Verdict::Missing;
        }
    };
    let (named, real) = if rules.keep_links && program.starts_with('/') {
        (PathBuf::from(&*program), Some(real))
    } else {
        path::under_its_name(program, real)
    };
    *program = named.to_string_lossy().into_owned();
    let Ok(file) = fs::metadata(&named) else {
        texts.push(format!("Unable to access script `{program}` - disabling"));
        return Verdict::Missing;
    };
    if !path::executable(&file, identity) {
        texts.push(format!(
            "WARNING - script '{program}' is not executable for uid:gid {}:{} - disabling.",
            identity.uid, identity.gid
        ));
        return Verdict::NotExecutable;
    }
    let mode = file.mode();
    let becomes_root = (file.uid() == 0 && mode & 0o4100 == 0o4100)
        || (file.gid() == 0 && mode & 0o2010 == 0o2010);
    if identity.uid != 0 && identity.gid != 0 && !becomes_root {
        return Verdict::Runs(Danger::None);
    }
    let paths = [Some(named.as_path()), real.as_deref()];
    let mut danger = Danger::None;
    for path in paths.into_iter().flatten() {
        match way(path) {
            Way::Safe => {}
            Way::Changeable => {
                let done = if rules.refuse { " - disabling" } else { "" };
                let path = path.display();
                texts.push(format!("Unsafe permissions found for script '{path}'{done}."));
                if rules.refuse {
                    return Verdict::Refused;
                }
                danger = Danger::Changeable;
            }
            Way::WrongType => {
                let path = path.display();
                texts.push(format!("Wrong file type found in script path '{path}'."));
                return Verdict::Refused;
            }
            Way::Broken => {
                texts.push(format!(
                    "check_script_secure could not find script '{}' - disabling",
                    path.display()
                ));
                return Verdict::Missing;
            }
        }
    }
    Verdict::Runs(danger)
}

/// `</file` asks the shell whether a file can be opened.
pub(super) fn is_redirection(program: &str) -> bool {
    program
        .strip_prefix('<')
        .is_some_and(|file| file.trim_start_matches([' ', '\t']).starts_with('/'))
}

fn find(program: &mut String, identity: Identity, texts: &mut Vec<String>) -> bool {
    match path::search(program, identity) {
        Ok(found) => {
            let found = found.to_string_lossy().into_owned();
            texts.push(format!(
                "WARNING - script `{program}` resolved by path search to `{found}`. \
                 Please specify full path."
            ));
            *program = found;
            true
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            texts.push(format!("Permissions failure for script {program} in path - disabling"));
            false
        }
        Err(_) => {
            texts.push(format!("Cannot find script {program} in path - disabling"));
            false
        }
    }
}

/// strerror(3)'s text alone.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => "Permission denied".into(),
        std::io::ErrorKind::NotFound => "No such file or directory".into(),
        _ => error.to_string(),
    }
}

enum Way {
    Safe,
    Changeable,
    WrongType,
    Broken,
}

/// Who can change a file or any directory on the way to it.
fn way(path: &Path) -> Way {
    let mut above: Vec<&Path> = path.ancestors().collect();
    above.reverse();
    for (number, one) in above.iter().enumerate() {
        let Ok(found) = fs::symlink_metadata(one) else { return Way::Broken };
        let kind = found.file_type();
        let last = number + 1 == above.len();
        // A link's target is looked at by itself.
        if !(kind.is_symlink() || if last { kind.is_file() } else { kind.is_dir() }) {
            return Way::WrongType;
        }
        let mode = found.mode();
        let sticky_directory = kind.is_dir() && mode & 0o1000 != 0;
        let writable = mode & 0o002 != 0 || (found.gid() != 0 && mode & 0o020 != 0);
        if found.uid() != 0 || (!kind.is_symlink() && !sticky_directory && writable) {
            return Way::Changeable;
        }
    }
    Way::Safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const ROOT: Identity = Identity { uid: 0, gid: 0 };
    const NOBODY: Identity = Identity { uid: 65534, gid: 65534 };
    const STRICT: Rules = Rules { refuse: true, keep_links: false };

    /// A directory that only root can change: temporary ones are not.
    fn directory(name: &str) -> Option<PathBuf> {
        if !edge::privileges::are_all() {
            println!("skipped: needs root");
            return None;
        }
        let path = PathBuf::from(format!("/run/ek-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Some(path)
    }

    fn script(directory: &Path, name: &str, mode: u32) -> String {
        let path = directory.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn verdict(program: &str, identity: Identity, refuse: bool) -> (Verdict, Vec<String>) {
        let mut texts = Vec::new();
        let rules = Rules { refuse, keep_links: false };
        (look(&mut program.to_owned(), identity, rules, &mut texts), texts)
    }

    #[test]
    fn what_root_runs_is_changeable_by_root_alone() {
        let Some(directory) = directory("secure") else { return };
        let good = script(&directory, "good", 0o755);
        let group = script(&directory, "group", 0o775);
        let world = script(&directory, "world", 0o757);
        assert_eq!(verdict(&good, ROOT, true), (Verdict::Runs(Danger::None), vec![]));
        assert_eq!(verdict(&group, ROOT, true).0, Verdict::Runs(Danger::None), "group root");
        std::os::unix::fs::chown(&group, None, Some(1)).unwrap();
        assert_eq!(verdict(&group, ROOT, true).0, Verdict::Refused);
        let (found, texts) = verdict(&world, ROOT, false);
        assert_eq!(found, Verdict::Runs(Danger::Changeable));
        assert_eq!(texts, [format!("Unsafe permissions found for script '{world}'.")]);
        let (found, texts) = verdict(&world, ROOT, true);
        assert_eq!(found, Verdict::Refused);
        assert_eq!(texts, [format!("Unsafe permissions found for script '{world}' - disabling.")]);
        assert_eq!(verdict(&world, NOBODY, true), (Verdict::Runs(Danger::None), vec![]));
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(verdict(&good, ROOT, true).0, Verdict::Refused, "its directory is open");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(verdict(&good, ROOT, true).0, Verdict::Runs(Danger::None), "sticky");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(verdict(&good, NOBODY, true).0, Verdict::Missing, "nobody gets there");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn missing_and_not_executable_programs_do_not_run() {
        let Some(directory) = directory("missing") else { return };
        let plain = script(&directory, "plain", 0o644);
        let (found, texts) = verdict(&plain, ROOT, false);
        assert_eq!(found, Verdict::NotExecutable);
        assert_eq!(
            texts,
            [format!("WARNING - script '{plain}' is not executable for uid:gid 0:0 - disabling.")]
        );
        let nowhere = directory.join("nowhere");
        let nowhere = nowhere.to_str().unwrap();
        let (found, texts) = verdict(nowhere, ROOT, false);
        assert_eq!(found, Verdict::Missing);
        assert_eq!(
            texts,
            [format!("Script {nowhere} cannot be accessed - No such file or directory")]
        );
        let (found, texts) = verdict("ek-no-such-program", ROOT, false);
        assert_eq!(found, Verdict::Missing);
        assert_eq!(texts, ["Cannot find script ek-no-such-program in path - disabling"]);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn links_are_followed_and_the_name_stays() {
        let Some(directory) = directory("links") else { return };
        script(&directory, "real", 0o755);
        symlink(directory.join("real"), directory.join("called")).unwrap();
        let mut program = format!("{}/../{}/called", directory.display(), {
            directory.file_name().unwrap().to_str().unwrap()
        });
        let verdict = look(&mut program, ROOT, STRICT, &mut Vec::new());
        assert_eq!(verdict, Verdict::Runs(Danger::None));
        assert_eq!(program, directory.join("called").to_str().unwrap());
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn links_stay_where_they_are_to_stay_and_what_they_lead_to_is_looked_at() {
        let Some(directory) = directory("kept") else { return };
        let real = script(&directory, "real", 0o755);
        let open = script(&directory, "open", 0o757);
        fs::create_dir(directory.join("sub")).unwrap();
        symlink(&directory, directory.join("sub/here")).unwrap();
        let called = directory.join("sub/here/called");
        symlink(&real, &called).unwrap();
        let called = called.to_str().unwrap();
        let keep = Rules { keep_links: true, ..STRICT };
        let mut program = called.to_owned();
        assert_eq!(look(&mut program, ROOT, keep, &mut Vec::new()), Verdict::Runs(Danger::None));
        assert_eq!(program, called);
        fs::remove_file(called).unwrap();
        symlink(&open, called).unwrap();
        assert_eq!(look(&mut program, ROOT, keep, &mut Vec::new()), Verdict::Refused);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_redirection_is_no_program() {
        assert_eq!(verdict("</tmp/file", ROOT, true).0, Verdict::Runs(Danger::NoProgram));
        assert!(is_redirection("< /tmp/file") && !is_redirection("<tmp"));
    }

    #[test]
    fn a_bare_name_is_found_in_path_and_warned_of() {
        let mut program = "true".to_owned();
        let mut texts = Vec::new();
        assert!(matches!(look(&mut program, ROOT, Rules::default(), &mut texts), Verdict::Runs(_)));
        assert!(program.ends_with("/true") && program.starts_with('/'));
        assert!(texts[0].starts_with("WARNING - script `true` resolved by path search to `/"));
    }
}
