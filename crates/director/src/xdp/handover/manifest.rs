//! What a layout of the maps is like, in words: pinned beside the maps, so that every version can
//! read the connections and servers of any other, older or newer.
//!
//! Lines of words. The first is `evenkeel layout`; lines and fields that a reader does not know it
//! skips, and a field that is not there reads as zero, so both may come and go with the versions.
//!
//! ```text
//! evenkeel layout
//! layout NAME
//! tick SHIFT                                  a tick is 2^SHIFT nanoseconds of CLOCK_MONOTONIC
//! table NAME MAP KEY RECORD                   bytes of a key (0: an array's) and of a record
//! field NAME number OFFSET BYTES SHIFT WIDTH  bits of a word in the machine's byte order
//! field NAME network OFFSET BYTES             a number in network byte order
//! field NAME bytes OFFSET BYTES
//! means FIELD NUMBER WORD                     what a number stands for
//! ```
//!
//! A map's values hold whole records, one behind the other; of a map with keys a record is a key
//! with its value behind it. Fields and meanings belong to the table above them.

use std::collections::BTreeMap;
use std::fmt;

const TITLE: &str = "evenkeel layout";

/// A layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The directory of its pins.
    pub(crate) layout: String,
    /// A tick of the connections' clock: 2^`tick` ns.
    pub(crate) tick: u32,
    pub(crate) tables: Vec<Table>,
}

/// One kind of record, in one map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) map: String,
    /// Bytes of a key that belong to the record.
    pub(crate) key: usize,
    /// Bytes of a record, its key included.
    pub(crate) record: usize,
    fields: BTreeMap<String, Field>,
    meanings: BTreeMap<String, BTreeMap<u64, String>>,
}

/// Where something stands in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// `width` bits from `shift` on, of a word in the machine's byte order.
    Number { offset: usize, bytes: usize, shift: u32, width: u32 },
    /// A number in network byte order.
    Network { offset: usize, bytes: usize },
    /// As they are.
    Bytes { offset: usize, bytes: usize },
    /// The layout does not have it.
    Absent,
}

impl Field {
    /// A whole word.
    pub(crate) const fn word(offset: usize, bytes: usize) -> Field {
        Field::Number { offset, bytes, shift: 0, width: bytes as u32 * 8 }
    }

    /// Its number; zero for what is absent or no number.
    pub(crate) fn number(&self, record: &[u8]) -> u64 {
        match *self {
            Field::Number { offset, bytes, shift, width } => {
                let word = machine_word(at(record, offset, bytes));
                let mask = if width >= u64::BITS { u64::MAX } else { (1 << width) - 1 };
                word.checked_shr(shift).unwrap_or(0) & mask
            }
            Field::Network { offset, bytes } => {
                at(record, offset, bytes).iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
            }
            Field::Bytes { .. } | Field::Absent => 0,
        }
    }

    /// The number of the aligned word of eight bytes that it stands in, and its bits there; none
    /// if it stands in two of them.
    pub(crate) fn bits(&self) -> Option<(usize, u64)> {
        let Field::Number { offset, bytes, shift, width } = *self else { return None };
        let within = offset % 8;
        if within + bytes > 8 {
            return None;
        }
        let mask = if width >= u64::BITS { u64::MAX } else { (1 << width) - 1 };
        let before = match cfg!(target_endian = "little") {
            true => within,
            false => 8 - within - bytes,
        };
        Some((offset / 8, mask << (shift + before as u32 * 8)))
    }

    /// Its bytes; none for what is absent or a number.
    pub(crate) fn bytes<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        match *self {
            Field::Bytes { offset, bytes } => at(record, offset, bytes),
            Field::Number { .. } | Field::Network { .. } | Field::Absent => &[],
        }
    }

    fn fits(&self, record: usize) -> bool {
        let within = |offset: usize, bytes: usize| {
            offset.checked_add(bytes).is_some_and(|end| end <= record) && bytes > 0
        };
        match *self {
            Field::Number { offset, bytes, shift, width } => {
                let bits = bytes as u64 * 8;
                let end = u64::from(shift) + u64::from(width);
                within(offset, bytes) && [1, 2, 4, 8].contains(&bytes) && width > 0 && end <= bits
            }
            Field::Network { offset, bytes } => within(offset, bytes) && bytes <= 8,
            Field::Bytes { offset, bytes } => within(offset, bytes),
            Field::Absent => false,
        }
    }
}

fn at(record: &[u8], offset: usize, bytes: usize) -> &[u8] {
    record.get(offset..).and_then(|rest| rest.get(..bytes)).unwrap_or_default()
}

