//! Command lines as popt(3) reads them: short options in bundles, values glued on or apart, and
//! what is no option wherever it stands.

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing.
    None,
    /// A value.
    Required,
    /// A value, unless the next word is an option.
    Optional,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<T> {
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    pub(super) value: Value,
    pub(super) tag: T,
}

/// Why a command line cannot be read; the words are popt's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    Unknown,
    MissingValue,
    UnwantedValue,
}

impl Mistake {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Mistake::Unknown => "unknown option",
            Mistake::MissingValue => "missing argument",
            Mistake::UnwantedValue => "option does not take an argument",
        }
    }
}

/// Reads words one option at a time.
pub(super) struct Reader<'a, T> {
    rows: &'a [Row<T>],
    words: &'a [String],
    next: usize,
    /// The rest of a bundle of short options.
    bundle: &'a str,
    /// After `--` nothing is an option.
    only_words: bool,
    left: Vec<&'a str>,
}

impl<'a, T: Copy> Reader<'a, T> {
    pub(super) fn new(rows: &'a [Row<T>], words: &'a [String]) -> Reader<'a, T> {
        Reader { rows, words, next: 0, bundle: "", only_words: false, left: Vec::new() }
    }

    /// The next option with its value; nothing at the end.
    pub(super) fn next(&mut self) -> Option<Result<(T, Option<&'a str>), Mistake>> {
        while self.bundle.is_empty() {
            let word = self.words.get(self.next)?.as_str();
            self.next += 1;
            if self.only_words || word == "-" || !word.starts_with('-') {
                self.left.push(word);
            } else if word == "--" {
                self.only_words = true;
            } else if let Some(name) = word.strip_prefix("--") {
                return Some(self.long(name));
            } else {
                self.bundle = &word[1..];
            }
        }
        Some(self.short())
    }

    /// The word that was read last.
    pub(super) fn last_word(&self) -> &'a str {
        self.next.checked_sub(1).and_then(|place| self.words.get(place)).map_or("", String::as_str)
    }

    /// Words that are no options, in order.
    pub(super) fn left(&self) -> &[&'a str] {
        &self.left
    }

    fn long(&mut self, name: &'a str) -> Result<(T, Option<&'a str>), Mistake> {
        let (name, glued) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (name, None),
        };
        let row = self.rows.iter().find(|row| row.long == name).ok_or(Mistake::Unknown)?;
        match (row.value, glued) {
            (Value::None, Some(_)) => Err(Mistake::UnwantedValue),
            (Value::None, None) => Ok((row.tag, None)),
            (Value::Required | Value::Optional, _) => Ok((row.tag, self.value(row, glued)?)),
        }
    }

    fn short(&mut self) -> Result<(T, Option<&'a str>), Mistake> {
        let mut letters = self.bundle.chars();
        let letter = letters.next();
        let rest = letters.as_str();
        self.bundle = "";
        let found = self.rows.iter().find(|row| row.short.is_some() && row.short == letter);
        let row = found.ok_or(Mistake::Unknown)?;
        if row.value == Value::None {
            self.bundle = rest;
            return Ok((row.tag, None));
        }
        let glued = rest.strip_prefix('=').unwrap_or(rest);
        let glued = (!rest.is_empty()).then_some(glued);
        Ok((row.tag, self.value(row, glued)?))
    }

    fn value(&mut self, row: &Row<T>, glued: Option<&'a str>) -> Result<Option<&'a str>, Mistake> {
        if glued.is_some() {
            return Ok(glued);
        }
        match (self.words.get(self.next), row.value) {
            (None, Value::Required) => Err(Mistake::MissingValue),
            (None, Value::None | Value::Optional) => Ok(None),
            (Some(next), Value::Optional) if next.starts_with('-') => Ok(None),
            (Some(next), _) => {
                self.next += 1;
                Ok(Some(next))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [Row<u8>; 4] = [
        Row { long: "list", short: Some('L'), value: Value::None, tag: 1 },
        Row { long: "numeric", short: Some('n'), value: Value::None, tag: 2 },
        Row { long: "tcp", short: Some('t'), value: Value::Required, tag: 3 },
        Row { long: "persistent", short: Some('p'), value: Value::Optional, tag: 4 },
    ];

    /// Options, the mistake with its word, words left.
    type Read = (Vec<(u8, String)>, Option<(Mistake, String)>, Vec<String>);

    fn read(line: &str) -> Read {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let mut reader = Reader::new(&ROWS, &words);
        let (mut options, mut mistake) = (Vec::new(), None);
        while let Some(next) = reader.next() {
            match next {
                Ok((tag, value)) => options.push((tag, value.unwrap_or("-").to_owned())),
                Err(error) => {
                    mistake = Some((error, reader.last_word().to_owned()));
                    break;
                }
            }
        }
        (options, mistake, reader.left().iter().map(|word| (*word).to_owned()).collect())
    }

    fn options(of: &[(u8, &str)]) -> Vec<(u8, String)> {
        of.iter().map(|(tag, value)| (*tag, (*value).to_owned())).collect()
    }

    #[test]
    fn options_are_bundled_glued_and_apart() {
        let cases: [(&str, &[(u8, &str)]); 7] = [
            ("-Ln", &[(1, "-"), (2, "-")]),
            ("-t a --tcp b --tcp=c -td -t=e", &[(3, "a"), (3, "b"), (3, "c"), (3, "d"), (3, "e")]),
            ("-Lnt a", &[(1, "-"), (2, "-"), (3, "a")]),
            ("-p -n", &[(4, "-"), (2, "-")]),
            ("-p 60 -n", &[(4, "60"), (2, "-")]),
            ("-p", &[(4, "-")]),
            ("-t -n", &[(3, "-n")]),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line), (options(expected), None, vec![]), "{line}");
        }
    }

    #[test]
    fn words_that_are_no_options_stay_and_mistakes_name_their_word() {
        assert_eq!(read("-L a -n -- -n").2, ["a", "-n"]);
        for (line, mistake, word) in [
            ("-L -q", Mistake::Unknown, "-q"),
            ("-Lq", Mistake::Unknown, "-Lq"),
            ("--nosuch=1", Mistake::Unknown, "--nosuch=1"),
            ("-L -t", Mistake::MissingValue, "-t"),
            ("--list=1", Mistake::UnwantedValue, "--list=1"),
        ] {
            assert_eq!(read(line).1, Some((mistake, word.to_owned())), "{line}");
        }
    }
}
