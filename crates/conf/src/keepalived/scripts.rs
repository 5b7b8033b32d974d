//! Programs of the administrator: `SCRIPT [USER [GROUP]]`, where a quoted SCRIPT is a command line.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::vrrp::{Command, User};

use super::keyword::{Fill, Rule};
use super::lexer::Word;
use super::reader::Reader;
use super::structure::Statement;
use crate::source::Source;

/// Keepalived's default user of programs.
const DEFAULT_USER: &str = "keepalived_script";

/// Reads `SCRIPT [USER [GROUP]]`.
pub(crate) fn command(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<Command> {
    let script = reader.first_argument(statement, "a program")?;
    reader.no_more(statement, 3);
    let words = words(reader, script)?;
    let user = match statement.arguments().get(1..).unwrap_or_default() {
        [] => None,
        user => Some(self::user(reader, user)?),
    };
    Some(Command { words, user })
}

/// A row whose keyword may be repeated: [`first_counts`] says which one counts.
pub(crate) const fn repeated(fill: Fill) -> Rule {
    Rule { fill, opens: None, repeats: true }
}

/// The first program counts, as in Keepalived; the others are reported.
pub(crate) fn first_counts(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    to: &mut Option<Command>,
) {
    let command = command(reader, statement);
    if to.is_none() {
        *to = command;
    } else if let Some(command) = command {
        let message = format!("the first {} counts, not this one", statement.keyword().text);
        let help = format!("keep one, and let it run {} too", command.words[0]);
        reader.warning(statement.header(), message, &help);
    }
}

/// Reads a script alone: one word, its arguments within quotes. Keepalived leaves out what
/// follows.
pub(crate) fn program(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<Vec<String>> {
    let word = reader.first_argument(statement, "a program")?;
    if let [_, extra, ..] = statement.arguments() {
        let message = format!("only {} is run, without {}", word.text, extra.text);
        let help = "put quotes around the program and its arguments together";
        reader.warning(statement.header(), message, help);
    }
    words(reader, word)
}

/// Reads `user USER [GROUP]`.
pub(crate) fn user_of(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<User> {
    if statement.arguments().is_empty() {
        let message = "user needs the name of a user".to_string();
        reader.error(statement.header(), message, "write it after user, or remove the line");
        return None;
    }
    reader.no_more(statement, 2);
    user(reader, statement.arguments())
}

/// The words of a command line, split as Keepalived splits it: quotes of both kinds keep blanks,
/// a backslash keeps what follows or stands for a control character.
pub(crate) fn words(reader: &mut Reader<'_>, script: &Word<'_>) -> Option<Vec<String>> {
    match split(&script.text) {
        Ok(words) if words.first().is_some_and(|program| !program.is_empty()) => Some(words),
        Ok(_) => {
            let message = "there is no program in this command".to_string();
            reader.error(script.span, message, "write the path of the program");
            None
        }
        Err(Unfinished::Quote(sign)) => {
            let message = format!("a {sign} in this command is never closed");
            reader.error(script.span, message, "close the quotation");
            None
        }
        Err(Unfinished::Escape) => {
            let message = "this command ends with a backslash".to_string();
            reader.error(script.span, message, "write \\\\ for the character itself");
            None
        }
    }
}

/// Reads `USER [GROUP]`: the user's own group when none is named.
pub(crate) fn user(reader: &mut Reader<'_>, words: &[Word<'_>]) -> Option<User> {
    let (name, group) = (words.first()?, words.get(1));
    let source = reader.surroundings.source;
    let Some(uid) = source.user_id(&name.text) else {
        let message = format!("there is no user \"{}\"", name.text);
        reader.error(name.span, message, "create the user, or name one that exists");
        return None;
    };
    let gid = match group {
        None => source.primary_group(&name.text),
        Some(group) => source.group_id(&group.text),
    };
    if gid.is_none() {
        let span = group.unwrap_or(name).span;
        let message = match group {
            Some(group) => format!("there is no group \"{}\"", group.text),
            None => format!("the user \"{}\" has no group", name.text),
        };
        reader.error(span, message, "create the group, or name one that exists");
    }
    Some(User { name: name.text.to_string(), uid, gid: gid? })
}

/// The user that programs run as by default, if the machine has it.
pub(crate) fn default_user(source: &dyn Source) -> Option<User> {
    let uid = source.user_id(DEFAULT_USER)?;
    let gid = source.primary_group(DEFAULT_USER)?;
    Some(User { name: DEFAULT_USER.to_string(), uid, gid })
}

/// What a command line lacks at its end.
#[derive(Debug, PartialEq, Eq)]
enum Unfinished {
    Quote(char),
    Escape,
}

fn split(text: &str) -> Result<Vec<String>, Unfinished> {
    let mut words = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(words);
        }
        let (word, after) = word(rest)?;
        words.push(String::from_utf8_lossy(&word).into_owned());
        rest = after;
    }
}

