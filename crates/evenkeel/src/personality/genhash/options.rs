//! genhash's command line, as getopt_long reads it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::check::HttpVersion;

/// Letter, long name, and whether a value belongs to it.
const OPTIONS: &[(char, &str, bool)] = &[
    ('h', "help", false),
    ('v', "verbose", false),
    ('S', "use-ssl", false),
    ('I', "use-sni", false),
    ('s', "server", true),
    ('V', "use-virtualhost", true),
    ('p', "port", true),
    ('u', "url", true),
    ('m', "fwmark", true),
    ('P', "protocol", true),
    ('t', "timeout", true),
];

/// What is to be fetched, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) target: SocketAddr,
    /// As written: sent without a change.
    pub(super) url: String,
    pub(super) virtual_host: Option<String>,
    /// One of 1.0, 1.0 with `Connection: close`, and 1.1, which always closes.
    pub(super) version: HttpVersion,
    pub(super) tls: bool,
    /// The virtual host goes into the TLS handshake.
    pub(super) sni: bool,
    pub(super) verbose: bool,
    /// 0: none.
    pub(super) mark: u32,
    /// Longest wait for each step. Without it: for ever, almost.
    pub(super) timeout: Option<Duration>,
}

/// What was given so far.
#[derive(Default)]
struct Given {
    server: Option<IpAddr>,
    port: Option<u16>,
    url: Option<String>,
    virtual_host: Option<String>,
    version: HttpVersion,
    flags: Vec<char>,
    mark: u32,
    timeout: Option<Duration>,
}

/// One option with its value, or a word that is none.
enum Word<'a> {
    Option(char, &'a str),
    Free(&'a str),
}

/// Reads the words behind the program's name. An error is what is said before the usage, line by
/// line; it may be nothing.
pub(super) fn parse(words: &[String]) -> Result<Options, Vec<String>> {
    if words.len() < 2 {
        return Err(Vec::new());
    }
    let (mut given, mut complaints, mut free) = (Given::default(), Vec::new(), Vec::new());
    let mut misused = false;
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        if word == "--" {
            free.extend(rest.iter().map(String::as_str));
            break;
        }
        for found in split(word, &mut rest) {
            match found {
                Ok(Word::Free(word)) => free.push(word),
                Ok(Word::Option('h', _)) => misused = true,
                // A wrong value ends it at once.
                Ok(Word::Option(letter, value)) => {
                    if let Err(complaint) = given.take(letter, value) {
                        complaints.push(complaint);
                        return Err(complaints);
                    }
                }
                Err(complaint) => {
                    complaints.push(complaint);
                    misused = true;
                }
            }
        }
    }
    if misused {
        return Err(complaints);
    }
    if !free.is_empty() {
        return Err(vec![format!("Unexpected argument(s): {}", free.join(" "))]);
    }
    given.complete().ok_or_else(Vec::new)
}

/// The options of one word; a value may be the next word.
fn split<'a>(word: &'a str, rest: &mut &'a [String]) -> Vec<Result<Word<'a>, String>> {
    match (word.strip_prefix("--"), word.strip_prefix('-')) {
        (Some(long), _) => vec![long_option(word, long, rest)],
        (None, Some(letters)) if !letters.is_empty() => short_options(letters, rest),
        (None, _) => vec![Ok(Word::Free(word))],
    }
}

fn long_option<'a>(word: &str, long: &'a str, rest: &mut &'a [String]) -> Result<Word<'a>, String> {
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    };
    let exact = OPTIONS.iter().find(|(_, full, _)| *full == name);
    let mut like = OPTIONS.iter().filter(|(_, full, _)| full.starts_with(name));
    let &(letter, full, valued) = match (exact, like.next(), like.next()) {
        (Some(option), _, _) | (None, Some(option), None) => option,
        (None, _, _) => return Err(format!("Unknown option {word}")),
    };
    match (valued, value) {
        (false, Some(_)) => Err(format!("Unknown option {word}")),
        (false, None) => Ok(Word::Option(letter, "")),
        (true, Some(value)) => Ok(Word::Option(letter, value)),
        (true, None) => match next(rest) {
            Some(value) => Ok(Word::Option(letter, value)),
            None => Err(format!("Missing parameter for option --{full}")),
        },
    }
}

fn short_options<'a>(letters: &'a str, rest: &mut &'a [String]) -> Vec<Result<Word<'a>, String>> {
    let mut found = Vec::new();
    for (at, letter) in letters.char_indices() {
        let glued = &letters[at + letter.len_utf8()..];
        match OPTIONS.iter().find(|(short, ..)| *short == letter) {
            None => found.push(Err(format!("Unknown option -{letter}"))),
            Some((_, _, false)) => found.push(Ok(Word::Option(letter, ""))),
            Some((_, _, true)) => {
                let value = if glued.is_empty() { next(rest) } else { Some(glued) };
                found.push(match value {
                    Some(value) => Ok(Word::Option(letter, value)),
                    None => Err(format!("Missing parameter for option -{letter}")),
                });
                return found;
            }
        }
    }
    found
}

