//! Where text and names come from: the only window of this crate to the machine.

pub mod glob;
mod table;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

pub use table::Table;

/// Reads files and resolves names. `evenkeel` implements it with the real machine, tests with a
/// [`Table`]. Errors are sentences for the user.
pub trait Source {
    /// The whole text of a file.
    fn read(&self, path: &str) -> Result<String, String>;
    /// What a path names, links followed.
    fn kind(&self, path: &str) -> FileKind {
        if self.read(path).is_ok() { FileKind::Regular } else { FileKind::Missing }
    }
    /// Names in a directory, in any order; the empty path is the current directory.
    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        Err(format!("cannot list {directory}"))
    }
    /// The one name of a file that may have several, to find files that include themselves.
    fn identity(&self, path: &str) -> String {
        path.to_owned()
    }
    /// The absolute path of the directory that a file stands in.
    fn directory_of(&self, path: &str) -> String {
        parent(path).to_owned()
    }
    /// An environment variable.
    fn environment(&self, name: &str) -> Option<String>;
    /// This machine's name.
    fn host_name(&self) -> String;
    /// What `@id` lines of a keepalived.conf are compared with: the host name up to the first
    /// dot, unless the command line says otherwise.
    fn config_id(&self) -> String {
        let name = self.host_name();
        name.split('.').next().unwrap_or(&name).to_owned()
    }
    /// A file that an include of a keepalived.conf does not find is an error from the beginning.
    fn must_find_includes(&self) -> bool {
        false
    }
    /// Where random numbers of the configuration begin, unless it says so itself. The same each
    /// time within one process, so that reading unchanged files again changes nothing.
    fn random_seed(&self) -> u32 {
        1
    }
    /// Addresses of a host.
    fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String>;
    /// Processors that this process may use, at least 1.
    fn processors(&self) -> u16 {
        1
    }
    /// Number of a user.
    fn user_id(&self, name: &str) -> Option<u32>;
    /// Number of a user's own group.
    fn primary_group(&self, user: &str) -> Option<u32>;
    /// Number of a group.
    fn group_id(&self, name: &str) -> Option<u32>;
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file that nobody may execute.
    Regular,
    /// A regular file that somebody may execute.
    Executable,
    /// A directory.
    Directory,
    /// A device, a socket or a pipe.
    Other,
    /// Nothing.
    Missing,
}

/// The part of a path before its last slash; empty for a name in the current directory.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) => "/",
        Some(slash) => &path[..slash],
        None => "",
    }
}

/// Number of a loaded file in [`Files`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

impl FileId {
    /// Text that is in no file. No finding that leaves this crate points there.
    pub(crate) const EXPANSION: FileId = FileId(u32::MAX);
}

/// A stretch of a loaded file, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// From the start of this span to the end of `other`; this span if that is in another file.
    pub fn to(self, other: Span) -> Span {
        if other.file != self.file {
            return self;
        }
        Span { file: self.file, start: self.start, end: other.end.max(self.start) }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// One loaded file.
#[derive(Clone, Debug)]
pub struct File {
    /// As the user named it.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// All loaded files; spans point into them.
#[derive(Clone, Debug, Default)]
pub struct Files {
    files: Vec<File>,
    /// What is written nowhere: the lines that parameters and sequences expanded to.
    expansion: Option<File>,
}

/// A place as people count: from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl Files {
    /// Adds a file and returns its number.
    pub fn add(&mut self, path: String, text: String) -> FileId {
        self.files.push(File { path, text });
        FileId(self.files.len() as u32 - 1)
    }

    /// Keeps what parameters expanded to under [`FileId::EXPANSION`], or forgets it.
    pub(crate) fn set_expansion(&mut self, text: Option<String>) {
        self.expansion = text.map(|text| File { path: String::from("expansion"), text });
    }

    /// A file by number.
    pub fn file(&self, id: FileId) -> &File {
        match &self.expansion {
            Some(expansion) if id == FileId::EXPANSION => expansion,
            _ => &self.files[id.0 as usize],
        }
    }

    /// All files in loading order.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &File)> {
        self.files.iter().enumerate().map(|(number, file)| (FileId(number as u32), file))
    }

    /// The text a span covers.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file).text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Line and column of a byte.
    pub fn position(&self, file: FileId, byte: u32) -> Position {
        let text = &self.file(file).text;
        let mut byte = (byte as usize).min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        let before = &text[..byte];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.bytes().filter(|&b| b == b'\n').count() as u32 + 1,
            column: before[line_start..].chars().count() as u32 + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let mut files = Files::default();
        let id = files.add("a".into(), "ab\nцd\n".into());
        assert_eq!(files.position(id, 0), Position { line: 1, column: 1 });
        assert_eq!(files.position(id, 5), Position { line: 2, column: 2 });
        assert_eq!(files.position(id, 99), Position { line: 3, column: 1 });
    }
}
