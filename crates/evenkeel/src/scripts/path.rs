//! Finding a program as the user who runs it would find it.

use std::env;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use edge::spawn::Identity;

/// What execvp(3) searches where there is no PATH.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// The user may execute the file, or search the directory.
pub(super) fn executable(file: &Metadata, identity: Identity) -> bool {
    let mode = file.mode();
    let bit = if identity.uid == 0 {
        0o111
    } else if identity.uid == file.uid() {
        0o100
    } else if identity.gid == file.gid() {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

/// The program of that name in PATH. The error is `NotFound`, or `PermissionDenied` when there
/// are only files that the user may not execute.
pub(super) fn search(name: &str, identity: Identity) -> io::Result<PathBuf> {
    let path = env::var("PATH").unwrap_or_else(|_| USUAL_PATH.into());
    let mut failure = io::ErrorKind::NotFound;
    for directory in env::split_paths(&path) {
        let file = directory.join(name);
        match fs::metadata(&file) {
            Ok(found) if found.is_file() && executable(&found, identity) => return Ok(file),
            Ok(_) => failure = io::ErrorKind::PermissionDenied,
            Err(_) => {}
        }
    }
    Err(failure.into())
}

/// The path without links, `.` and `..`, if the user may get there.
pub(super) fn real(path: &str, identity: Identity) -> io::Result<PathBuf> {
    let real = fs::canonicalize(path)?;
    let named = Path::new(path).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    for directory in named.chain(real.ancestors().skip(1)) {
        if !executable(&fs::metadata(directory)?, identity) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    Ok(real)
}

/// The real path under the name it was called by: programs such as busybox go by their name.
/// The second value is the real path when it is another one.
pub(super) fn under_its_name(path: &str, real: PathBuf) -> (PathBuf, Option<PathBuf>) {
    let (Some(called), Some(directory)) = (Path::new(path).file_name(), real.parent()) else {
        return (real, None);
    };
    if real.file_name() == Some(called) {
        return (real, None);
    }
    let named = directory.join(called);
    let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    if identity(&named).is_some() && identity(&named) == identity(&real) {
        (named, Some(real))
    } else {
        (real, None)
    }
}