fn machine_word(bytes: &[u8]) -> u64 {
    let most_first = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    match cfg!(target_endian = "little") {
        true => bytes.iter().rev().fold(0, most_first),
        false => bytes.iter().fold(0, most_first),
    }
}

impl Table {
    pub(crate) fn new(name: &str, map: &str, key: usize, record: usize) -> Table {
        let (name, map) = (name.to_owned(), map.to_owned());
        Table { name, map, key, record, ..Table::default() }
    }

    /// The same with one more field, if it is within the record.
    pub(crate) fn with(mut self, name: &str, field: Field) -> Table {
        if field.fits(self.record) {
            self.fields.insert(name.to_owned(), field);
        }
        self
    }

    /// The same with the meanings of a field's numbers.
    pub(crate) fn meaning(
        mut self,
        field: &str,
        all: impl IntoIterator<Item = (u64, impl Into<String>)>,
    ) -> Table {
        let meanings = self.meanings.entry(field.to_owned()).or_default();
        meanings.extend(all.into_iter().map(|(number, word)| (number, word.into())));
        self
    }

    /// A field by its name.
    pub(crate) fn field(&self, name: &str) -> Field {
        self.fields.get(name).copied().unwrap_or(Field::Absent)
    }

    /// What a number of a field stands for.
    pub(crate) fn word(&self, field: &str, number: u64) -> Option<&str> {
        self.meanings.get(field)?.get(&number).map(String::as_str)
    }

    /// The number that stands for a word in a field.
    #[cfg(test)]
    pub(crate) fn number(&self, field: &str, word: &str) -> Option<u64> {
        let meanings = self.meanings.get(field)?;
        meanings.iter().find(|(_, found)| *found == word).map(|(number, _)| *number)
    }
}

impl Manifest {
    /// Reads one. Says which line cannot be.
    pub(crate) fn read(text: &str) -> Result<Manifest, String> {
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err(format!("does not begin with `{TITLE}`"));
        }
        let mut manifest = Manifest::default();
        for line in lines {
            manifest.read_line(line).ok_or_else(|| format!("`{line}`"))?;
        }
        match manifest.layout.is_empty() {
            true => Err("has no name".to_owned()),
            false => Ok(manifest),
        }
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["layout", name] => name.clone_into(&mut self.layout),
            ["tick", shift] => self.tick = shift.parse().ok().filter(|shift| *shift < u64::BITS)?,
            ["table", name, map, key, record] => {
                let (key, record) = (key.parse().ok()?, record.parse().ok()?);
                if record <= key || record > RECORD_MAX || map.contains('/') {
                    return None;
                }
                self.tables.push(Table::new(name, map, key, record));
            }
            ["field", name, "number", offset, bytes, shift, width] => {
                let field = Field::Number {
                    offset: offset.parse().ok()?,
                    bytes: bytes.parse().ok()?,
                    shift: shift.parse().ok()?,
                    width: width.parse().ok()?,
                };
                self.add(name, field)?;
            }
            ["field", name, "network", offset, bytes] => {
                let (offset, bytes) = (offset.parse().ok()?, bytes.parse().ok()?);
                self.add(name, Field::Network { offset, bytes })?;
            }
            ["field", name, "bytes", offset, bytes] => {
                let (offset, bytes) = (offset.parse().ok()?, bytes.parse().ok()?);
                self.add(name, Field::Bytes { offset, bytes })?;
            }
            ["means", field, number, word] => {
                let number = number.parse().ok()?;
                let table = self.tables.last_mut()?;
                table.meanings.entry(field.to_owned()).or_default().insert(number, word.to_owned());
            }
            // Of a version after this one.
            _ => {}
        }
        Some(())
    }

    fn add(&mut self, name: &str, field: Field) -> Option<()> {
        let table = self.tables.last_mut()?;
        field.fits(table.record).then(|| table.fields.insert(name.to_owned(), field))?;
        Some(())
    }

    /// The tables of a name: one per address family, of some.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Table> {
        self.tables.iter().filter(move |table| table.name == name)
    }
}