fn next<'a>(rest: &mut &'a [String]) -> Option<&'a str> {
    let (value, after) = rest.split_first()?;
    *rest = after;
    Some(value)
}

impl Given {
    fn take(&mut self, letter: char, value: &str) -> Result<(), String> {
        match letter {
            's' => {
                // As Keepalived reads addresses everywhere: up to a range or a mask.
                let address = value.split(['-', '/']).next().unwrap_or_default();
                let told = |_| format!("server should be an IP, not {value}");
                self.server = Some(address.parse().map_err(told)?);
            }
            'p' => {
                let port = value.trim_start().parse().ok().filter(|&port| port > 0);
                self.port = Some(port.ok_or_else(|| format!("invalid port number '{value}'"))?);
            }
            'u' => self.url = Some(value.to_owned()),
            'V' => self.virtual_host = Some(value.to_owned()),
            'm' => {
                let told = || format!("invalid fwmark '{value}'");
                let mark = value.trim_start_matches([' ', '\t']);
                // Keepalived takes nothing as 0.
                self.mark = if mark.is_empty() { 0 } else { number(mark).ok_or_else(told)? };
            }
            'P' => {
                self.version = match value {
                    "1.0" => HttpVersion::Http10,
                    "1.0c" | "1.0C" => HttpVersion::Http10Close,
                    "1.1" => HttpVersion::Http11,
                    _ => return Err(format!("invalid HTTP protocol version '{value}'")),
                };
            }
            't' => {
                let told = || format!("invalid timeout '{value}'");
                let seconds = value.trim_start_matches([' ', '\t']);
                let seconds: u32 = number(seconds).ok_or_else(told)?;
                self.timeout = Some(Duration::from_secs(seconds.into()));
            }
            flag => self.flags.push(flag),
        }
        Ok(())
    }

    /// Server, port and url must be there.
    fn complete(self) -> Option<Options> {
        Some(Options {
            target: SocketAddr::new(self.server?, self.port?),
            url: self.url?,
            virtual_host: self.virtual_host,
            version: self.version,
            tls: self.flags.contains(&'S'),
            sni: self.flags.contains(&'I'),
            verbose: self.flags.contains(&'v'),
            mark: self.mark,
            timeout: self.timeout,
        })
    }
}

/// Digits and nothing else; what is too large is as large as can be.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn every_option_is_understood_short_and_long() {
        let short = "-SIv -s 192.0.2.1 -p443 -u /x -V www.example.com -m 7 -P 1.0c -t 3";
        let long = "--use-ssl --use-sni --verbose --server=192.0.2.1 --port 443 --url /x \
                    --use-virtualhost www.example.com --fwmark 7 --protocol 1.0C --timeout 3";
        let expected = Options {
            target: "192.0.2.1:443".parse().unwrap(),
            url: "/x".into(),
            virtual_host: Some("www.example.com".into()),
            version: HttpVersion::Http10Close,
            tls: true,
            sni: true,
            verbose: true,
            mark: 7,
            timeout: Some(Duration::from_secs(3)),
        };
        assert_eq!(parse(&words(short)), Ok(expected.clone()));
        assert_eq!(parse(&words(long)), Ok(expected));
        let abbreviated = parse(&words("--ser ::1 -p1 --ur /")).unwrap();
        assert_eq!(abbreviated.target, "[::1]:1".parse().unwrap());
        assert!(!abbreviated.tls && abbreviated.timeout.is_none());
    }

    #[test]
    fn what_is_wrong_is_said_in_genhashs_words() {
        let lines = [
            ("--help", ""),
            ("-s 192.0.2.1 -p 80", ""),
            ("-x -y", "Unknown option -x\nUnknown option -y"),
            ("--foo --use-s=1", "Unknown option --foo\nUnknown option --use-s=1"),
            ("-s 1.2.3.4 -p", "Missing parameter for option -p"),
            ("-v --server", "Missing parameter for option --server"),
            ("-s foo -p 80", "server should be an IP, not foo"),
            ("-p 99999 -u /", "invalid port number '99999'"),
            ("-m x -u /", "invalid fwmark 'x'"),
            ("-t x -u /", "invalid timeout 'x'"),
            ("-P 2 -u /", "invalid HTTP protocol version '2'"),
            ("-s 127.0.0.1 -p 1 -- -u /", "Unexpected argument(s): -u /"),
        ];
        for (line, expected) in lines {
            assert_eq!(parse(&words(line)).unwrap_err().join("\n"), expected, "{line}");
        }
    }
}