/// One word and what follows it.
fn word(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), Unfinished> {
    let mut word = Vec::new();
    let mut quote: Option<u8> = None;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (quote, *byte) {
            (_, b'\\') => {
                let (escaped, after) = escape(rest).ok_or(Unfinished::Escape)?;
                word.push(escaped);
                rest = after;
            }
            (Some(open), sign) if sign == open => quote = None,
            (None, sign @ (b'"' | b'\'')) => quote = Some(sign),
            (None, blank) if blank.is_ascii_whitespace() => break,
            (_, byte) => word.push(byte),
        }
    }
    match quote {
        Some(sign) => Err(Unfinished::Quote(sign.into())),
        None => Ok((word, rest)),
    }
}

/// What the bytes after a backslash stand for: `x41`, `c[`, `101`, `n`... or themselves.
fn escape(rest: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8, base: u32| char::from(byte).to_digit(base);
    let value = |digits: &[u8], base: u32| {
        // Keepalived keeps the low eight bits.
        let value = digits.iter().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(base).wrapping_add(digit(*byte, base).unwrap_or(0))
        });
        value.to_le_bytes()[0]
    };
    let count = |bytes: &[u8], base: u32, most: usize| {
        bytes.iter().take(most).take_while(|byte| digit(**byte, base).is_some()).count()
    };
    match rest {
        [] => None,
        [b'x', digits @ ..] if count(digits, 16, 1) == 1 => {
            let (number, after) = digits.split_at(count(digits, 16, usize::MAX));
            Some((value(number, 16), after))
        }
        [b'c', control, after @ ..] => Some((control & 0x1f, after)),
        [b'0'..=b'7', ..] => {
            let (number, after) = rest.split_at(count(rest, 8, 3));
            Some((value(number, 8), after))
        }
        [plain, after @ ..] => Some((named(*plain), after)),
    }
}

fn named(letter: u8) -> u8 {
    match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'E' => 0x1b,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_split_at_blanks_outside_quotes() {
        assert_eq!(split("/bin/a  -x 'b c' d\"e f\"g").unwrap(), ["/bin/a", "-x", "b c", "de fg"]);
        assert_eq!(split(" /bin/a\t").unwrap(), ["/bin/a"]);
        assert_eq!(split("a '' b").unwrap(), ["a", "", "b"]);
        assert_eq!(split("").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_backslash_keeps_or_names_a_character() {
        assert_eq!(split(r#"a\ b \"c\" \\"#).unwrap(), ["a b", "\"c\"", "\\"]);
        assert_eq!(split(r"\x41\x4a \101\60 \n\t\c[\E").unwrap(), ["AJ", "A0", "\n\t\u{1b}\u{1b}"]);
        assert_eq!(split(r"\q\xz").unwrap(), ["qxz"]);
    }

    #[test]
    fn what_is_not_finished_is_an_error() {
        assert_eq!(split("a 'b"), Err(Unfinished::Quote('\'')));
        assert_eq!(split("a \"b'"), Err(Unfinished::Quote('"')));
        assert_eq!(split("a\\"), Err(Unfinished::Escape));
    }
}