/// Bytes of a record, at most: a bound on what a manifest can ask for.
const RECORD_MAX: usize = 4096;

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}\nlayout {}\ntick {}", self.layout, self.tick)?;
        self.tables.iter().try_for_each(|table| table.fmt(f))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {} {} {}", self.name, self.map, self.key, self.record)?;
        for (name, field) in &self.fields {
            match field {
                Field::Number { offset, bytes, shift, width } => {
                    writeln!(f, "field {name} number {offset} {bytes} {shift} {width}")?;
                }
                Field::Network { offset, bytes } => {
                    writeln!(f, "field {name} network {offset} {bytes}")?;
                }
                Field::Bytes { offset, bytes } => {
                    writeln!(f, "field {name} bytes {offset} {bytes}")?;
                }
                Field::Absent => {}
            }
        }
        for (field, meanings) in &self.meanings {
            for (number, word) in meanings {
                writeln!(f, "means {field} {number} {word}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without pattern, the same each time.
    struct Random(u64);

    impl Random {
        fn next(&mut self, below: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % below
        }

        fn field(&mut self, record: usize) -> Field {
            let bytes = [1, 2, 4, 8][self.next(4) as usize];
            let offset = self.next((record - bytes) as u64 + 1) as usize;
            match self.next(3) {
                0 => {
                    let shift = self.next(bytes as u64 * 8) as u32;
                    let width = 1 + self.next(u64::from(bytes as u32 * 8 - shift)) as u32;
                    Field::Number { offset, bytes, shift, width }
                }
                1 => Field::Network { offset, bytes },
                _ => Field::Bytes { offset, bytes },
            }
        }

        fn manifest(&mut self) -> Manifest {
            let tables = (0..self.next(4)).map(|number| {
                let record = 16 + self.next(100) as usize;
                let mut table = Table::new(&format!("t{number}"), "map", 0, record);
                for name in 0..self.next(12) {
                    table = table.with(&format!("f{name}"), self.field(record));
                    table = table.meaning(&format!("f{name}"), [(self.next(99), "SO")]);
                }
                table
            });
            let tables = tables.collect();
            Manifest { layout: format!("v{}", self.next(100)), tick: 21, tables }
        }
    }

    #[test]
    fn every_manifest_is_read_as_it_was_written() {
        let mut random = Random(7);
        for _ in 0..500 {
            let manifest = random.manifest();
            assert_eq!(Manifest::read(&manifest.to_string()), Ok(manifest));
        }
    }

    #[test]
    fn a_manifest_that_was_tampered_with_is_refused_or_read_within_its_records() {
        let mut random = Random(11);
        for _ in 0..3000 {
            let mut bytes = random.manifest().to_string().into_bytes();
            for _ in 0..3 {
                let at = random.next(bytes.len() as u64) as usize;
                bytes[at] = b" 0123456789\nfn"[random.next(14) as usize];
            }
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let Ok(manifest) = Manifest::read(&text) else { continue };
            for table in &manifest.tables {
                let record = vec![0xa5; table.record];
                for field in table.fields.values() {
                    assert!(field.fits(table.record));
                    field.number(&record);
                    field.bytes(&record);
                }
            }
        }
    }

    #[test]
    fn a_number_is_read_wherever_its_bits_stand() {
        let mut random = Random(23);
        for _ in 0..2000 {
            let Field::Number { offset, bytes, shift, width } = random.field(32) else { continue };
            let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            let value = random.next(u64::MAX) & mask;
            let mut record = [0; 32];
            let word = (value << shift).to_ne_bytes();
            let of_word =
                if cfg!(target_endian = "little") { &word[..bytes] } else { &word[8 - bytes..] };
            record[offset..offset + bytes].copy_from_slice(of_word);
            let field = Field::Number { offset, bytes, shift, width };
            assert_eq!(field.number(&record), value, "{field:?}");
            if let Some((word, bits)) = field.bits() {
                let there = record.chunks_exact(8).nth(word).unwrap().try_into().unwrap();
                assert_eq!(u64::from_ne_bytes(there) & bits == 0, value == 0, "{field:?}");
            }
        }
        assert_eq!(Field::Network { offset: 1, bytes: 2 }.number(&[9, 1, 187]), 443);
        assert_eq!(Field::Absent.number(&[1]), 0);
    }

    #[test]
    fn lines_and_fields_of_a_later_version_are_skipped() {
        let text = "evenkeel layout\nlayout v99\nspin left\ntable a b 0 8\nfield x vector 1 2 3\n";
        let manifest = Manifest::read(text).unwrap();
        assert_eq!(manifest.tables[0].field("x"), Field::Absent);
        assert!(Manifest::read("another thing\n").is_err());
        assert!(Manifest::read("evenkeel layout\n").is_err());
        let beyond = "evenkeel layout\nlayout v1\ntable a b 0 8\nfield x bytes 5 4\n";
        assert!(Manifest::read(beyond).is_err());
    }
}
